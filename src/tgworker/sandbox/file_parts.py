"""Files on their way in: the parts of one, in any order.

Source: https://core.telegram.org/api/files#uploading-files
"""

from collections.abc import Mapping
from typing import Any

from tgworker.sandbox.contents import Content, HeldContent, SpooledContent
from tgworker.sandbox.errors import RequestRefused

MAX_PART_BYTES = 512 * 1024
PART_UNIT_BYTES = 1024
MAX_PARTS = 4000
MAX_SMALL_BYTES = 10 * 1024 * 1024
"""A file that is longer comes by ``upload.saveBigFilePart``."""


class SmallParts:
    """Parts of a file of at most 10 MB, in memory."""

    def __init__(self) -> None:
        self._parts: dict[int, bytes] = {}
        self._held_bytes = 0

    def add(self, number: int, data: bytes, _total: int) -> None:
        """Take a part, perhaps once more. Raises RequestRefused if it is too much for a small file."""
        held_bytes = self._held_bytes - len(self._parts.get(number, b"")) + len(data)
        if held_bytes > MAX_SMALL_BYTES:
            raise RequestRefused(400, "FILE_PARTS_INVALID")
        self._parts[number] = data
        self._held_bytes = held_bytes

    def forget(self, numbers: frozenset[int] | None) -> None:
        """Lose these parts, or all."""
        for number in list(self._parts) if numbers is None else numbers:
            self._held_bytes -= len(self._parts.pop(number, b""))

    def whole(self, parts: int) -> Content:
        """The file. Raises RequestRefused if it is not all there, or its parts do not fit together."""
        _check_there(parts, self._parts)
        pieces = [self._parts[number] for number in range(parts)]
        _check_sizes([len(piece) for piece in pieces])
        return HeldContent(b"".join(pieces))


class BigParts:
    """Parts of a longer one, on the disk."""

    def __init__(self) -> None:
        self._content = SpooledContent()
        self._sizes: dict[int, int] = {}
        self._total = 0
        self._last = b""  # where it goes the others say

    def add(self, number: int, data: bytes, total: int) -> None:
        """Take a part, perhaps once more. Raises RequestRefused if others said another total."""
        if self._total and total != self._total:
            raise RequestRefused(400, "FILE_PARTS_INVALID")
        self._total = total
        self._sizes[number] = len(data)
        if number == total - 1:
            self._last = data
        else:
            self._content.write(number * len(data), data)

    def forget(self, numbers: frozenset[int] | None) -> None:
        """Lose these parts, or all."""
        for number in list(self._sizes) if numbers is None else numbers:
            self._sizes.pop(number, None)

    def whole(self, parts: int) -> Content:
        """The file. Raises RequestRefused if it is not all there, or its parts do not fit together."""
        if parts != self._total:
            raise RequestRefused(400, "FILE_PARTS_INVALID")
        _check_there(parts, self._sizes)
        sizes = [self._sizes[number] for number in range(parts)]
        _check_sizes(sizes)
        self._content.write((parts - 1) * sizes[0], self._last)
        self._content.size = sum(sizes)
        return self._content


def check_part(number: int, data: bytes, total: int | None) -> None:
    """Whether a part can be one.

    Args:
        number: Which, from 0.
        data: It.
        total: How many there will be; ``None`` for a small file.

    Raises:
        RequestRefused: It cannot.
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
