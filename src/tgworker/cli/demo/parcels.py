"""What the demo sends and expects of files: a photo, a voice note, an album. Pure."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import zip_longest
from typing import Final

from tgworker.cli.demo.ogg import opus_seconds

TOLERANCE_S: Final = 0.1
"""So much a converted note may differ in length: codecs begin and end on whole frames."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that must be there.

    Attributes:
        kind: What it calls itself.
        caption: What stands under it.
        sha256: Of its bytes; ``None``: it was converted on its way.
        seconds: How long it sounds, where it was converted.
        album: Whether it is one of an album.
    """

    kind: str
    caption: str = field(repr=False)
    sha256: str | None
    seconds: float | None = None
    album: bool = False

    def matches(self, found: "Found") -> bool:
        """Whether a file is this one, byte for byte; one that was converted: is whole and as long."""
        if (
            found.caption != self.caption
            or found.kind not in (self.kind, None)
            or found.album not in (self.album, None)
        ):
            return False
        if self.sha256 is not None:
            return found.data is not None and digest(found.data) == self.sha256
        seconds = None if found.data is None else opus_seconds(found.data)
        return seconds is not None and abs(seconds - (self.seconds or 0.0)) <= TOLERANCE_S


@dataclass(frozen=True, slots=True)
class Found:
    """A file as the other side holds it.

    Attributes:
        caption: What stands under it.
        data: Its bytes; ``None``: there is a message, and no file.
        kind: What it calls itself; ``None``: that side does not say.
        album: Whether it is one of an album; ``None``: likewise.
    """

    caption: str = field(repr=False)
    data: bytes | None = field(repr=False)
    kind: str | None = None
    album: bool | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the files of one direction came out.

    Attributes:
        expected: How many there must be.
        whole: Of these, there in their place, byte for byte.
        wrong: Missing, different, in another's place, or there and never sent.
    """

    expected: int = 0
    whole: int = 0
    wrong: int = 0

    @property
    def clean(self) -> bool:
        """Whether everything is there, and nothing else."""
        return self.whole == self.expected and not self.wrong


def deliver(wanted: Sequence[Wanted], found: Sequence[Found]) -> Delivery:
    """Compare what was sent with what arrived, place by place."""
    whole = wrong = 0
    for one, other in zip_longest(wanted, found):
        if one is not None and other is not None and one.matches(other):
            whole += 1
        else:
            wrong += 1
    return Delivery(len(wanted), whole, wrong)


def digest(data: bytes) -> str:
    """SHA-256, in hex."""
    return sha256(data).hexdigest()


def picture(shade: int) -> bytes:
    """A PNG of 64 by 48 points in one shade of grey.

    Args:
        shade: From 0 to 255: different ones are different files.
    """
    width, height = 64, 48
    rows = (b"\0" + bytes([shade]) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
