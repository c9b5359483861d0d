"""What messages carry beside text, and how clients see it."""

import struct
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from telethon.tl import types

from tgworker.sandbox.contents import Content
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.files import FileShelf, StoredFile

MAX_PHOTO_BYTES = 10 * 1024 * 1024
MAX_PHOTO_SIDES = 10_000
"""Width and height together, in pixels (https://core.telegram.org/bots/api#sendphoto)."""

MAX_PHOTO_RATIO = 20
"""Of the longer side to the other one (the same)."""

HEAD_BYTES = 64 * 1024
"""So much of a picture tells how large it is."""

LARGEST = "y"
"""The size of photos that is as they came; there is no other."""


class Size(NamedTuple):
    """Of a picture, in pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class PhotoMedia:
    """A photo.

    Attributes:
        shelf: Where its file is.
        file: It.
        date: When it came.
        size: How large it is.
    """

    shelf: FileShelf
    file: StoredFile
    date: datetime
    size: Size

    def view(self) -> Any:
        """As a ``messageMediaPhoto``."""
        sizes: list[Any] = [types.PhotoSize(LARGEST, self.size.width, self.size.height, self.file.size)]
        photo = types.Photo(
            self.file.id,
            self.file.access_hash,
            self.shelf.reference(self.file),
            self.date,
            sizes,
            self.file.dc_id,
        )
        return types.MessageMediaPhoto(photo=photo)


@dataclass(frozen=True, slots=True)
class DocumentMedia:
    """Any other file.

    Attributes:
        shelf: Where its file is.
        file: It.
        date: When it came.
        mime_type: What its sender said it is.
        attributes: What else he said, as TL objects.
    """

    shelf: FileShelf
    file: StoredFile
    date: datetime
    mime_type: str
    attributes: tuple[Any, ...] = ()

    def view(self) -> Any:
        """As a ``messageMediaDocument``."""
        document = types.Document(
            id=self.file.id,
            access_hash=self.file.access_hash,
            file_reference=self.shelf.reference(self.file),
            date=self.date,
            mime_type=self.mime_type,
            size=self.file.size,
            dc_id=self.file.dc_id,
            attributes=list(self.attributes),
        )
        is_round = any(getattr(each, "round_message", False) for each in self.attributes)
        is_voice = any(getattr(each, "voice", False) for each in self.attributes)
        is_video = any(isinstance(each, types.DocumentAttributeVideo) for each in self.attributes)
        return types.MessageMediaDocument(
            document=document, video=is_video or None, round=is_round or None, voice=is_voice or None
        )


@dataclass(frozen=True, slots=True)
class OtherMedia:
    """What has no file: a place, a contact, a poll.

    Attributes:
        media: The TL object.
    """

    media: Any = field(repr=False)

    def view(self) -> Any:
        """It."""
        return self.media


Media = PhotoMedia | DocumentMedia | OtherMedia


def family_of(media: Media) -> str | None:
    """What may stand in one album with what; ``None``: with nothing."""
    match media:
        case PhotoMedia():
            return "pictures"
        case DocumentMedia():
            kinds = {type(each) for each in media.attributes}
            if types.DocumentAttributeVideo in kinds:
                return "pictures"
            return "audio" if types.DocumentAttributeAudio in kinds else "documents"
        case OtherMedia():
            return None


def photo_size(content: Content) -> Size:
    """How large a photo is.

    Raises:
        RequestRefused: Telegram takes no such file as a photo.
    """
    if content.size > MAX_PHOTO_BYTES:
        raise RequestRefused(400, "PHOTO_SAVE_FILE_INVALID")
    size = _picture_size(content.read(0, HEAD_BYTES))
    if sum(size) > MAX_PHOTO_SIDES or not 0 < max(size) <= MAX_PHOTO_RATIO * min(size):
        raise RequestRefused(400, "PHOTO_INVALID_DIMENSIONS")
    return size


def _picture_size(head: bytes) -> Size:
    """How large a picture is that begins so. Raises RequestRefused if that is no picture."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return Size(*struct.unpack(">II", head[16:24]))
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return Size(512, 512)
    if head.startswith(b"\xff\xd8\xff"):
        return _jpeg_size(head)
    raise RequestRefused(400, "IMAGE_PROCESS_FAILED")


def _jpeg_size(head: bytes) -> Size:
    at = 2
    while at + 9 < len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], struct.unpack(">H", head[at + 2 : at + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return Size(width, height)
        at += 2 + length
    return Size(800, 600)  # its header is longer than what is looked at
