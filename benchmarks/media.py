"""A long file up and down through the worker, against a bare script; what that costs it, and others."""

import sqlite3
import statistics
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import final

import trio

from benchmarks.cloud import Cloud, CloudUser, open_cloud
from benchmarks.line import Effort, Json, Measured
from benchmarks.pairs import Pairs, TimedRun, in_ms, quantile, rounded
from benchmarks.processes import forget_peak, resident_kb
from benchmarks.service import OWNER, WITHIN_S, Service, open_service
from benchmarks.throughput import run_script
from tgworker.app.books import open_file_store
from tgworker.embedded import DataFolder
from tgworker.messaging.file_store import FileStore, Uploaded, file_pieces
from tgworker.messaging.media import OutgoingFile
from tgworker.messaging.models import MessageId
from tgworker.messaging.places import Place
from tgworker.messaging.records import OutboxRecord, OutboxState
from tgworker.messaging.values import new_id
from tgworker.settings import load_settings

MIB = 1 << 20
TYPE = "application/octet-stream"
OUTGOING = Place("attachments", f"{OWNER}/outgoing/long.bin")
LOOK_EVERY_S = 0.01
GAPS_S = (0.01, 0.05)
"""Between another account's texts."""

_FETCHED = """
select f.state, f.error, a.storage_bucket, a.storage_path
from tgworker_files f left join attachments a on a.message_id = f.message_id where f.telegram_id = ?
"""


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done.

    Attributes:
        file_bytes: The length of the file.
        pairs: How often each side brings it up, and down.
        idle_s: How long a worker is left alone before its memory is read, seconds.
        texts: How many texts of the other account are timed while the worker has nothing else to do.
    """

    file_bytes: int
    pairs: int
    idle_s: float
    texts: int


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure ``upload_vs_bare``, ``download_vs_bare`` and ``media_rss_mb``."""
    full = Plan(file_bytes=512 * MIB, pairs=3, idle_s=5.0, texts=200)
    return trio.run(_measure, effort.pick(full=full, short=Plan(4 * MIB, 1, 0.2, 5)))


async def _measure(plan: Plan) -> dict[str, Measured]:
    async with open_cloud(5) as cloud, _open_transfers(cloud, plan.file_bytes) as transfers:
        service = transfers.service
        async with service.worker() as worker:
            await service.wait_online()
            await trio.sleep(plan.idle_s)
            idle_texts_s = await transfers.time_texts(plan.texts)
            forget_peak(worker.pid)
            idle_kb = resident_kb(worker.pid)
            beside_s = {
                "upload": await transfers.time_texts_beside(transfers.up),
                "download": await transfers.time_texts_beside(transfers.down),
            }
            first_kb = resident_kb(worker.pid, "VmHWM")
            ups = await _take_turns(transfers.up, transfers.bare_up, plan.pairs)
            downs = await _take_turns(transfers.down, transfers.bare_down, plan.pairs)
            peak_kb = resident_kb(worker.pid, "VmHWM")
            await transfers.check()
    idle_p99_s = quantile(idle_texts_s, 0.99)
    detail: dict[str, Json] = {
        "file_mib": plan.file_bytes // MIB,
        "other_account_idle_p99_ms": in_ms(idle_p99_s),
        "other_account_idle_texts": len(idle_texts_s),
    }
    for name, found in beside_s.items():
        detail |= {
            f"other_account_{name}_p50_ms": in_ms(quantile(found, 0.5)),
            f"other_account_{name}_p99_ms": in_ms(quantile(found, 0.99)),
            f"other_account_{name}_p99_vs_idle": rounded(quantile(found, 0.99) / idle_p99_s),
            f"other_account_{name}_texts": len(found),
        }
    memory: dict[str, Json] = {
        "idle_mb": rounded(idle_kb / 1024),
        "peak_mb": rounded(peak_kb / 1024),
        "after_the_first_mb": rounded((first_kb - idle_kb) / 1024),
    }
    return {
        "upload_vs_bare": _ratio(ups, plan, detail),
        "download_vs_bare": _ratio(downs, plan, detail),
        "media_rss_mb": Measured(rounded((peak_kb - idle_kb) / 1024), {**memory, **detail}),
    }


async def _take_turns(ours: TimedRun, bare: TimedRun, pairs: int) -> Pairs:
    """As `benchmarks.pairs.interleave`, but each run counts: ours has had one, and bare is new each time."""
    taken: dict[TimedRun, list[float]] = {ours: [], bare: []}
    for number in range(pairs):
        for side in (ours, bare) if number % 2 == 0 else (bare, ours):
            taken[side].append(await side())
    return Pairs(tuple(taken[ours]), tuple(taken[bare]))


def _ratio(pairs: Pairs, plan: Plan, detail: dict[str, Json]) -> Measured:
    """Rates: more is better, so bare's seconds stand above ours."""
    ratios = [bare_s / ours_s for ours_s, bare_s in zip(pairs.ours_s, pairs.bare_s, strict=True)]
    mib = plan.file_bytes / MIB
    return Measured(
        rounded(statistics.median(ratios)),
        {
            "ours_mib_per_s": rounded(mib / statistics.median(pairs.ours_s)),
            "bare_mib_per_s": rounded(mib / statistics.median(pairs.bare_s)),
            "lowest": rounded(min(ratios)),
            "highest": rounded(max(ratios)),
            "pairs": len(ratios),
            **detail,
        },
    )


@final
@dataclass(slots=True)
class Transfers:
    """A worker with two accounts, and a user for the bare script; all of them know two more.

    Attributes:
        cloud: The sandbox.
        service: The worker's store: the first account has files, the other one texts.
        files: Its file store; `OUTGOING` lies there.
        path: The same file on the disk.
        size: How long files are, bytes.
        digest: The SHA-256 of that one, in hex.
    """

    cloud: Cloud
    service: Service
    files: FileStore
    path: Path
    size: int
    digest: str
    _rng: Random = field(default_factory=lambda: Random(0))
    _sent: int = 0
    _fetched: tuple[int, Place] | None = None

    @property
    def _bare_user(self) -> CloudUser:
        return self.cloud.users[0]

    @property
    def _user(self) -> CloudUser:
        return self.cloud.users[1]

    @property
    def _other(self) -> CloudUser:
        return self.cloud.users[2]

    @property
    def _friend(self) -> CloudUser:
        return self.cloud.users[3]

    @property
    def _reader(self) -> CloudUser:
        return self.cloud.users[4]  # (in one conversation texts would wait for the file before them)

    async def up(self) -> float:
        """A row with a file is written → the message is settled; seconds."""
        row = OutgoingFile(new_id(), OUTGOING.bucket, OUTGOING.path, "long.bin", TYPE, self.size)
        outbox = self.service.books.outbox
        began_s = perf_counter()
        (message_id,) = await outbox.enqueue(self.service.accounts[0], str(self._friend.id), [], files=[row])
        with trio.fail_after(WITHIN_S):
            record = await self._settled(message_id)
        took_s = perf_counter() - began_s
        if record.state is not OutboxState.SENT or record.telegram_id is None:
            raise RuntimeError(f"the file was not sent: {record.error}")
        self._sent = record.telegram_id
        return took_s

    async def _settled(self, message_id: MessageId) -> OutboxRecord:
        while True:
            await trio.sleep(LOOK_EVERY_S)
            record = (await self.service.books.outbox.outcomes([message_id]))[message_id]
            if record.state.settled:
                return record

    async def down(self) -> float:
        """A message with a file is there → the file lies in the file store, and its row says so; seconds."""
        if self._fetched is not None:  # the disk is not ours alone
            _, place = self._fetched
            await self.files.delete(place.bucket, [place.path])
        with closing(sqlite3.connect(DataFolder(self.service.folder / "data").database)) as connection:
            began_s = perf_counter()
            message_id = await self.cloud.send_made(self._friend, self._user, self.size)
            state, error, bucket, path = "pending", None, "", ""
            with trio.fail_after(WITHIN_S):
                while state == "pending":
                    await trio.sleep(LOOK_EVERY_S)
                    row = connection.execute(_FETCHED, (message_id,)).fetchone()
                    state, error, bucket, path = row or (state, error, bucket, path)
            took_s = perf_counter() - began_s
        if state != "done":
            raise RuntimeError(f"the file was not fetched: {error}")
        self._fetched = message_id, Place(bucket, path)
        return took_s

    async def check(self) -> None:
        """Whether the last file of each direction arrived as it was sent."""
        assert self._fetched is not None
        message_id, place = self._fetched
        digest = sha256()
        async with self.files.download(place) as pieces:
            async for piece in pieces:
                digest.update(piece)
        if digest.hexdigest() != await self.cloud.digest(self._user, self._friend, message_id):
            raise RuntimeError("another file was fetched than was sent")
        if await self.cloud.digest(self._user, self._friend, self._sent) != self.digest:
            raise RuntimeError("another file arrived than was sent")

    async def bare_up(self) -> float:
        """The bare script sends the same file; seconds."""
        return await self._bare("up", self.path)

    async def bare_down(self) -> float:
        """The bare script puts a file of the same size on the disk; seconds."""
        await self.cloud.send_made(self._friend, self._bare_user, self.size)
        path = self.path.with_name("fetched.bin")
        try:
            return await self._bare("down", path)
        finally:
            path.unlink()

    async def _bare(self, word: str, path: Path) -> float:
        facts = {"session": self._bare_user.session, "peer": self._friend.id, "path": str(path)}
        return await run_script("bare_files.py", word, facts=facts)

    async def time_texts(self, count: int) -> list[float]:
        """What texts of the other account take, one by one: row written → Telegram has it; seconds."""
        return [await self._time_text() for _ in range(count)]

    async def time_texts_beside(self, transfer: TimedRun) -> list[float]:
        """The same while a file is on its way."""
        found: list[float] = []
        over = False

        async def carry() -> None:
            nonlocal over
            await transfer()
            over = True

        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry)
            while not over:
                found.append(await self._time_text())
        return found

    async def _time_text(self) -> float:
        await trio.sleep(self._rng.uniform(*GAPS_S))
        text = f"text {self._rng.getrandbits(64):x}"
        began_s = perf_counter()
        await self.service.books.outbox.enqueue(self.service.accounts[1], str(self._reader.id), [text])
        with trio.fail_after(WITHIN_S):
            return await self.cloud.wait_arrival(self._reader, self._other, text) - began_s


@asynccontextmanager
async def _open_transfers(cloud: Cloud, size: int) -> AsyncGenerator[Transfers]:
    with TemporaryDirectory() as name:
        path = Path(name) / "long.bin"
        digest = await trio.to_thread.run_sync(_write, path, size)
        async with (
            open_service(cloud, cloud.users[1:3]) as service,
            open_file_store(load_settings(service.env, require=())) as files,
        ):
            await files.ensure_bucket(OUTGOING.bucket, public=False)
            said = await files.upload(OUTGOING, partial(file_pieces, path), size=size, content_type=TYPE)
            assert isinstance(said, Uploaded)
            yield Transfers(cloud, service, files, path, size, digest)


def _write(path: Path, size: int) -> str:
    """A file of noise; returns its SHA-256, in hex. No two of its pieces are the same."""
    rng, digest = Random(size), sha256()
    noise = rng.randbytes(MIB)
    with path.open("wb") as file:
        for number in range(size // MIB):
            piece = number.to_bytes(8, "big") + noise[8:]
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()
