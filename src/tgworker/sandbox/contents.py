"""The bytes of files: in memory, on the disk, or made as they are read."""

import os
import tempfile
import weakref
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

PIECE_BYTES = 1 << 20
"""So much of `MadeContent` is random; the pieces after it differ in their numbers."""

_NUMBER_BYTES = 8


class Content(Protocol):
    """The bytes of a file."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def read(self, offset: int, limit: int) -> bytes:
        """Some of them."""
        ...


@dataclass(frozen=True, slots=True)
class HeldContent:
    """Bytes in memory."""

    data: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """See `Content`."""
        return len(self.data)

    def read(self, offset: int, limit: int) -> bytes:
        """See `Content`."""
        return self.data[offset : offset + limit]


class SpooledContent:
    """Bytes in a file without a name: it is gone with whoever holds this.

    Attributes:
        size: How many there are, once all are there.
    """

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self.size = 0

    def read(self, offset: int, limit: int) -> bytes:
        """See `Content`."""
        return os.pread(self._descriptor, limit, offset)

    def write(self, offset: int, data: bytes) -> None:
        """Put some in their place."""
        while data:
            written = os.pwrite(self._descriptor, data, offset)
            offset, data = offset + written, data[written:]


class MadeContent:
    """So many bytes that look like nothing, the same for the same number; a piece of them is held, not more.

    Args:
        size: How many.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._piece = Random(size).randbytes(min(size, PIECE_BYTES))

    @property
    def size(self) -> int:
        """See `Content`."""
        return self._size

    def read(self, offset: int, limit: int) -> bytes:
        """See `Content`."""
        end = min(offset + limit, self._size)
        found: list[bytes] = []
        while offset < end:
            number, within = divmod(offset, PIECE_BYTES)
            piece = self._numbered(number)[within : within + end - offset]
            found.append(piece)
            offset += len(piece)
        return b"".join(found)

    def _numbered(self, number: int) -> bytes:
        """A piece: no two are the same, so that one in the place of another is found out."""
        if number == 0:
            return self._piece
        head = int.from_bytes(self._piece[:_NUMBER_BYTES], "big") ^ number
        return head.to_bytes(_NUMBER_BYTES, "big") + self._piece[_NUMBER_BYTES:]
