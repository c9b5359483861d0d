"""Fetching: what is kept of what arrives, what is tried again and when, and what is given up."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from messaging.media_fakes import MediaLine, MemoryFiles, no_threads
from messaging.messaging_fakes import ANNA, FakeStore, RecordingPulse, Reports, growing
from tgworker.messaging.bell import Bell
from tgworker.messaging.bounded import Outage
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.events import FileFetched, StoreBack, StoreUnavailable
from tgworker.messaging.fetching import Fetcher, FetchPlan
from tgworker.messaging.file_store import Rejected, Why
from tgworker.messaging.incoming_files import (
    Fetched,
    FetchLater,
    FetchOutcome,
    IncomingFile,
    NotFetched,
    WantedAvatar,
)
from tgworker.messaging.limits import Limits
from tgworker.messaging.media import FileFacts, FileKind
from tgworker.messaging.media_ports import ReferenceExpired, RemoteFile
from tgworker.messaging.media_rules import MediaRules
from tgworker.messaging.models import MessageId
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.messaging.spool import Spool

__all__ = ["no_threads"]

pytestmark = pytest.mark.usefixtures("no_threads")

CONTENT = Random(2).randbytes(3000)
FACTS = FileFacts(FileKind.DOCUMENT, len(CONTENT), "application/octet-stream", "a.bin")
REMOTE = RemoteFile(FACTS, "handle")


@dataclass
class Stage:
    """A fetcher that runs."""

    line: MediaLine
    files: MemoryFiles
    store: FakeStore
    report: Reports
    bell: Bell
    spool: Path
    turns: trio.CapacityLimiter

    def wanted(self, number: int = 1, *, tries: int = 0, chat_id: int = 77) -> None:
        one = IncomingFile(MessageId(f"m{number}"), "owner", chat_id, number, FACTS, tries)
        self.store.files[one.message_id] = one
        self.line.remote[number] = REMOTE

    def collected(self) -> list[Path]:
        return list(self.spool.iterdir())

    def outcomes(self) -> list[tuple[float, FetchOutcome]]:
        return [(at, outcome) for at, _, outcome in self.store.fetched]


def made(tmp_path: Path) -> Stage:
    line = MediaLine()
    line.content = CONTENT
    return Stage(line, MemoryFiles(), FakeStore(), Reports(), Bell(), tmp_path, trio.CapacityLimiter(4))


async def run(stage: Stage, rules: MediaRules | None = None) -> None:
    plan = FetchPlan(
        files=stage.files,
        spool=Spool(stage.spool),
        bucket="files",
        avatars_bucket="avatars",
        rules=rules or MediaRules(),
        turns=stage.turns,
    )
    pulse = RecordingPulse()
    fetcher = Fetcher(
        pulse,
        account_id=ANNA,
        plan=plan,
        connection=stage.line,
        store=stage.store,
        limits=Limits(),
        outage=Outage(pulse, stage.report, growing),
        report=stage.report,
        bell=stage.bell,
    )
    await fetcher.run()


@asynccontextmanager
async def fetching(stage: Stage, rules: MediaRules | None = None) -> AsyncGenerator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, stage, rules)
        yield
        nursery.cancel_scope.cancel()
    assert stage.turns.borrowed_tokens == 0
    assert stage.line.open_now == 0


async def test_what_is_wanted_is_kept_and_its_copy_goes(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = made(tmp_path)
    stage.wanted()
    async with fetching(stage):
        await trio.sleep(1)
    ((at, outcome),) = stage.outcomes()
    assert isinstance(outcome, Fetched)
    assert at == 0
    assert stage.files.there[outcome.bucket, outcome.path] == CONTENT
    assert stage.collected() == []
    (event,) = stage.report.of(FileFetched)
    assert event.outcome == "fetched"


async def test_one_chat_is_looked_up_once(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    stage = made(tmp_path)
    for number, chat_id in ((1, 77), (2, 78), (3, 77)):
        stage.wanted(number, chat_id=chat_id)
    async with fetching(stage):
        await trio.sleep(1)
    assert stage.line.found_at == [(0, 77, (1, 3)), (0, 78, (2,))]
    assert len(stage.store.fetched) == 3


@pytest.mark.parametrize(
    ("tries", "outcome"),
    [
        *((n, FetchLater(pause_s, "nothing came for 60 s")) for n, pause_s in enumerate((30, 60, 120, 240))),
        (4, NotFetched("given up after 5 tries: nothing came for 60 s")),
    ],
)
async def test_pauses_double_and_end_after_five_tries(
    tries: int, outcome: FetchOutcome, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = made(tmp_path)
    stage.wanted(tries=tries)
    stage.line.pieces.append([CONTENT[:1000], None])
    async with fetching(stage):
        await trio.sleep(70)
    assert stage.outcomes() == [(60, outcome)]
    # What came is kept while it is tried again, and goes with the last try.
    assert len(stage.collected()) == isinstance(outcome, FetchLater)


async def test_what_is_due_is_asked_for_then_and_goes_on(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = made(tmp_path)
    stage.wanted()
    stage.line.pieces.append([CONTENT[:1000], Deferred(400, "FLOOD_WAIT")])
    async with fetching(stage):
        await trio.sleep(1)
        stage.wanted(tries=0)
        await trio.sleep(500)
    assert [at for at, _ in stage.outcomes()] == [0, 400]
    assert stage.line.begun == [(0, 0), (400, 1000)]


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (Deferred(7, "FLOOD_WAIT"), FetchLater(7, "FLOOD_WAIT", counts=False)),
        (Refused("CHANNEL_PRIVATE"), NotFetched("CHANNEL_PRIVATE")),
    ],
)
async def test_a_chat_that_cannot_be_looked_up(
    said: Deferred | Refused,
    outcome: FetchOutcome,
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
) -> None:
    stage = made(tmp_path)
    stage.wanted(tries=4)
    stage.line.finds.append(said)
    async with fetching(stage):
        await trio.sleep(1)
    assert stage.outcomes() == [(0, outcome)]


async def test_an_expired_reference_is_looked_up_anew(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = made(tmp_path)
    stage.wanted()
    stage.line.pieces.append([CONTENT[:1000], ReferenceExpired()])
    async with fetching(stage):
        await trio.sleep(1)
    assert stage.line.begun == [(0, 0), (0, 1000)]
    assert len(stage.line.found_at) == 2
    assert isinstance(stage.outcomes()[0][1], Fetched)


async def test_a_message_that_is_gone_and_a_kind_that_is_not_wanted_are_left(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = made(tmp_path)
    stage.wanted(1)
    stage.wanted(2)
    del stage.line.remote[1]
    async with fetching(stage, MediaRules(kinds=frozenset())):
        await trio.sleep(1)
    said = {name: outcome for _, name, outcome in stage.store.fetched}
    gone, unwanted = said[MessageId("m1")], said[MessageId("m2")]
    assert gone == NotFetched("Telegram has the message no more")
    assert isinstance(unwanted, NotFetched)
    assert unwanted.unwanted
    assert stage.line.begun == []


async def test_an_outage_of_the_file_store_is_waited_for(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = made(tmp_path)
    stage.wanted()
    stage.files.weather.will("upload", "away", "away")
    async with fetching(stage):
        await trio.sleep(10)
    assert stage.files.weather.times("upload") == [0, 1, 3]
    assert stage.line.begun == [(0, 0)]
    assert isinstance(stage.outcomes()[0][1], Fetched)
    assert len(stage.report.of(StoreUnavailable)) == 2
    assert [event.operation for event in stage.report.of(StoreBack)] == ["files.upload"]


async def test_a_bucket_that_is_missing_is_made(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = made(tmp_path)
    stage.wanted()
    stage.files.buckets.clear()
    async with fetching(stage):
        await trio.sleep(1)
    assert stage.files.made == [("files", False)]
    assert isinstance(stage.outcomes()[0][1], Fetched)


async def test_what_the_file_store_will_not_have_is_left(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = made(tmp_path)
    stage.wanted()
    stage.files.rejects = Rejected(Why.TOO_LARGE, "it is too large: raise the limit")
    async with fetching(stage):
        await trio.sleep(1)
    assert stage.outcomes() == [(0, NotFetched("it is too large: raise the limit"))]
    assert stage.collected() == []


async def test_a_lost_line_ends_it_and_what_came_is_gone_on_with(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = made(tmp_path)
    stage.wanted()
    stage.line.pieces.append([CONTENT[:1000], TelegramAway("it broke")])
    with pytest.raises(TelegramAway, match="it broke"):
        await run(stage)
    assert (stage.turns.borrowed_tokens, stage.outcomes()) == (0, [])
    async with fetching(stage):
        await trio.sleep(1)
    assert stage.line.begun == [(0, 0), (0, 1000)]


@pytest.mark.parametrize("state", ["looking", "downloading", "keeping", "finishing"])
async def test_cut_off_in_any_state_no_turn_is_taken(
    state: str, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = made(tmp_path)
    for number in range(1, 7):
        stage.wanted(number)
    match state:
        case "looking":
            stage.line.finds.append(None)
        case "downloading":
            stage.line.pieces.extend([[None], [None]])
        case "keeping":
            stage.files.weather.will("upload", "hang", "hang")
        case _:
            stage.store.weather.will("finish_file", "hang", "hang")
    async with fetching(stage):  # which looks at the turns
        await trio.sleep(5)
        assert stage.turns.borrowed_tokens == (0 if state == "looking" else 2)
    async with fetching(stage):
        await trio.sleep(40)
    assert {name for _, name, _ in stage.store.fetched} == {f"m{number}" for number in range(1, 7)}


async def test_photos_of_people_are_kept_and_linked(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = made(tmp_path)
    stage.store.avatars[5] = WantedAvatar(5, 9, "owner")
    stage.line.remote[9] = replace(REMOTE)
    async with fetching(stage):
        await trio.sleep(1)
    ((chat_id, outcome, url),) = stage.store.pictured
    assert (chat_id, url) == (5, "https://files/avatars/owner/5/9.jpg")
    assert isinstance(outcome, Fetched)


async def test_news_is_heard_at_once_and_without_any_it_looks_each_10_minutes(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    stage = made(tmp_path)
    async with fetching(stage):
        await trio.sleep(100)
        stage.bell.ring()
        await trio.sleep(601)
    assert stage.store.weather.times("wanted_files") == [0, 100, 700]


async def test_a_bell_that_rang_before_is_heard_once(autojump_clock: trio.testing.MockClock) -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    await bell.wait(100)
    assert trio.current_time() == 0
    await bell.wait(100)
    assert trio.current_time() == 100
