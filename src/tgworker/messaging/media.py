"""Files that messages carry, as values."""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

MOST_IN_ALBUM: Final = 10
"""Messages that Telegram shows as one album (https://core.telegram.org/api/files#albums-grouped-media)."""

PART_BYTES: Final = 512 * 1024
"""How long a part of a file is on its way up (https://core.telegram.org/api/files#uploading-files)."""

LARGEST_BYTES: Final = 4000 * PART_BYTES
"""As much as Telegram takes in one file from an account without Premium
(https://core.telegram.org/api/config#upload-max-fileparts-default)."""

LONGEST_WAIT_S: Final = 300.0
"""A flood wait of a transfer that is no longer is waited for where it came, with everything in hand; after a
longer one the transfer is put back, and goes on where it stopped."""

DEFAULT_CAPTION_LIMIT: Final = 1024
"""UTF-16 code units under a file, while the server has not said otherwise
(https://core.telegram.org/api/config#caption-length-limit-default)."""


class FileKind(StrEnum):
    """What Telegram takes a file for; the same words stand in ``messages.message_type``."""

    PHOTO = "photo"
    VIDEO = "video"
    VIDEO_NOTE = "video_note"
    ANIMATION = "animation"
    AUDIO = "audio"
    VOICE = "voice"
    STICKER = "sticker"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A row of ``attachments`` that belongs to a claimed message, as the claim committed it.

    Nothing of it is checked yet: it is what the application wrote.

    Attributes:
        id: ``attachments.id``.
        bucket: Where it lies; empty if the row does not say.
        path: The same.
        file_name: What people call it.
        mime_type: What it claims to be.
        byte_size: How long it claims to be.
    """

    id: str
    bucket: str
    path: str = field(repr=False)
    file_name: str | None = field(default=None, repr=False)
    mime_type: str | None = None
    byte_size: int | None = None


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What Telegram said about a file that a message carries.

    Attributes:
        kind: What it is.
        size: In bytes.
        mime_type: What its sender says it is.
        file_name: What its sender calls it: not to be trusted.
        duration_s: Of sound and moving pictures.
        width: Of pictures, in pixels.
        height: The same.
    """

    kind: FileKind
    size: int
    mime_type: str | None = None
    file_name: str | None = field(default=None, repr=False)
    duration_s: float | None = None
    width: int | None = None
    height: int | None = None


@dataclass(slots=True)
class PartialUpload:
    """A file that is on its way to Telegram, part by part: what another line needs to go on with it.

    Telegram keeps parts for minutes to hours (https://core.telegram.org/api/files#uploading-files).

    Attributes:
        file_id: Drawn by who sends it; names the file until a message carries it.
        size: In bytes, from 1.
        file_name: What Telegram is told.
        acknowledged: Numbers of the parts that Telegram has; see `acknowledge`.
        moved_at_s: When it took the last one, on trio's clock.
    """

    file_id: int
    size: int
    file_name: str = field(repr=False)
    acknowledged: set[int] = field(default_factory=set[int], repr=False)
    moved_at_s: float = -math.inf

    def acknowledge(self, number: int, now_s: float) -> None:
        """Telegram has taken a part, at that time of trio's clock."""
        self.acknowledged.add(number)
        self.moved_at_s = now_s

    @property
    def parts(self) -> int:
        """How many there are."""
        return -(-self.size // PART_BYTES)

    @property
    def bytes_done(self) -> int:
        """How much of it Telegram has."""
        last = self.parts - 1
        short = self.parts * PART_BYTES - self.size if last in self.acknowledged else 0
        return len(self.acknowledged) * PART_BYTES - short
