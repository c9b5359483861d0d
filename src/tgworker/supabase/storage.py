"""Supabase's Storage: attachments up and down, streamed. What is whole in memory is a piece of a file."""

import os
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final, Protocol
from urllib.parse import quote

import httpx
import msgspec
import trio

from tgworker.messaging.errors import StoreAway
from tgworker.messaging.file_store import BucketMissing, Content, ObjectChanged, UploadOutcome
from tgworker.messaging.models import Secret
from tgworker.messaging.places import Place, check_bucket
from tgworker.supabase.addresses import quoted
from tgworker.supabase.downloads import Download
from tgworker.supabase.events import Observer, ignore
from tgworker.supabase.storage_errors import Thing
from tgworker.supabase.storage_line import StorageLine, Way, unknown
from tgworker.supabase.uploader import Uploader

MAX_TRANSFERS: Final = 4
"""Files on their way at a time, in each direction; each has a connection. Others wait for their turn."""

MEDIA_S: Final = 60.0
"""How long a file may go without progress: the plan's, as `tgworker.messaging.limits.Limits.media_s`."""

TRIES: Final = 3
"""So often an object that changes while it is read is read from its beginning."""

MAX_PREFIXES: Final = 1000
"""Objects that Storage deletes in one request."""

LONGEST_LINK_S: Final = 10 * 365 * 86400


class _Signed(msgspec.Struct):
    signedURL: str  # noqa: N815 - Storage's name for it


class _Writable(Protocol):
    """A file that is written in a thread."""

    async def write(self, data: bytes, /) -> int: ...
    async def seek(self, target: int, /) -> int: ...
    async def truncate(self) -> int: ...


class Storage:
    """One project's Storage. Get one from `open_storage`.

    Every method may be repeated after any doubt. It raises `StoreAway` when nobody answers, or not now
    (`StoreRefused`: a person must act), and `RequestBroken` for a bug. No error, event or ``repr`` shows a
    path, a link or the key.

    The content of an upload may be read from a download, one of each at a time in one task. (The other way
    round it could not be sent again from its beginning.)

    Args:
        line: Requests to it.
        media_s: How long a file may go without progress, seconds.
    """

    def __init__(self, line: StorageLine, *, media_s: float) -> None:
        self._line = line
        self._media_s = media_s
        self._uploader = Uploader(line, media_s)

    async def upload(self, place: Place, content: Content, *, size: int, content_type: str) -> UploadOutcome:
        """Store an object, or replace the one that is there.

        It is there as a whole, or not at all. A connection that breaks means that it is sent again, from its
        beginning; for as long as ``content`` takes to come, there is no deadline here.

        Args:
            place: Where it goes.
            content: Makes its content, from its beginning, for each try.
            size: How many bytes that is.
            content_type: Its type, as it is served later.

        Raises:
            StoreAway: Storage is away, the connection broke in each of the tries, or nothing moved for too
                long.
            BucketMissing: There is no such bucket.
            Exception: What ``content`` raised, as it was.

        Cancellation: the object is as it was, or, after the last byte, perhaps the new one.
        """
        return await self._uploader.upload(place, content, size, content_type)

    @asynccontextmanager
    async def download(
        self, place: Place, *, begin: int = 0, etag: str | None = None
    ) -> AsyncGenerator[Download]:
        """Read an object; leave the context as early as you like.

        Args:
            place: Where it is.
            begin: The first byte that is wanted, less than the object's size.
            etag: The version that is wanted, from an earlier download; ``None``: the one that is there.

        Raises:
            ObjectMissing: There is no such object.
            ObjectChanged: There is another version of it; or, while it is being read, another one came.
            StoreAway: Storage is away.

        Cancellation: the connection is closed.
        """
        async with self._line.connection(f"download from {place.bucket}", Way.DOWN):
            download = Download(self._line, place, media_s=self._media_s, begin=begin, etag=etag)
            try:
                await download.open()
                yield download
            finally:
                await download.close()

    async def download_to(self, place: Place, path: Path) -> Download:
        """Read an object into a file; one that changes meanwhile is read from its beginning.

        Args:
            place: Where it is.
            path: The file; it appears, or is replaced, when all of it is there.

        Raises:
            ObjectMissing: There is no such object.
            ObjectChanged: It changed in each of the tries.
            StoreAway: Storage is away, or nothing came for too long.
            OSError: The file cannot be written.

        Cancellation: the file is as it was, and nothing else is left.
        """
        descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        temporary = Path(name)
        try:
            async with trio.wrap_file(os.fdopen(descriptor, "wb")) as file:
                download = await self._download_into(file, place)
            _replace(temporary, path)
        finally:
            _forget(temporary)
        return download

    async def sign(self, place: Place, *, for_s: int) -> Secret:
        """A link that opens one object to whoever has it.

        Args:
            place: Where the object is.
            for_s: How long, seconds; at least 1.

        Raises:
            ObjectMissing: There is no such object.
        """
        if not 1 <= for_s <= LONGEST_LINK_S:
            raise ValueError(f"for_s must be 1 to {LONGEST_LINK_S}")
        call = f"link into {place.bucket}"
        answer = await self._line.ask(
            call, "POST", f"/object/sign/{quoted(place)}", {"expiresIn": for_s}, about=Thing.OBJECT
        )
        try:
            signed = msgspec.convert(answer, _Signed).signedURL
        except msgspec.ValidationError:
            raise unknown(call) from None
        if not signed.startswith("/object/sign/"):
            raise unknown(call)
        return Secret(f"{self._line.url}/storage/v1{signed}")

    async def delete(self, bucket: str, paths: Sequence[str]) -> int:
        """Delete objects; returns how many there were. Those that are not there are no error.

        Args:
            bucket: Where they are.
            paths: Which; each is one object's whole path.

        Raises:
            PlaceInvalid: One of them can be no object's; none was deleted.
            BucketMissing: There is no such bucket.

        Cancellation: some may be deleted, others not.
        """
        check_bucket(bucket)
        names = [Place(bucket, path).path for path in paths]
        call = f"delete in {bucket}"
        gone = 0
        for begin in range(0, len(names), MAX_PREFIXES):
            prefixes = {"prefixes": names[begin : begin + MAX_PREFIXES]}
            answer = await self._line.ask(call, "DELETE", f"/object/{quote(bucket, safe='')}", prefixes)
            if not isinstance(answer, list):
                raise unknown(call)
            gone += len(answer)
        return gone

    async def ensure_bucket(self, bucket: str, *, public: bool) -> None:
        """Make a bucket, unless there is one of that name already, whatever it is like.

        Args:
            bucket: Its name.
            public: Whether a new one's objects are for everybody who knows their `link`.

        Raises:
            PlaceInvalid: No bucket can have that name.
            StoreAway: Storage is away.
        """
        check_bucket(bucket)
        if await self._has_bucket(bucket):
            return
        about = {"id": bucket, "name": bucket, "public": public}
        try:
            await self._line.ask(f"create {bucket}", "POST", "/bucket", about)
        except StoreAway:  # a 409 is one, too: another worker made it meanwhile
            if not await self._has_bucket(bucket):
                raise

    def link(self, place: Place) -> str:
        """A lasting address of an object, for everybody if its bucket is public, else for nobody.

        Args:
            place: Where the object is.
        """
        return f"{self._line.url}/storage/v1/object/public/{quoted(place)}"

    async def _has_bucket(self, bucket: str) -> bool:
        try:
            await self._line.ask(f"look at {bucket}", "GET", f"/bucket/{quote(bucket, safe='')}")
        except BucketMissing:
            return False
        return True

    async def _download_into(self, file: _Writable, place: Place) -> Download:
        attempt = 1
        while True:
            try:
                async with self.download(place) as download:
                    async for piece in download:
                        await file.write(piece)
                return download
            except ObjectChanged:
                if attempt == TRIES:
                    raise
            attempt += 1
            await file.seek(0)
            await file.truncate()


@asynccontextmanager
async def open_storage(
    url: str,
    key: Secret,
    *,
    media_s: float = MEDIA_S,
    max_transfers: int = MAX_TRANSFERS,
    rng: Random | None = None,
    observer: Observer = ignore,
    transport: httpx.AsyncBaseTransport | None = None,
) -> AsyncGenerator[Storage]:
    """A project's Storage; nothing is sent before the first request.

    Args:
        url: The project's URL, without a slash at the end.
        key: A JWT of the role ``service_role``, or an ``sb_secret_…`` key.
        media_s: How long a file may go without progress, seconds.
        max_transfers: How many files are on their way at a time, in each direction; others wait.
        rng: Request ids, and jitter; one of its own if nothing is said.
        observer: Hears of every request that failed.
        transport: In place of the network, for tests.
    """
    line = StorageLine(
        url,
        key,
        max_transfers=max_transfers,
        rng=Random() if rng is None else rng,
        observer=observer,
        transport=transport,
    )
    try:
        yield Storage(line, media_s=media_s)
    finally:
        await line.close()


def _replace(temporary: Path, path: Path) -> None:
    temporary.replace(path)


def _forget(temporary: Path) -> None:
    temporary.unlink(missing_ok=True)
