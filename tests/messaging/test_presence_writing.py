"""The loop that writes presence: one call a second at most, none without news; an outage costs freshness."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import trio
import trio.testing

from messaging.messaging_fakes import RecordingPulse, Reports, growing
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import PresenceWritten, StoreBack, StoreUnavailable
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId
from tgworker.messaging.presence import ONLINE_FOR_S, Presence
from tgworker.messaging.presence_writing import PresenceWriter

ANNA, BERT = AccountId("anna"), AccountId("bert")
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LIMITS = Limits()


class FakePresence:
    """Fills `store_ports.PresenceStore`: keeps what it gets, unless it is away or hangs."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, dict[AccountId, list[Presence]]]] = []
        self.asked: list[tuple[float, list[AccountId]]] = []
        self.rows: dict[AccountId, list[Presence]] = {}
        self.away = self.hangs = False

    async def shown(self, account_ids: Collection[AccountId]) -> Mapping[AccountId, Sequence[Presence]]:
        await trio.lowlevel.checkpoint()
        self.asked.append((trio.current_time(), sorted(account_ids)))
        if self.hangs:
            await trio.sleep_forever()
        if self.away:
            raise StoreAway("no route")
        return self.rows

    async def record_presence(self, items: Mapping[AccountId, Sequence[Presence]]) -> None:
        await trio.lowlevel.checkpoint()
        self.calls.append((trio.current_time(), {each: list(some) for each, some in items.items()}))
        if self.hangs:
            await trio.sleep_forever()
        if self.away:
            raise StoreAway("no route")


@asynccontextmanager
async def writing(
    store: FakePresence, report: Reports
) -> AsyncGenerator[Callable[[AccountId, Presence], None]]:
    async with writing_all(store, report) as writer:
        yield writer.hear


@asynccontextmanager
async def writing_all(store: FakePresence, report: Reports) -> AsyncGenerator[PresenceWriter]:
    started_at = trio.current_time()
    writer = PresenceWriter(lambda: NOON + timedelta(seconds=trio.current_time() - started_at))
    pulse = RecordingPulse()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pulse.watch)
        await nursery.start(
            partial(writer.run, pulse, store=store, limits=LIMITS, delays=growing, report=report)
        )
        yield writer
        nursery.cancel_scope.cancel(reason="the test is over")


async def test_news_are_written_at_once_and_the_next_a_second_later_together(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, report = FakePresence(), Reports()
    async with writing(store, report) as hear:
        await trio.sleep(10)
        hear(ANNA, Presence(1, is_online=True))
        await trio.sleep(0.25)
        for number in range(2, 1000):
            hear(ANNA, Presence(number, is_online=True))
            hear(BERT, Presence(number, is_typing=True))
        await trio.sleep(0.74)
        assert len(store.calls) == 1
        await trio.sleep(0.5)
    assert [(at, {each: len(some) for each, some in items.items()}) for at, items in store.calls] == [
        (10, {ANNA: 1}),
        (11, {ANNA: 998, BERT: 2}),
    ]
    assert [(event.contacts, event.dropped) for event in report.of(PresenceWritten)] == [(1, 0), (1000, 0)]


async def test_a_thousand_updates_a_second_cost_one_call_a_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakePresence()
    async with writing(store, Reports()) as hear:
        for number in range(10_000):
            hear(ANNA, Presence(1 + number % 40, is_online=number % 80 < 40))
            hear(ANNA, Presence(1 + number % 40, is_typing=number % 3 == 0))
            await trio.sleep(0.001)
    starts = [at for at, _ in store.calls]
    assert len(starts) <= 11
    assert all(later - earlier >= 1 for earlier, later in pairwise(starts))


async def test_without_news_nothing_is_called_but_what_expires(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakePresence()
    async with writing(store, Reports()) as hear:
        hear(ANNA, Presence(1, is_online=True, online_for_s=100))
        hear(ANNA, Presence(2, is_typing=True))
        await trio.sleep(3600)
    gone_at = NOON + timedelta(seconds=100)
    assert store.calls == [
        (0, {ANNA: [Presence(1, is_online=True), Presence(2, is_typing=True)]}),
        (5, {ANNA: [Presence(2, is_typing=False)]}),
        (100, {ANNA: [Presence(1, is_online=False, last_seen_at=gone_at)]}),
    ]


async def test_an_outage_costs_freshness_and_nothing_else(autojump_clock: trio.testing.MockClock) -> None:
    store, report = FakePresence(), Reports()
    store.away = True
    async with writing(store, report) as hear:
        hear(ANNA, Presence(1, is_online=True))
        hear(ANNA, Presence(2, is_online=True))
        await trio.sleep(30)
        hear(ANNA, Presence(1, is_online=False, last_seen_at=NOON))
        store.away = False
        store.calls.clear()
        await trio.sleep(60)
    ((_, items),) = store.calls
    assert items == {
        ANNA: [Presence(2, is_online=True), Presence(1, is_online=False, last_seen_at=NOON)],
    } or items == {
        ANNA: [Presence(1, is_online=False, last_seen_at=NOON), Presence(2, is_online=True)],
    }
    assert len(report.of(StoreBack)) == 1


async def test_a_store_that_hangs_is_cut_and_asked_again(autojump_clock: trio.testing.MockClock) -> None:
    store, report = FakePresence(), Reports()
    store.hangs = True
    async with writing(store, report) as hear:
        hear(ANNA, Presence(1, is_online=True))
        await trio.sleep(LIMITS.database_s)
        store.hangs = False
        await trio.sleep(5)
    assert len(store.calls) == 2
    assert len(report.of(StoreUnavailable)) == 1
    assert [event.contacts for event in report.of(PresenceWritten)] == [1]


async def test_what_another_process_wrote_is_read_once_and_ends_by_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakePresence()
    store.rows = {
        ANNA: [Presence(number, is_online=True, last_seen_at=NOON, is_typing=False) for number in (1, 2, 3)],
        BERT: [Presence(4, is_online=False, is_typing=True)],
    }
    async with writing_all(store, Reports()) as writer:
        await trio.sleep(10)
        for account in (ANNA, BERT, ANNA):
            writer.begin(account)
        await trio.sleep(10)
        writer.begin(ANNA)
        writer.hear(ANNA, Presence(2, is_online=True, online_for_s=900))
        writer.hear(ANNA, Presence(3, is_online=False, last_seen_at=NOON))
        await trio.sleep(880)
    assert store.asked == [(10, [ANNA, BERT])]
    assert store.calls == [
        (11, {BERT: [Presence(4, is_typing=False)]}),
        (20, {ANNA: [Presence(3, is_online=False, last_seen_at=NOON)]}),
        # Until when he really was online nobody knows.
        (10 + ONLINE_FOR_S, {ANNA: [Presence(1, is_online=False, last_seen_at=NOON)]}),
    ]


async def test_what_was_heard_before_it_was_read_stands(autojump_clock: trio.testing.MockClock) -> None:
    store = FakePresence()
    store.rows = {ANNA: [Presence(1, is_online=True, is_typing=True), Presence(2, is_online=True)]}
    store.away = True
    async with writing_all(store, Reports()) as writer:
        writer.begin(ANNA)
        await trio.sleep(5)
        writer.hear(ANNA, Presence(1, is_online=False))
        writer.hear(ANNA, Presence(2, is_typing=True))
        store.away = False
        await trio.sleep(60)
    told = {item.chat_id: item for _, items in store.calls for item in items[ANNA]}
    assert (told[1].is_online, told[1].is_typing) == (False, False)
    assert (told[2].is_online, told[2].is_typing) == (True, False)


async def test_an_account_that_was_given_up_and_comes_back_is_read_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakePresence()
    store.rows = {ANNA: [Presence(1, is_online=True)]}
    async with writing_all(store, Reports()) as writer:
        writer.begin(ANNA)
        await trio.sleep(10)
        writer.forget(ANNA)
        await trio.sleep(2 * ONLINE_FOR_S)
        assert store.calls == []
        writer.begin(ANNA)
        await trio.sleep(10)
    assert [at for at, _ in store.asked] == [0, 10 + 2 * ONLINE_FOR_S]
