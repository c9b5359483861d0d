"""As what kind of file Telegram is sent one: pure.

First from what the application says, before anything is read; then from the first bytes.
"""

from typing import Final

from tgworker.messaging.content_types import bare_type, sniffed_type, type_of_name
from tgworker.messaging.media import FileKind, OutgoingFile

LARGEST_PHOTO: Final = 10 * 1000 * 1000
"""Bytes of a photo: larger pictures go as documents (https://core.telegram.org/api/files#uploading-files)."""

# What applications call these in `messages.message_type`, besides our own words.
_WORDS: Final = {
    "image": FileKind.PHOTO,
    "picture": FileKind.PHOTO,
    "gif": FileKind.ANIMATION,
    "voice_note": FileKind.VOICE,
    "voice_message": FileKind.VOICE,
    "ptt": FileKind.VOICE,
    "music": FileKind.AUDIO,
    "round": FileKind.VIDEO_NOTE,
    "round_video": FileKind.VIDEO_NOTE,
    "file": FileKind.DOCUMENT,
}

# Types with which a claimed kind can be true. Browsers call what a microphone recorded `video/webm`, too.
_FITTING: Final[dict[FileKind, tuple[str, ...]]] = {
    FileKind.PHOTO: ("image/",),
    FileKind.VIDEO: ("video/",),
    FileKind.VIDEO_NOTE: ("video/",),
    FileKind.ANIMATION: ("image/gif", "video/"),
    FileKind.AUDIO: ("audio/", "application/ogg", "video/mp4", "video/webm"),
    FileKind.VOICE: ("audio/", "application/ogg", "video/mp4", "video/webm"),
    FileKind.STICKER: (
        "image/webp",
        "image/png",
        "video/webm",
        "application/x-tgsticker",
        "application/gzip",
    ),
    FileKind.DOCUMENT: ("",),
}

_PHOTOS: Final = frozenset({"image/jpeg", "image/png", "image/webp"})
# What is recorded, not composed: these go as voice notes where the message's type does not say.
_RECORDED: Final = frozenset({"audio/ogg", "audio/opus", "audio/webm"})


def claimed_kind(message_type: str | None, file: OutgoingFile) -> FileKind:
    """What the application means a file to be.

    The message's type counts for a file that it can be true of: the video in an album of type ``photo`` is a
    video. ``document`` is true of everything.

    Args:
        message_type: Of the message that carries the file.
        file: Its row.
    """
    type_ = bare_type(file.mime_type) or type_of_name(file.file_name)
    said = _kind_named(message_type)
    if said is not None and (type_ is None or type_.startswith(_FITTING[said])):
        return said
    return kind_of_type(type_)


def kind_of_type(type_: str | None) -> FileKind:
    """What a file of a content type is sent as where nobody says more."""
    if type_ in _PHOTOS:
        return FileKind.PHOTO
    if type_ == "image/gif":
        return FileKind.ANIMATION
    if type_ in _RECORDED:
        return FileKind.VOICE
    if type_ is not None and type_.startswith("video/"):
        return FileKind.VIDEO
    return FileKind.AUDIO if type_ is not None and type_.startswith("audio/") else FileKind.DOCUMENT


def actual_kind(claimed: FileKind, head: bytes, size: int) -> FileKind:
    """What a file can be sent as, now that its first bytes are known.

    A picture or film that is none goes as a document: it arrives with every byte. A voice note stays one:
    it is converted, and where that fails the reason is told.

    Args:
        claimed: By `claimed_kind`.
        head: Its first bytes.
        size: How long it is, in bytes.
    """
    type_ = sniffed_type(head)
    match claimed:
        case FileKind.DOCUMENT | FileKind.VOICE:
            return claimed
        case FileKind.PHOTO if type_ == "image/gif":
            return FileKind.ANIMATION
        case FileKind.PHOTO:
            return claimed if type_ in _PHOTOS and size <= LARGEST_PHOTO else FileKind.DOCUMENT
        case FileKind.VIDEO_NOTE if type_ not in (None, "video/mp4"):
            return actual_kind(FileKind.VIDEO, head, size)
        case _:
            return claimed if type_ is not None and type_.startswith(_FITTING[claimed]) else FileKind.DOCUMENT


def _kind_named(message_type: str | None) -> FileKind | None:
    word = (message_type or "").lower()
    try:
        return _WORDS.get(word) or FileKind(word)
    except ValueError:
        return None
