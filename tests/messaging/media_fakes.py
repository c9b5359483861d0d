"""What moves files in the tests of `tgworker.messaging`: scripted, recorded, in memory, without threads."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
import trio

from file_fakes import NoFileStore
from messaging.messaging_fakes import SENT, ScriptedConnection, Weather
from tgworker.messaging.file_store import (
    BucketMissing,
    Content,
    ObjectChanged,
    ObjectMissing,
    SizeDiffers,
    Uploaded,
    UploadOutcome,
)
from tgworker.messaging.media import PART_BYTES, PartialUpload
from tgworker.messaging.media_ports import (
    MediaMessage,
    PartsForgotten,
    ReferenceExpired,
    RemoteFile,
)
from tgworker.messaging.models import Look, Peer
from tgworker.messaging.outcomes import Deferred, Outcome, Refused
from tgworker.messaging.places import Place
from tgworker.messaging.transcoding import ConversionFailed, Converted, MediaFacts

T = TypeVar("T")

Happening = float | Deferred | Refused | Exception | None
"""What becomes of a part: so many seconds, and it is there; said; raised; or nothing, ever (``None``)."""

Piece = bytes | float | Deferred | Refused | ReferenceExpired | Exception | None
"""What comes of a file: bytes; a pause in seconds; said; raised; or nothing more, ever (``None``)."""


async def inline(sync_fn: Callable[..., T], *args: object, **_: object) -> T:
    """Fills `trio.to_thread.run_sync` without a thread: no mock clock waits for one."""
    await trio.lowlevel.checkpoint_if_cancelled()
    result = sync_fn(*args)
    await trio.lowlevel.cancel_shielded_checkpoint()
    return result


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disks answer at once, in no time of the mock clock."""
    monkeypatch.setattr("trio.to_thread.run_sync", inline)
    monkeypatch.setattr("trio._path.run_sync", inline)


# ---------------------------------------------------------------- Telegram


@dataclass
class ScriptedUpload:
    """Fills `media_ports.Upload`."""

    line: "MediaLine"
    file: PartialUpload

    async def send(self, number: int, data: bytes) -> Deferred | Refused | None:
        assert len(data) == min(PART_BYTES, self.file.size - number * PART_BYTES)
        line = self.line
        line.offered.append((trio.current_time(), number))
        said = await _happens(line.parts.popleft() if line.parts else line.part_takes_s)
        if said is None and line.lag_s:
            line.owed.append(number)
        elif said is None:
            self.file.acknowledge(number, trio.current_time())
            if line.keeps:
                line.kept.setdefault(self.file.file_id, {})[number] = data
        return said

    async def finish(self) -> Deferred | Refused | None:
        self.line.finished_at.append(trio.current_time())
        while self.line.owed:
            since = max(self.file.moved_at_s, self.line.finished_at[0])
            await trio.sleep_until(since + self.line.lag_s)
            if len(self.line.owed) <= self.line.never:
                await trio.sleep_forever()
            self.file.acknowledge(self.line.owed.pop(0), trio.current_time())
        return await _happens(self.line.finishes.popleft() if self.line.finishes else 0)


class MediaLine(ScriptedConnection):
    """A line that moves files: at once, unless told otherwise.

    Attributes:
        parts: What becomes of the next parts.
        part_takes_s: What becomes of all others.
        lag_s: So long each part is acknowledged behind the one before, once all were handed over; 0: at once.
        never: So many of the last parts are never acknowledged then.
        finishes: What becomes of the next calls of `Upload.finish`.
        keeps: Whether it keeps what parts hold.
        posts: What becomes of the next messages with files; ``None`` hangs.
        media_look: What a look for files shows.
        remote: What messages carry.
        finds: What becomes of the next questions for that, before they are answered.
        pieces: What comes of the next downloads; all else comes at once, from ``content``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parts: deque[Happening] = deque()
        self.never = 0
        self.part_takes_s = 0.0
        self.finishes: deque[Happening] = deque()
        self.lag_s = 0.0
        self.owed: list[int] = []
        self.keeps = True
        self.kept: dict[int, dict[int, bytes]] = {}
        self.offered: list[tuple[float, int]] = []
        self.finished_at: list[float] = []
        self.posts: deque[Outcome | PartsForgotten | Exception | None] = deque()
        self.posted: list[tuple[float, tuple[MediaMessage, ...]]] = []
        self.media_look: Look | Deferred | Refused = Look((), whole=True)
        self.media_looked: list[tuple[float, int, int]] = []
        self.remote: dict[int, RemoteFile | Refused] = {}
        self.finds: deque[Deferred | Refused | Exception | None] = deque()
        self.found_at: list[tuple[float, int, tuple[int, ...]]] = []
        self.pieces: deque[Sequence[Piece]] = deque()
        self.content = b""
        self.begun: list[tuple[float, int]] = []
        self.open_now = 0

    def bytes_of(self, message: MediaMessage) -> bytes:
        return b"".join(data for _, data in sorted(self.kept[message.file.file_id].items()))

    def upload(self, file: PartialUpload) -> ScriptedUpload:
        return ScriptedUpload(self, file)

    async def send_media(self, peer: Peer, messages: Sequence[MediaMessage]) -> Outcome | PartsForgotten:
        self.posted.append((trio.current_time(), tuple(messages)))
        return await _played(self.posts.popleft() if self.posts else SENT)

    async def look_for_media(
        self, peer: Peer, messages: Sequence[MediaMessage], *, above: int
    ) -> Look | Deferred | Refused:
        self.media_looked.append((trio.current_time(), len(messages), above))
        await trio.lowlevel.checkpoint()
        return self.media_look

    async def find_files(
        self, peer: Peer, telegram_ids: Sequence[int]
    ) -> Mapping[int, RemoteFile | Refused] | Deferred | Refused:
        self.found_at.append((trio.current_time(), peer.chat_id, tuple(telegram_ids)))
        if self.finds:
            return await _played(self.finds.popleft())
        await trio.lowlevel.checkpoint()
        return {each: self.remote[each] for each in telegram_ids if each in self.remote}

    async def find_avatar(self, peer: Peer, photo_id: int) -> RemoteFile | Deferred | Refused:
        if self.finds:
            return await _played(self.finds.popleft())
        await trio.lowlevel.checkpoint()
        return self.remote[photo_id]

    @asynccontextmanager
    async def download(
        self, file: RemoteFile, *, begin: int = 0
    ) -> AsyncGenerator[AsyncIterator[bytes | Deferred | ReferenceExpired | Refused]]:
        self.begun.append((trio.current_time(), begin))
        self.open_now += 1
        pieces = _pieces(self.pieces.popleft() if self.pieces else [self.content[begin:]])
        try:
            yield pieces
        finally:
            self.open_now -= 1
            await pieces.aclose()


async def _pieces(
    script: Sequence[Piece],
) -> AsyncGenerator[bytes | Deferred | ReferenceExpired | Refused]:
    for piece in script:
        if isinstance(piece, int | float):
            await trio.sleep(piece)
        else:
            yield await _played(piece)


async def _happens(what: Happening) -> Deferred | Refused | None:
    if isinstance(what, int | float):
        await trio.sleep(what)
        return None
    return await _played(what)


async def _played(what: T | Exception | None) -> T:
    if what is None:
        await trio.sleep_forever()
        raise AssertionError("unreachable")
    await trio.lowlevel.checkpoint()
    if isinstance(what, Exception):
        raise what
    return what


# ---------------------------------------------------------------- the file store


@dataclass
class _Read:
    """Fills `file_store.Reading`."""

    files: "MemoryFiles"
    place: Place
    data: bytes
    begin: int
    pieces: list[AsyncGenerator[bytes]] = field(default_factory=list[AsyncGenerator[bytes]])

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def content_type(self) -> str:
        return "application/octet-stream"

    @property
    def etag(self) -> str | None:
        return str(hash(self.data))

    def __aiter__(self) -> AsyncGenerator[bytes]:
        self.pieces.append(self._pieces())
        return self.pieces[-1]

    async def _pieces(self) -> AsyncGenerator[bytes]:
        for begin in range(self.begin, len(self.data), 100_000):
            piece = self.data[begin : begin + 100_000]
            await self.files.weather.face("read", lambda: None)
            if self.files.there.get((self.place.bucket, self.place.path)) is not self.data:
                raise ObjectChanged("another file lies there now")
            yield piece


class MemoryFiles(NoFileStore):
    """Fills `file_store.FileStore` in memory, with its rules; ``weather`` says which calls are answered."""

    def __init__(self) -> None:
        self.weather = Weather()
        self.buckets = {"files", "avatars"}
        self.there: dict[tuple[str, str], bytes] = {}
        self.made: list[tuple[str, bool]] = []
        self.rejects: UploadOutcome | None = None

    def put(self, path: str, data: bytes) -> None:
        self.there["files", path] = data

    async def upload(self, place: Place, content: Content, *, size: int, content_type: str) -> UploadOutcome:
        await self.weather.face("upload", lambda: None)
        if place.bucket not in self.buckets:
            raise BucketMissing("there is no such bucket")
        if self.rejects is not None:
            return self.rejects
        data = b"".join([piece async for piece in content()])
        if len(data) != size:
            return SizeDiffers(size, len(data))
        self.there[place.bucket, place.path] = data
        return Uploaded(size)

    @asynccontextmanager
    async def download(
        self, place: Place, *, begin: int = 0, etag: str | None = None
    ) -> AsyncGenerator[_Read]:
        await self.weather.face("download", lambda: None)
        data = self.there.get((place.bucket, place.path))
        if data is None:
            raise ObjectMissing("there is no such file")
        reading = _Read(self, place, data, begin)
        if etag is not None and reading.etag != etag:
            raise ObjectChanged("another file lies there now")
        try:
            yield reading
        finally:
            for pieces in reading.pieces:
                await pieces.aclose()

    async def ensure_bucket(self, bucket: str, *, public: bool) -> None:
        def make() -> None:
            self.made.append((bucket, public))
            self.buckets.add(bucket)

        await self.weather.face("ensure_bucket", make)

    def link(self, place: Place) -> str:
        return f"https://files/{place.bucket}/{place.path}"


# ---------------------------------------------------------------- conversion


@dataclass
class ScriptedTranscoder:
    """Fills `transcoding.Transcoder`: makes ``voice`` of anything.

    Attributes:
        failures: What becomes of the next conversions, before one is well; ``None`` hangs.
        seen: What a look into a file shows.
        takes_s: How long either takes.
    """

    voice: bytes = b"OggS voice"
    failures: deque[ConversionFailed | None] = field(default_factory=deque[ConversionFailed | None])
    seen: MediaFacts = field(default_factory=MediaFacts)
    takes_s: float = 0.0
    sources: list[bytes] = field(default_factory=list[bytes])

    async def convert_voice(
        self, source: Path, target: Path, *, deadline_s: float
    ) -> Converted | ConversionFailed:
        self.sources.append(await trio.Path(source).read_bytes())
        await trio.sleep(self.takes_s)
        if self.failures:
            return await _played(self.failures.popleft())
        await trio.Path(target).write_bytes(self.voice)
        return Converted(2.5, b"\x01" * 63)

    async def inspect(self, source: Path, *, deadline_s: float) -> MediaFacts:
        self.sources.append(await trio.Path(source).read_bytes())
        await trio.sleep(self.takes_s)
        return self.seen
