"""Buckets and the objects in them, as files in a folder."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from io import BufferedReader
from pathlib import Path

import trio

LONGEST_NAME = 1024
"""Characters of an object's name (Storage's limit is that of S3)."""


class TooLarge(Exception):
    """More came than the bucket takes; nothing of it was kept."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket.

    Attributes:
        id: Its name.
        public: Whether anybody may read what is in it.
        file_size_limit: The largest object that it takes, in bytes; ``None``: any.
        allowed_mime_types: Which types it takes; ``None``: any.
    """

    id: str
    public: bool = False
    file_size_limit: int | None = None
    allowed_mime_types: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """An object.

    Attributes:
        name: Its path in the bucket.
        size: In bytes.
        mime_type: Its type, as it was uploaded.
        etag: MD5 of its content, as S3 has it.
    """

    name: str
    size: int
    mime_type: str
    etag: str


class Objects:
    """All buckets. Names of objects never become paths: a file is named by the hash of its object's name.

    Args:
        folder: Where they are; it is made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def create(self, bucket: Bucket) -> bool:
        """Make a bucket; returns whether there was none of that name."""
        folder = self._folder / _file_name(bucket.id)
        if folder.exists():
            return False
        folder.mkdir(parents=True)
        (folder / "bucket.json").write_text(json.dumps(asdict(bucket)))
        return True

    def bucket(self, name: str) -> Bucket | None:
        """A bucket, if there is one of that name."""
        return _read_bucket(self._folder / _file_name(name))

    def buckets(self) -> Sequence[Bucket]:
        """All buckets by name."""
        found = [_read_bucket(folder) for folder in self._folder.iterdir()]
        return sorted((each for each in found if each is not None), key=lambda each: each.id)

    def delete_bucket(self, name: str) -> None:
        """Remove a bucket and what is in it."""
        shutil.rmtree(self._folder / _file_name(name), ignore_errors=True)

    def find(self, bucket: str, name: str) -> Stored | None:
        """An object, if there is one of that name."""
        try:
            return Stored(**json.loads(self._about(bucket, name).read_text()))
        except FileNotFoundError:
            return None

    def listing(self, bucket: str, prefix: str) -> Sequence[Stored]:
        """The objects whose names begin with ``prefix``, by name."""
        files = (self._folder / _file_name(bucket)).glob("*.about")
        found = [Stored(**json.loads(file.read_text())) for file in files]
        return sorted((each for each in found if each.name.startswith(prefix)), key=lambda each: each.name)

    def unfinished(self) -> int:
        """How many uploads are under way."""
        return len(list(self._folder.glob("*/*.part")))

    def open(self, bucket: str, name: str) -> tuple[Stored, BufferedReader] | None:
        """An object and its content, if there is one of that name; it stays what it was when opened."""
        stored = self.find(bucket, name)
        return None if stored is None else (stored, self._content(bucket, name).open("rb"))

    async def store(
        self, bucket: str, name: str, mime_type: str, pieces: AsyncIterator[bytes], *, limit: int | None
    ) -> Stored:
        """Write an object, piece by piece; it appears, or replaces another, when the last one is there.

        Args:
            bucket: A bucket that exists.
            name: Its path in the bucket.
            mime_type: Its type.
            pieces: Its content.
            limit: How many bytes it may have; ``None``: any.

        Raises:
            TooLarge: It has more.

        Cancellation: nothing of it is left.
        """
        about = self._about(bucket, name)
        descriptor, temporary = tempfile.mkstemp(dir=about.parent, suffix=".part")
        digest = hashlib.md5(usedforsecurity=False)
        size = 0
        try:
            async with trio.wrap_file(os.fdopen(descriptor, "wb")) as file:
                async for piece in pieces:
                    size += len(piece)
                    if limit is not None and size > limit:
                        raise TooLarge
                    digest.update(piece)
                    await file.write(piece)
            stored = Stored(name, size, mime_type, digest.hexdigest())
            _keep(temporary, about, stored)
        finally:
            _forget(temporary)
        return stored

    def delete(self, bucket: str, name: str) -> Stored | None:
        """Remove an object; returns what it was, if there was one."""
        stored = self.find(bucket, name)
        self._about(bucket, name).unlink(missing_ok=True)
        self._content(bucket, name).unlink(missing_ok=True)
        return stored

    def _content(self, bucket: str, name: str) -> Path:
        return self._about(bucket, name).with_suffix(".content")

    def _about(self, bucket: str, name: str) -> Path:
        return self._folder / _file_name(bucket) / f"{_file_name(name)}.about"


def _file_name(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def _keep(temporary: str, about: Path, stored: Stored) -> None:
    Path(temporary).replace(about.with_suffix(".content"))
    about.write_text(json.dumps(asdict(stored)))


def _forget(temporary: str) -> None:
    Path(temporary).unlink(missing_ok=True)


def _read_bucket(folder: Path) -> Bucket | None:
    try:
        about = json.loads((folder / "bucket.json").read_text())
    except FileNotFoundError:
        return None
    types = about.pop("allowed_mime_types")
    return Bucket(**about, allowed_mime_types=None if types is None else tuple(types))
