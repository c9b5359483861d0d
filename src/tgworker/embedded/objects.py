"""Files on this machine's disk, each whole or not at all, whatever kills the process; everything here blocks.

In a bucket's folder::

    .data/<version>     the bytes of one version of a file; they never change
    .index/<name>       which version counts, its size, type and etag: replaced in one step
    <name>              the version that counts, for people and for links: a second name of the same bytes

``<name>`` is the file's path with all but plain characters encoded, so that no path leads anywhere, and one
that begins like another is no folder of it. A version is written and synchronised before its index says so;
what a crash has left behind is removed by `sweep`.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

from tgworker.messaging.values import new_id

_DATA: Final = ".data"
_INDEX: Final = ".index"
_FOLDER_MODE: Final = 0o700
_LONGEST_NAME: Final = 180
"""Bytes; longer ones end in a hash. (Most file systems take 255.)"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index says of a file.

    Attributes:
        version: Which bytes count.
        size: How many there are.
        content_type: Their type.
        etag: Names them.
    """

    version: str
    size: int
    content_type: str
    etag: str


class Draft:
    """A new version of a file, while it is written.

    Args:
        folder: Its bucket.
        name: The file's name there.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._version = new_id()
        self._path = folder / _DATA / self._version
        self._digest = hashlib.md5(usedforsecurity=False)
        self._file: IO[bytes] = open(self._path, "xb", opener=_private)  # noqa: SIM115 - closed by both ends
        self.size = 0

    def write(self, piece: bytes) -> None:
        """Add bytes."""
        self._file.write(piece)
        self._digest.update(piece)
        self.size += len(piece)

    def publish(self, content_type: str) -> None:
        """Make it the version that counts; the one before goes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        before = read_entry(self._folder, self._name)
        etag = f'"{self._digest.hexdigest()}"'
        _replace_index(self._folder, self._name, Entry(self._version, self.size, content_type, etag))
        _show(self._folder, self._name, self._path)
        if before is not None:
            (self._folder / _DATA / before.version).unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove it."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def name_of(path: str) -> str:
    """How a file of this path is called in its bucket's folder: no other path gives the same name."""
    name = quote(path, safe=" ()+,=@").replace("~", "%7E")  # which marks those that are cut
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 65]}~{hashlib.sha256(path.encode()).hexdigest()}"


def make_bucket(folder: Path) -> None:
    """Make a bucket's folder, unless it is there."""
    for each in (folder, folder / _DATA, folder / _INDEX):
        each.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)


def has_bucket(folder: Path) -> bool:
    """Whether there is such a bucket."""
    return (folder / _INDEX).is_dir()


def read_entry(folder: Path, name: str) -> Entry | None:
    """What the index says of a file; ``None`` if there is none."""
    try:
        said: Any = json.loads((folder / _INDEX / name).read_bytes())
    except FileNotFoundError:
        return None
    return Entry(said["version"], said["size"], said["content_type"], said["etag"])


def open_version(folder: Path, entry: Entry, begin: int) -> IO[bytes] | None:
    """Open the bytes of an entry; ``None`` if another version counts by now."""
    try:
        file = (folder / _DATA / entry.version).open("rb")
    except FileNotFoundError:
        return None
    file.seek(begin)
    return file


def remove(folder: Path, name: str) -> bool:
    """Remove a file; returns whether there was one."""
    entry = read_entry(folder, name)
    for path in (folder / _INDEX / name, folder / name):
        path.unlink(missing_ok=True)
    if entry is not None:
        (folder / _DATA / entry.version).unlink(missing_ok=True)
    return entry is not None


def sweep(buckets: Iterable[Path]) -> int:
    """Remove what crashes have left behind; nobody else may be writing. Returns how many files that were."""
    gone = 0
    for folder in buckets:
        if not has_bucket(folder):
            continue
        names = [name for name in os.listdir(folder / _INDEX) if not name.startswith(".")]  # noqa: PTH208
        entries = (read_entry(folder, name) for name in names)
        known = {entry.version for entry in entries if entry is not None}
        for version in os.listdir(folder / _DATA):  # noqa: PTH208
            if version not in known:
                (folder / _DATA / version).unlink(missing_ok=True)
                gone += 1
        for leftover in [*folder.glob(".new-*"), *(folder / _INDEX).glob(".new-*")]:
            leftover.unlink(missing_ok=True)
            gone += 1
    return gone


def _replace_index(folder: Path, name: str, entry: Entry) -> None:
    said = {
        "version": entry.version,
        "size": entry.size,
        "content_type": entry.content_type,
        "etag": entry.etag,
    }
    new = folder / _INDEX / f".new-{entry.version}"
    with open(new, "xb", opener=_private) as file:
        file.write(json.dumps(said).encode())
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / _INDEX / name)
    for each in (folder / _DATA, folder / _INDEX):
        _synchronise(each)


def _show(folder: Path, name: str, data: Path) -> None:
    """Give the bytes their second name, where the file system has such a thing."""
    new = folder / f".new-{data.name}"
    with suppress(OSError):
        os.link(data, new)
        new.replace(folder / name)


def _synchronise(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
