"""Which files go together."""

import pytest

from tgworker.messaging.albums import album_length
from tgworker.messaging.media import FileKind

P, V, D, A = FileKind.PHOTO, FileKind.VIDEO, FileKind.DOCUMENT, FileKind.AUDIO
VOICE = FileKind.VOICE


@pytest.mark.parametrize(
    ("kinds", "length"),
    [
        ([P], 1),
        ([P, V, P], 3),
        ([P, V, D, P], 2),
        ([D, D, P], 2),
        ([A, A], 2),
        ([A, VOICE], 1),
        ([VOICE, VOICE], 1),
        ([FileKind.STICKER, FileKind.STICKER], 1),
        ([FileKind.VIDEO_NOTE, V], 1),
        ([FileKind.ANIMATION, FileKind.ANIMATION], 1),
        ([P] * 11, 10),
    ],
)
def test_an_album_holds_what_telegram_shows_together(kinds: list[FileKind], length: int) -> None:
    assert album_length(kinds) == length
