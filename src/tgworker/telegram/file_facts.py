"""What Telegram says of a file: facts for everybody, and where it is for this room."""

from dataclasses import dataclass
from typing import Any

from telethon.tl import types

from tgworker.messaging.media import FileFacts, FileKind


@dataclass(frozen=True, slots=True)
class Location:
    """Where a file is, and the right to it for a while.

    Attributes:
        dc_id: In which data centre.
        location: How it is asked for there.
    """

    dc_id: int
    location: Any


def document_kind(document: Any) -> FileKind:
    """What a document is, by what its sender said."""
    found = FileKind.DOCUMENT
    for attribute in document.attributes:
        match attribute:
            case types.DocumentAttributeSticker():
                return FileKind.STICKER
            case types.DocumentAttributeAnimated():
                return FileKind.ANIMATION
            case types.DocumentAttributeVideo():
                found = FileKind.VIDEO_NOTE if attribute.round_message else FileKind.VIDEO
            case types.DocumentAttributeAudio():
                found = FileKind.VOICE if attribute.voice else FileKind.AUDIO
            case _:
                pass
    return found


def facts_of(media: Any) -> FileFacts | None:
    """The file that a message's media is; ``None`` for what has none, or has none any more."""
    match media:
        case types.MessageMediaPhoto(photo=types.Photo() as photo):
            size = largest_size(photo)
            if size is None:
                return None
            width, height, length, _ = size
            return FileFacts(FileKind.PHOTO, length, "image/jpeg", None, None, width, height)
        case types.MessageMediaDocument(document=types.Document() as document):
            return document_facts(document)
        case _:
            return None


def location_of(media: Any) -> Location | None:
    """Where the file of a message's media is."""
    match media:
        case types.MessageMediaPhoto(photo=types.Photo() as photo):
            size = largest_size(photo)
            if size is None:
                return None
            return Location(
                photo.dc_id,
                types.InputPhotoFileLocation(photo.id, photo.access_hash, photo.file_reference, size[3]),
            )
        case types.MessageMediaDocument(document=types.Document() as document):
            return Location(
                document.dc_id,
                types.InputDocumentFileLocation(
                    document.id, document.access_hash, document.file_reference, ""
                ),
            )
        case _:
            return None


def largest_size(photo: Any) -> tuple[int, int, int, str] | None:
    """Width, height, length in bytes and name of the best that there is of a photo."""
    sizes: list[tuple[int, int, int, str]] = []
    for size in photo.sizes:
        match size:
            case types.PhotoSize():
                sizes.append((size.w, size.h, size.size, size.type))
            case types.PhotoSizeProgressive():
                sizes.append((size.w, size.h, max(size.sizes), size.type))
            case _:
                pass  # a preview
    return max(sizes, key=lambda size: (size[0] * size[1], size[2]), default=None)


def document_facts(document: Any) -> FileFacts:
    """What its sender said of a document."""
    name: str | None = None
    duration_s: float | None = None
    width: int | None = None
    height: int | None = None
    for attribute in document.attributes:
        match attribute:
            case types.DocumentAttributeFilename():
                name = attribute.file_name
            case types.DocumentAttributeVideo():
                duration_s, width, height = float(attribute.duration), attribute.w, attribute.h
            case types.DocumentAttributeAudio():
                duration_s = float(attribute.duration)
            case types.DocumentAttributeImageSize():
                width, height = attribute.w, attribute.h
            case _:
                pass
    kind = document_kind(document)
    return FileFacts(kind, int(document.size), document.mime_type, name, duration_s, width, height)
