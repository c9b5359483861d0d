"""An account's resolver: what is asked at which second, and what the store hears of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio
import trio.testing

from messaging.messaging_fakes import (
    ANNA,
    PEER,
    FakeStore,
    RecordingPulse,
    Reports,
    ScriptedConnection,
    gate_of,
    growing,
)
from tgworker.messaging.bounded import Outage
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.events import RecipientSought, WaitAnnounced
from tgworker.messaging.gate import Gate
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import Recipients, Sought
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused
from tgworker.messaging.pacing import Rate, Scope, StoredWait
from tgworker.messaging.resolver import Resolver
from tgworker.messaging.seeking import LISTS, MOST_NAMES, PACED, PHONES, USERNAMES

DAY_S = 86_400.0
FLOODED = Deferred(DAY_S, "FLOOD_WAIT_86400", HoldsUp.METHOD)
NOBODY = Refused("USERNAME_NOT_OCCUPIED")


@dataclass
class Stage:
    resolver: Resolver
    line: ScriptedConnection
    store: FakeStore
    gate: Gate
    report: Reports
    rings: list[float]

    def asked(self) -> list[tuple[float, str]]:
        return self.line.resolved

    def sought(self) -> list[str]:
        return [event.outcome for event in self.report.of(RecipientSought)]


@asynccontextmanager
async def stage(*, rate: Rate = Rate(0, 5), store: FakeStore | None = None) -> AsyncGenerator[Stage]:  # noqa: B008 - frozen
    store, report, line, rings = store or FakeStore(), Reports(), ScriptedConnection(), list[float]()
    pulse = RecordingPulse()
    gate = gate_of(store, report)
    resolver = Resolver(
        ANNA,
        rate=rate,
        pulse=pulse,
        gate=gate,
        store=store,
        limits=Limits(),
        delays=growing,
        outage=Outage(pulse, report, growing),
        report=report,
        ring=lambda: rings.append(trio.current_time()),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate.keep)
        nursery.start_soon(resolver.run, line)
        await trio.testing.wait_all_tasks_blocked()
        yield Stage(resolver, line, store, gate, report, rings)
        nursery.cancel_scope.cancel()


async def test_a_name_is_asked_for_once_and_the_store_learns_who_it_is(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage() as here:
        for to in ("@Anna", "@anna", "@ANNA"):
            here.resolver.want(to)
        await trio.sleep(1)
        assert here.asked() == [(0, "@anna")]
        assert here.store.recorded == [(0, {"@anna": PEER})]
        assert here.rings == [0], "rows may be claimed now"
        assert here.report.of(RecipientSought) == [RecipientSought(ANNA, USERNAMES, "found", 0)]


async def test_what_telegram_refuses_is_told_to_the_store(autojump_clock: trio.testing.MockClock) -> None:
    async with stage() as here:
        here.line.resolves = NOBODY
        here.resolver.want("@nobody")
        await trio.sleep(1)
        assert here.store.recorded == [(0, {"@nobody": NOBODY})]
        assert here.sought() == ["refused"]


async def test_a_flood_of_a_day_is_waited_for_shown_and_kept_and_ids_go_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage() as here:
        here.line.resolve_script.append(FLOODED)
        here.resolver.want("@anna")
        here.resolver.want("@bert")
        here.resolver.want("77")
        await trio.sleep(10)
        assert here.asked() == [(0, "@anna"), (0, "77")]
        assert here.store.recorded == [
            (0, {name: Deferred(DAY_S, FLOODED.reason) for name in ("@anna", "@bert")}),
            (0, {"77": PEER}),
        ]
        assert here.report.of(WaitAnnounced) == [WaitAnnounced(ANNA, "method", DAY_S, FLOODED.reason)]
        assert here.store.saved_waits == [(StoredWait(Scope.method(USERNAMES), DAY_S, FLOODED.reason),)]
        assert here.gate.closed() is None, "what is known is sent"
        await trio.sleep(DAY_S)
        assert here.asked()[2:] == [(DAY_S, "@anna"), (DAY_S, "@bert")]


async def test_the_next_process_asks_nothing_before_its_predecessors_wait_is_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    store.stored_waits = [StoredWait(Scope.method(PHONES), 500, "FLOOD_WAIT_900")]
    async with stage(store=store) as here:
        await here.gate.recall(Outage(RecordingPulse(), here.report, growing))
        here.resolver.recall(Recipients(introduced=True, sought=(Sought("+44", 500), Sought("@anna", 20))))
        await trio.sleep(1000)
        assert here.asked() == [(20, "@anna"), (500, "+44")]
        assert [dict(found) for _, found in here.store.recorded] == [{"@anna": PEER}, {"+44": PEER}]


async def test_beyond_the_burst_names_are_asked_for_one_by_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage(rate=Rate(600, 2)) as here:
        for name in ("@a", "@b", "@c", "@d"):
            here.resolver.want(name)
        await trio.sleep(1300)
        assert here.asked() == [(0, "@a"), (0, "@b"), (600, "@c"), (1200, "@d")]
        shown = [found for _, found in here.store.recorded if PEER not in found.values()]
        assert shown == [{"@c": Deferred(600, PACED), "@d": Deferred(1200, PACED)}]


async def test_a_question_without_an_answer_is_cut_at_15_s_and_asked_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage() as here:
        here.line.resolve_script.extend([None, None])
        here.resolver.want("@anna")
        await trio.sleep(100)
        assert here.asked() == [(0, "@anna"), (16, "@anna"), (33, "@anna")]
        assert here.sought() == ["deferred", "deferred", "found"]


async def test_trouble_of_telegrams_puts_off_one_name(autojump_clock: trio.testing.MockClock) -> None:
    async with stage() as here:
        here.line.resolve_script.append(Deferred(5, "INTERNAL"))
        here.resolver.want("@anna")
        here.resolver.want("@bert")
        await trio.sleep(10)
        assert here.asked() == [(0, "@anna"), (0, "@bert"), (5, "@anna")]
        assert here.store.saved_waits == []


async def test_while_the_store_is_away_the_answer_waits_and_nobody_asks_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage() as here:
        here.store.weather.will("record_recipients", "away", "hang")
        here.resolver.want("@anna")
        await trio.sleep(100)
        assert here.asked() == [(0, "@anna")]
        assert [at for at, _ in here.store.recorded] == [1 + 10 + 2]


async def test_a_row_that_the_application_holds_is_tried_again_without_a_question(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage() as here:
        here.store.left.append(["@anna"])
        here.resolver.want("@anna")
        await trio.sleep(10)
        assert here.asked() == [(0, "@anna")]
        assert [at for at, _ in here.store.recorded] == [0, 1]


async def test_what_there_was_no_room_for_is_asked_of_the_store(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore()
    names = tuple(Sought(str(number)) for number in range(1, MOST_NAMES + 1))
    async with stage(store=store) as here:
        here.resolver.recall(Recipients(introduced=True, sought=names))
        here.resolver.want("@late")
        store.whom = Recipients(introduced=True, sought=(Sought("@late"),))
        await trio.sleep(1)
        assert len(here.asked()) == MOST_NAMES + 1
        assert here.asked()[-1] == (0, "@late")
        assert store.weather.times("recipients") == [0]


async def test_a_line_that_breaks_ends_it_and_over_the_next_one_it_goes_on() -> None:
    async with stage() as here:
        lost = ScriptedConnection()
        lost.resolves = TelegramAway("the line broke")
        other = Resolver(
            ANNA,
            rate=Rate(0, 5),
            pulse=RecordingPulse(),
            gate=here.gate,
            store=here.store,
            limits=Limits(),
            delays=growing,
            outage=Outage(RecordingPulse(), here.report, growing),
            report=here.report,
            ring=lambda: None,
        )
        other.want("500")
        with pytest.raises(TelegramAway):
            await other.run(lost)
        line = ScriptedConnection()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.run, line)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert [to for _, to in line.resolved] == ["500"]
        assert [event.method for event in here.report.of(RecipientSought)] == [LISTS]


async def test_a_history_finds_its_chat_within_the_same_budget_and_asks_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage(rate=Rate(600, 1)) as here:
        here.resolver.want("@first")
        await trio.testing.wait_all_tasks_blocked()
        found = list[tuple[float, object]]()

        async def find(to: str) -> None:
            peer = await here.resolver.find(to)
            found.append((trio.current_time(), peer))

        async with trio.open_nursery() as nursery:
            for to in ("@Second", "@second", "55"):
                nursery.start_soon(find, to)
        assert found == [(0, PEER), (600, PEER), (600, PEER)]  # an id is no name: it costs nothing
        assert here.asked() == [(0, "@first"), (0, "55"), (600, "@second")]


async def test_nobody_is_an_answer_to_a_history_too(autojump_clock: trio.testing.MockClock) -> None:
    async with stage() as here:
        here.line.resolves = NOBODY
        assert await here.resolver.find("@nobody") == NOBODY
        assert await here.resolver.find("@nobody") == NOBODY
        assert len(here.asked()) == 1


async def test_a_flood_of_names_does_not_lose_who_waits_for_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with stage() as here:
        here.line.resolve_script.append(FLOODED)
        with trio.move_on_after(DAY_S - 1):
            await here.resolver.find("@late")
            raise AssertionError("it was not to be found before")
        assert await here.resolver.find("@late") == PEER
        assert [at for at, _ in here.asked()] == [0, DAY_S]
