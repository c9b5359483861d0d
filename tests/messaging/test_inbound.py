"""What arrives is committed in order, with its position, and never lost."""

import itertools
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from messaging.messaging_fakes import ANNA, PEER, FakeStore, RecordingPulse, Reports, batch, growing
from tgworker.messaging import inbound
from tgworker.messaging.bounded import Outage
from tgworker.messaging.changes import Change, Deleted, Pinned, Reacted, ReadByThem, ReadByUs
from tgworker.messaging.events import HistoryMissed, Ingested, StoreBack, StoreUnavailable
from tgworker.messaging.inbound import MOST_MESSAGES, READ_WEIGHT, merged, pieces, run_inbound
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import Position
from tgworker.messaging.traffic import Traffic
from tgworker.messaging.update_batches import Gap, UpdateBatch


@asynccontextmanager
async def ingesting(
    store: FakeStore, report: Reports | None = None, *, buffer: int = 1000
) -> AsyncGenerator[trio.MemorySendChannel[UpdateBatch]]:
    report = report or Reports()
    send, receive = trio.open_memory_channel[UpdateBatch](buffer)
    outage = Outage(RecordingPulse(), report, growing, account=ANNA)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                run_inbound,
                account_id=ANNA,
                updates=receive,
                store=store,
                limits=Limits(),
                outage=outage,
                report=report,
                ring=lambda: None,
                traffic=Traffic(),
            )
        )
        yield send
        nursery.cancel_scope.cancel()


def parts(store: FakeStore) -> list[tuple[list[int], int | None]]:
    """The commits: ids and ``pts``."""
    return [
        ([one.telegram_id for one in each.messages], each.position.pts if each.position else None)
        for each in store.batches
    ]


async def test_a_batch_is_committed_at_once_with_its_position(autojump_clock: trio.testing.MockClock) -> None:
    store, report = FakeStore(), Reports()
    async with ingesting(store, report) as updates:
        await updates.send(batch(1, 2, pts=12, peers=[PEER]))
        await trio.sleep(1)
        await updates.send(batch(2, 3, pts=13))
        await trio.sleep(1)
    assert parts(store) == [([1, 2], 12), ([2, 3], 13)]
    assert store.batches[0].peers == (PEER,)
    assert store.weather.times("ingest") == [0, 1]
    assert report.of(Ingested) == [Ingested(ANNA, 2, 2, 0), Ingested(ANNA, 2, 1, 0)]


async def test_a_position_without_messages_is_stored_and_not_reported() -> None:
    store, report = FakeStore(), Reports()
    async with ingesting(store, report) as updates:
        await updates.send(batch(pts=5))
        await trio.testing.wait_all_tasks_blocked()
    assert store.stored_position == Position(5, 0, 0, 0)
    assert report.of(Ingested) == []


async def test_what_waits_is_committed_together(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore()
    store.weather.will("ingest", "hang")
    async with ingesting(store) as updates:
        await updates.send(batch(1, pts=11))
        await trio.sleep(1)
        await updates.send(batch(2, pts=12))
        await updates.send(batch(3, pts=13))
        await trio.sleep(15)
    assert parts(store) == [([1], 11), ([2, 3], 13)]
    assert store.weather.times("ingest") == [0, 11, 11]


async def test_a_commit_that_fails_is_repeated_as_it_was_until_it_is_done(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, report = FakeStore(), Reports()
    store.weather.will("ingest", "away", "lost", "away", "ok")
    async with ingesting(store, report) as updates:
        await updates.send(batch(1, 2, pts=12))
        await trio.sleep(0.5)
        await updates.send(batch(3, pts=13))
        await trio.sleep(100)
    # at once; after 1 s, cut at 11; after 2 s; after 3 s. What came meanwhile follows, in its order.
    assert store.weather.times("ingest") == [0, 1, 13, 16, 16]
    assert parts(store) == [([1, 2], 12), ([1, 2], 12), ([3], 13)]
    assert [event.retry_in_s for event in report.of(StoreUnavailable)] == [1, 2, 3]
    assert report.of(StoreBack) == [StoreBack("database.ingest", 16, ANNA)]
    assert [(event.messages, event.new) for event in report.of(Ingested)] == [(2, 0), (1, 1)]


async def test_a_store_that_is_away_makes_telegram_wait(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore()
    store.weather.will("ingest", "hang")
    async with ingesting(store, buffer=2) as updates:
        await updates.send(batch(0, pts=0))
        await trio.sleep(1)
        await updates.send(batch(1, pts=1))
        await updates.send(batch(2, pts=2))
        with trio.move_on_after(5) as full:
            await updates.send(batch(3, pts=3))
        assert full.cancelled_caught
        await updates.send(batch(3, pts=3))
        assert trio.current_time() == 11
        await trio.testing.wait_all_tasks_blocked()
    assert store.ingested() == [0, 1, 2, 3]


async def test_a_cancelled_loop_has_stored_no_position_of_what_it_did_not_commit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    store.weather.will("ingest", "ok", "hang")
    async with ingesting(store) as updates:
        await updates.send(batch(1, pts=11))
        await trio.sleep(1)
        await updates.send(batch(2, pts=12))
        await updates.send(batch(3, pts=13))
        await trio.sleep(1)
    assert parts(store) == [([1], 11)]


async def test_the_loop_returns_when_the_channel_ends_and_has_committed_all_of_it() -> None:
    store = FakeStore()
    send, receive = trio.open_memory_channel[UpdateBatch](10)
    for n in range(3):
        send.send_nowait(batch(n, pts=n))
    send.close()
    await run_inbound(
        account_id=ANNA,
        updates=receive,
        store=store,
        limits=Limits(),
        outage=Outage(RecordingPulse(), Reports(), growing),
        report=Reports(),
        ring=lambda: None,
        traffic=Traffic(),
    )
    assert parts(store) == [([0, 1, 2], 2)]


async def test_no_commit_takes_more_messages_than_its_deadline_bears() -> None:
    store = FakeStore()
    async with ingesting(store) as updates:
        for first in range(0, 1200, 300):
            await updates.send(batch(*range(first, first + 300), pts=first + 300))
        await updates.send(batch(*range(1200, 2500), pts=2500))
        await trio.testing.wait_all_tasks_blocked()
    assert store.ingested() == list(range(2500))
    assert [(len(ids), pts) for ids, pts in parts(store)] == [
        *((300, pts) for pts in (300, 600, 900, 1200)),
        (500, None),
        (500, None),
        (300, 2500),
    ]


async def test_small_batches_fill_a_commit_to_the_brim_and_no_further() -> None:
    store = FakeStore()
    async with ingesting(store) as updates:
        for n in range(MOST_MESSAGES + 100):
            updates.send_nowait(batch(n, pts=n))
        await trio.testing.wait_all_tasks_blocked()
    assert store.ingested() == list(range(MOST_MESSAGES + 100))
    # The first was handed to the waiting loop directly; the others it found when it looked.
    assert [len(each.messages) for each in store.batches] == [MOST_MESSAGES, 100]


def test_merging_keeps_everything_in_order_and_the_latest_of_what_there_is_one_of() -> None:
    renamed = replace(PEER, username="new")
    earlier = UpdateBatch(batch(1).messages, (PEER,), ((5, 50),), Position(1, 0, 0, 0))
    later = UpdateBatch(batch(2).messages, (renamed,), ((6, 60),), Position(2, 0, 0, 0))
    assert merged(earlier, later) == UpdateBatch(
        batch(1, 2).messages, (renamed,), ((5, 50), (6, 60)), Position(2, 0, 0, 0)
    )
    assert merged(earlier, replace(later, position=None)).position == earlier.position


def test_peers_and_sent_ids_come_before_the_messages_and_the_position_after_them() -> None:
    whole = replace(batch(1, 2, 3, pts=9, peers=[PEER]), sent_ids=((5, 50),))
    first, second = pieces(whole, 2)
    assert (first.peers, first.sent_ids, first.position) == ((PEER,), ((5, 50),), None)
    assert (second.peers, second.sent_ids, second.position) == ((), (), Position(9, 0, 0, 0))


def test_changes_of_merged_batches_keep_their_order() -> None:
    read, reacted = ReadByThem(5, 1), Reacted(5, 1, {"+": 1})
    earlier, later = (replace(batch(n), changes=(each,)) for n, each in ((1, read), (2, reacted)))
    assert merged(earlier, later).changes == (read, reacted)


def test_changes_follow_the_last_message_and_come_before_the_position() -> None:
    changes = (Reacted(5, 1, {}), Reacted(5, 2, {}), Reacted(5, 3, {}))
    whole = replace(batch(1, 2, 3, pts=9, peers=[PEER]), changes=changes)
    assert [(len(piece.messages), len(piece.changes), piece.position) for piece in pieces(whole, 2)] == [
        (2, 0, None),
        (1, 1, None),
        (0, 2, Position(9, 0, 0, 0)),
    ]


async def test_no_commit_takes_more_changes_than_its_deadline_bears() -> None:
    store = FakeStore()
    async with ingesting(store) as updates:
        for pts in range(3):
            changes = tuple(Reacted(5, 1000 * pts + n, {}) for n in range(300))
            await updates.send(replace(batch(pts=pts), changes=changes))
        reads = tuple(ReadByThem(chat, 1) for chat in range(60))
        await updates.send(replace(batch(pts=4), changes=reads))
        await trio.testing.wait_all_tasks_blocked()
    assert [len(each.changes) for each in store.batches] == [300, 300, 300, 50, 10]
    assert store.stored_position == Position(4, 0, 0, 0)


IDS = st.lists(st.integers(1, 99), max_size=9).map(tuple)
CHANGES = st.one_of(
    st.builds(Deleted, st.just(None), IDS),
    st.builds(Pinned, st.just(5), IDS, st.booleans()),
    st.builds(Reacted, st.just(5), st.integers(1, 9), st.just({})),
    st.builds(ReadByThem, st.just(5), st.integers(1, 9)),
    st.builds(ReadByUs, st.just(5), st.integers(1, 9), st.just(0)),
)


def told(changes: Sequence[Change]) -> list[object]:
    """What changes say, however it is spread over them."""
    said: list[object] = []
    for change in changes:
        if isinstance(change, Deleted | Pinned):
            said += [replace(change, telegram_ids=(one,)) for one in change.telegram_ids]
        else:
            said.append(change)
    return said


@settings(max_examples=200, deadline=None)
@given(messages=st.integers(0, 9), changes=st.lists(CHANGES, max_size=8).map(tuple), most=st.integers(1, 14))
def test_pieces_say_what_the_batch_says_in_its_order_and_none_is_too_large(
    messages: int, changes: tuple[Change, ...], most: int
) -> None:
    whole = replace(batch(*range(messages), pts=9), changes=changes)
    some = list(pieces(whole, most))
    assert [one for piece in some for one in piece.messages] == list(whole.messages)
    assert told([change for piece in some for change in piece.changes]) == told(changes)
    assert [piece.position for piece in some] == [None] * (len(some) - 1) + [Position(9, 0, 0, 0)]
    for earlier, piece in itertools.pairwise(some):
        assert not (earlier.changes and piece.messages)
    for piece in some:
        reads = sum(isinstance(change, ReadByThem | ReadByUs) for change in piece.changes)
        weight = len(piece.messages) + len(told(piece.changes)) + reads * (READ_WEIGHT - 1)
        assert weight <= most or (len(piece.changes), len(piece.messages)) == (1, 0)


SIZES = st.lists(st.integers(0, 7), max_size=12)
HAPPENINGS = st.lists(st.sampled_from(["ok", "away", "lost", "hang"]), max_size=8)


@settings(max_examples=100, deadline=None)
@given(sizes=SIZES, happenings=HAPPENINGS, data=st.data())
def test_whatever_the_store_does_each_message_is_committed_in_order_and_before_its_position(
    sizes: Sequence[int], happenings: Sequence[str], data: st.DataObject
) -> None:
    pauses = [data.draw(st.sampled_from([0, 0, 3])) for _ in sizes]
    most = inbound.MOST_MESSAGES

    async def live() -> None:
        store = FakeStore()
        store.weather.will("ingest", *happenings)
        position_after: dict[int, int] = {}
        async with ingesting(store) as updates:
            last = 0
            for size, pause in zip(sizes, pauses, strict=True):
                came = range(last, last + size)
                last += size
                position_after.update(dict.fromkeys(came, last))
                await updates.send(batch(*came, pts=last))
                await trio.sleep(pause)
            await trio.sleep(1000)
        stored = 0
        there: set[int] = set()
        for ids, pts in parts(store):
            assert len(ids) <= 4
            there.update(ids)
            stored = max(stored, pts or 0)
            assert there >= {one for one, after in position_after.items() if after <= stored}
        first_seen = tuple(dict.fromkeys(store.ingested()))
        assert first_seen == tuple(range(last))
        assert stored == last

    inbound.MOST_MESSAGES = 4  # so that a few messages are many
    try:
        trio.run(live, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        inbound.MOST_MESSAGES = most


async def test_a_gap_goes_with_the_first_piece_and_is_told_once_it_is_stored(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, report = FakeStore(), Reports()
    store.weather.will("ingest", "away")
    gaps = (Gap(77, None), Gap(78, 5))
    async with ingesting(store, report) as updates:
        await updates.send(replace(batch(1, pts=1), gaps=gaps[:1]))
        await updates.send(replace(batch(*range(2, MOST_MESSAGES + 4), pts=2), gaps=gaps[1:]))
        await updates.send(batch(pts=3))
        await trio.sleep(0.5)
        assert report.of(HistoryMissed) == []
        await trio.sleep(5)
    assert [gap for each in store.batches for gap in each.gaps] == list(gaps)
    assert [(len(each.messages), each.gaps != ()) for each in store.batches] == [
        (1, True),
        (MOST_MESSAGES, True),
        (2, False),
        (0, False),
    ]
    assert report.of(HistoryMissed) == [HistoryMissed(ANNA, 1), HistoryMissed(ANNA, 1)]
