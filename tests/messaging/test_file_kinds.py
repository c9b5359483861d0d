"""As what kind Telegram is sent a file."""

import pytest

from messaging.test_content_types import HEADS
from tgworker.messaging.file_kinds import LARGEST_PHOTO, actual_kind, claimed_kind
from tgworker.messaging.media import FileKind, OutgoingFile


@pytest.mark.parametrize(
    ("message_type", "mime_type", "file_name", "kind"),
    [
        ("photo", "image/jpeg", None, FileKind.PHOTO),
        ("image", None, None, FileKind.PHOTO),
        ("photo", "video/mp4", None, FileKind.VIDEO),  # of an album
        ("document", "image/jpeg", None, FileKind.DOCUMENT),
        ("file", "image/jpeg", None, FileKind.DOCUMENT),
        ("voice", "video/webm", None, FileKind.VOICE),
        ("voice", "audio/mpeg", None, FileKind.VOICE),
        ("audio", "audio/ogg", None, FileKind.AUDIO),
        ("round_video", "video/mp4", None, FileKind.VIDEO_NOTE),
        ("sticker", "application/x-tgsticker", None, FileKind.STICKER),
        ("text", "audio/webm; codecs=opus", None, FileKind.VOICE),
        (None, "audio/mpeg", None, FileKind.AUDIO),
        (None, "image/gif", None, FileKind.ANIMATION),
        (None, "application/octet-stream", "Picture.PNG", FileKind.PHOTO),
        (None, None, "song.flac", FileKind.AUDIO),
        (None, None, None, FileKind.DOCUMENT),
        ("text", "image/heic", None, FileKind.DOCUMENT),
        ("text", "application/pdf", "x.jpg", FileKind.DOCUMENT),
    ],
)
def test_the_application_says_what_a_file_is_meant_to_be(
    message_type: str | None, mime_type: str | None, file_name: str | None, kind: FileKind
) -> None:
    file = OutgoingFile("1", "bucket", "path", file_name, mime_type)
    assert claimed_kind(message_type, file) is kind


@pytest.mark.parametrize(
    ("claimed", "type_", "kind"),
    [
        (FileKind.PHOTO, "image/png", FileKind.PHOTO),
        (FileKind.PHOTO, "image/gif", FileKind.ANIMATION),
        (FileKind.PHOTO, "application/pdf", FileKind.DOCUMENT),
        (FileKind.VIDEO, "video/mp4", FileKind.VIDEO),
        (FileKind.VIDEO, "audio/wav", FileKind.DOCUMENT),
        (FileKind.VIDEO_NOTE, "video/mp4", FileKind.VIDEO_NOTE),
        (FileKind.VIDEO_NOTE, "video/webm", FileKind.VIDEO),
        (FileKind.VIDEO_NOTE, "image/png", FileKind.DOCUMENT),
        (FileKind.AUDIO, "audio/mp4", FileKind.AUDIO),
        (FileKind.AUDIO, "video/mp4", FileKind.AUDIO),
        (FileKind.VOICE, "application/pdf", FileKind.VOICE),
        (FileKind.STICKER, "application/gzip", FileKind.STICKER),
        (FileKind.STICKER, "image/jpeg", FileKind.DOCUMENT),
        (FileKind.DOCUMENT, "image/png", FileKind.DOCUMENT),
    ],
)
def test_the_bytes_say_what_it_can_be_sent_as(claimed: FileKind, type_: str, kind: FileKind) -> None:
    assert actual_kind(claimed, HEADS[type_], 1000) is kind


def test_a_picture_that_is_too_large_for_a_photo_is_a_document() -> None:
    assert actual_kind(FileKind.PHOTO, HEADS["image/png"], LARGEST_PHOTO) is FileKind.PHOTO
    assert actual_kind(FileKind.PHOTO, HEADS["image/png"], LARGEST_PHOTO + 1) is FileKind.DOCUMENT


@pytest.mark.parametrize("claimed", [FileKind.PHOTO, FileKind.VIDEO, FileKind.VIDEO_NOTE, FileKind.AUDIO])
def test_bytes_that_say_nothing_are_a_document(claimed: FileKind) -> None:
    assert actual_kind(claimed, b"words", 5) is FileKind.DOCUMENT
