"""Files: on their way in, part by part, and whole.

Source: https://core.telegram.org/api/files
"""

import struct
from dataclasses import dataclass
from hashlib import md5, sha256
from random import Random

from tgworker.sandbox.contents import Content
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.file_parts import MAX_PARTS, BigParts, SmallParts, check_part

MAX_UNFINISHED = 50
"""So many files of a user are on their way in at a time: what comes beyond them drops the one that has waited
longest for a part. (Telegram drops them by time: from minutes to hours.)"""

_REFERENCE = struct.Struct("<qq")


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


@dataclass(frozen=True, slots=True)
class _Taken:
    """A file that came in, and how."""

    file: StoredFile
    parts: int
    big: bool


class FileShelf:
    """The files of a sandbox.

    Args:
        rng: Draws ids and access hashes.

    Attributes:
        generation: Which file references are good: those of earlier ones have expired.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._arriving: dict[int, dict[int, SmallParts | BigParts]] = {}  # by user; last touched, last
        self._taken: dict[tuple[int, int], _Taken] = {}
        self._files: dict[int, StoredFile] = {}
        self.generation = 1

    def add_part(self, user_id: int, file_id: int, number: int, data: bytes, total: int | None) -> None:
        """A part of a file comes in; one that comes late for a file that was taken changes nothing.

        Args:
            user_id: Whose.
            file_id: What he calls it.
            number: Which part, from 0.
            data: It.
            total: How many there will be; ``None`` for a small file.

        Raises:
            RequestRefused: There is no such part.
        """
        check_part(number, data, total)
        if (user_id, file_id) in self._taken:
            return
        arriving = self._arriving.setdefault(user_id, {})
        parts = arriving.pop(file_id, None)
        if parts is None or isinstance(parts, SmallParts) is not (total is None):
            parts = SmallParts() if total is None else BigParts()
        arriving[file_id] = parts
        if len(arriving) > MAX_UNFINISHED:
            del arriving[next(iter(arriving))]
        parts.add(number, data, total or 0)

    def take(
        self, user_id: int, file_id: int, parts: int, checksum: str, dc_id: int, *, big: bool
    ) -> StoredFile:
        """Make a file of what came in; the same one if it is asked for again.

        Args:
            user_id: Whose.
            file_id: What he calls it.
            parts: How many parts he says it has.
            checksum: The MD5 of its bytes; empty: he does not say.
            dc_id: Where it will lie.
            big: Whether he says that it came by ``upload.saveBigFilePart``.

        Raises:
            RequestRefused: It is not all there, or not what he says.
        """
        if not 0 < parts <= MAX_PARTS:
            raise RequestRefused(400, "FILE_PARTS_INVALID")
        taken = self._taken.get((user_id, file_id))
        if taken is not None:
            if (parts, big) != (taken.parts, taken.big):
                raise RequestRefused(400, "FILE_PARTS_INVALID")
            _check_sum(taken.file.content, checksum)
            return taken.file
        arriving = self._arriving.get(user_id, {})
        there = arriving.get(file_id)
        if there is None:
            raise RequestRefused(400, "FILE_PART_0_MISSING")
        if isinstance(there, BigParts) is not big:
            raise RequestRefused(400, "FILE_PARTS_INVALID")
        content = there.whole(parts)
        _check_sum(content, checksum)
        file = self.keep(content, dc_id)
        self._taken[user_id, file_id] = _Taken(file, parts, big)
        del arriving[file_id]
        return file

    def keep(self, content: Content, dc_id: int) -> StoredFile:
        """Keep a file."""
        file = StoredFile(self._rng.getrandbits(62), self._rng.getrandbits(63) | 1, dc_id, content)
        self._files[file.id] = file
        return file

    def forget_parts(self, numbers: frozenset[int] | None = None) -> None:
        """Lose parts of files that no message carries yet: these of each, or all."""
        for arriving in self._arriving.values():
            for parts in arriving.values():
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


def _check_sum(content: Content, checksum: str) -> None:
    if checksum and md5(content.read(0, content.size), usedforsecurity=False).hexdigest() != checksum:
        raise RequestRefused(400, "MD5_CHECKSUM_INVALID")
