"""Files: on their way in, part by part, and whole.

Source: https://core.telegram.org/api/files
"""

import os
import struct
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import md5, sha256
from random import Random
from typing import Any, Protocol

from tgworker.sandbox.errors import RequestRefused

MAX_PART_BYTES = 512 * 1024
PART_UNIT_BYTES = 1024
MAX_PARTS = 4000
MAX_SMALL_BYTES = 10 * 1024 * 1024
"""A file that is longer comes by ``upload.saveBigFilePart``."""

_REFERENCE = struct.Struct("<qq")


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


@dataclass(eq=False, slots=True)
class StoredFile:
    """A file that Telegram has.

    Attributes:
        id: Its number.
        access_hash: What must be known to get it.
        dc_id: Where it lies.
        content: Its bytes.
    """

    id: int
    access_hash: int
    dc_id: int
    content: Content

    @property
    def size(self) -> int:
        """In bytes."""
        return self.content.size

    def sha256(self) -> str:
        """A digest of its bytes, in hex."""
        digest = sha256()
        for offset in range(0, self.size, 1 << 20):
            digest.update(self.content.read(offset, 1 << 20))
        return digest.hexdigest()


class _Small:
    """Parts of a file of at most 10 MB."""

    def __init__(self) -> None:
        self._parts: dict[int, bytes] = {}

    def add(self, number: int, data: bytes, _total: int) -> None:
        self._parts[number] = data

    def forget(self, numbers: frozenset[int] | None) -> None:
        for number in list(self._parts) if numbers is None else numbers:
            self._parts.pop(number, None)

    def whole(self, parts: int) -> Content:
        _check_there(parts, self._parts)
        pieces = [self._parts[number] for number in range(parts)]
        _check_sizes([len(piece) for piece in pieces])
        data = b"".join(pieces)
        if len(data) > MAX_SMALL_BYTES:
            raise RequestRefused(400, "FILE_PARTS_INVALID")
        return HeldContent(data)


class _Big:
    """Parts of a longer one, on the disk."""

    def __init__(self) -> None:
        self._content = SpooledContent()
        self._sizes: dict[int, int] = {}
        self._total = 0
        self._last = b""  # where it goes the others say

    def add(self, number: int, data: bytes, total: int) -> None:
        if self._total and total != self._total:
            raise RequestRefused(400, "FILE_PARTS_INVALID")
        self._total = total
        self._sizes[number] = len(data)
        if number == total - 1:
            self._last = data
        else:
            self._content.write(number * len(data), data)

    def forget(self, numbers: frozenset[int] | None) -> None:
        for number in list(self._sizes) if numbers is None else numbers:
            self._sizes.pop(number, None)

    def whole(self, parts: int) -> Content:
        if parts != self._total:
            raise RequestRefused(400, "FILE_PARTS_INVALID")
        _check_there(parts, self._sizes)
        sizes = [self._sizes[number] for number in range(parts)]
        _check_sizes(sizes)
        self._content.write((parts - 1) * sizes[0], self._last)
        self._content.size = sum(sizes)
        return self._content


class FileShelf:
    """The files of a sandbox.

    Args:
        rng: Draws ids and access hashes.

    Attributes:
        generation: Which file references are good: those of earlier ones have expired.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._arriving: dict[tuple[int, int], _Small | _Big] = {}
        self._whole: dict[tuple[int, int], StoredFile] = {}
        self._files: dict[int, StoredFile] = {}
        self.generation = 1

    def add_part(self, user_id: int, file_id: int, number: int, data: bytes, total: int | None) -> None:
        """A part of a file comes in.

        Args:
            user_id: Whose.
            file_id: What he calls it.
            number: Which part, from 0.
            data: It.
            total: How many there will be; ``None`` for a small file.

        Raises:
            RequestRefused: There is no such part.
        """
        if not data:
            raise RequestRefused(400, "FILE_PART_EMPTY")
        if len(data) > MAX_PART_BYTES:
            raise RequestRefused(400, "FILE_PART_TOO_BIG")
        if not 0 <= number < MAX_PARTS or (total is not None and number >= total):
            raise RequestRefused(400, "FILE_PART_INVALID")
        if total is not None and not 0 < total <= MAX_PARTS:
            raise RequestRefused(400, "FILE_PARTS_INVALID")
        is_last = total is None or number == total - 1
        if not is_last and (len(data) % PART_UNIT_BYTES or MAX_PART_BYTES % len(data)):
            raise RequestRefused(400, "FILE_PART_SIZE_INVALID")
        key = (user_id, file_id)
        parts = self._arriving.get(key)
        if parts is None or isinstance(parts, _Small) is not (total is None):
            parts = self._arriving[key] = _Small() if total is None else _Big()
            self._whole.pop(key, None)
        parts.add(number, data, total or 0)

    def take(self, user_id: int, file_id: int, parts: int, checksum: str, dc_id: int) -> StoredFile:
        """Make a file of what came in; the same one if it is asked for again.

        Args:
            user_id: Whose.
            file_id: What he calls it.
            parts: How many parts he says it has.
            checksum: The MD5 of its bytes; empty: he does not say.
            dc_id: Where it will lie.

        Raises:
            RequestRefused: It is not all there.
        """
        key = (user_id, file_id)
        if key in self._whole:
            return self._whole[key]
        if not 0 < parts <= MAX_PARTS:
            raise RequestRefused(400, "FILE_PARTS_INVALID")
        arriving = self._arriving.get(key)
        if arriving is None:
            raise RequestRefused(400, "FILE_PART_0_MISSING")
        content = arriving.whole(parts)
        if checksum and md5(content.read(0, content.size), usedforsecurity=False).hexdigest() != checksum:
            raise RequestRefused(400, "MD5_CHECKSUM_INVALID")
        file = self._whole[key] = self.keep(content, dc_id)
        del self._arriving[key]
        return file

    def keep(self, content: Content, dc_id: int) -> StoredFile:
        """Keep a file."""
        file = StoredFile(self._rng.getrandbits(62), self._rng.getrandbits(63) | 1, dc_id, content)
        self._files[file.id] = file
        return file

    def forget_parts(self, numbers: frozenset[int] | None = None) -> None:
        """Lose parts of files that no message carries yet: these of each, or all."""
        for parts in self._arriving.values():
            parts.forget(numbers)

    def reference(self, file: StoredFile) -> bytes:
        """What must be said to get it, as long as it is good.

        (https://core.telegram.org/api/file_reference).
        """
        return _REFERENCE.pack(self.generation, file.id)

    def find(self, file_id: int, access_hash: int, reference: bytes, error: str) -> StoredFile:
        """The file that a client means.

        Raises:
            RequestRefused: There is none, or its reference has expired.
        """
        file = self._files.get(file_id)
        if file is None or file.access_hash != access_hash:
            raise RequestRefused(400, error)
        try:
            generation, named = _REFERENCE.unpack(reference)
        except struct.error:
            wrong = "INVALID" if reference else "EMPTY"
            raise RequestRefused(400, f"FILE_REFERENCE_{wrong}") from None
        if named != file.id:
            raise RequestRefused(400, "FILE_REFERENCE_INVALID")
        if generation != self.generation:
            raise RequestRefused(400, "FILE_REFERENCE_EXPIRED")
        return file


def _check_there(parts: int, there: Mapping[int, Any]) -> None:
    for number in range(parts):
        if number not in there:
            raise RequestRefused(400, f"FILE_PART_{number}_MISSING")


def _check_sizes(sizes: list[int]) -> None:
    """All parts but the last are of one length, which divides 512 KiB."""
    first = sizes[0]
    if any(size != first for size in sizes[:-1]) or sizes[-1] > first:
        raise RequestRefused(400, "FILE_PART_SIZE_CHANGED")
    if len(sizes) > 1 and (first % PART_UNIT_BYTES or MAX_PART_BYTES % first):
        raise RequestRefused(400, "FILE_PART_SIZE_INVALID")
