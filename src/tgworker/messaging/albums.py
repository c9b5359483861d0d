"""Which files Telegram shows together: a pure decision.

Photos and videos go together, documents with documents, audio with audio; all else stands alone
(https://core.telegram.org/api/files#albums-grouped-media).
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from tgworker.messaging.media import MOST_IN_ALBUM, FileKind


class _Family(Enum):
    PICTURES = "pictures"
    DOCUMENTS = "documents"
    AUDIO = "audio"


_FAMILIES: Final[Mapping[FileKind, _Family]] = {
    FileKind.PHOTO: _Family.PICTURES,
    FileKind.VIDEO: _Family.PICTURES,
    FileKind.DOCUMENT: _Family.DOCUMENTS,
    FileKind.AUDIO: _Family.AUDIO,
}


def album_length(kinds: Sequence[FileKind]) -> int:
    """How many of these files, from the first on, go together in one album; 1: the first stands alone.

    Args:
        kinds: What the files are, in their order; at least one.
    """
    family = _FAMILIES.get(kinds[0])
    if family is None:
        return 1
    others = (n for n, kind in enumerate(kinds) if _FAMILIES.get(kind) is not family)
    return min(next(others, len(kinds)), MOST_IN_ALBUM)
