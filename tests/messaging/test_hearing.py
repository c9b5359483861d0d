"""A line that answers and brings nothing: what is overdue, and which remedy is taken when."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock

from messaging.messaging_fakes import ANNA, RecordingPulse, Reports, ScriptedConnection
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.events import AccountDeaf
from tgworker.messaging.hearing import (
    FORGOTTEN_AFTER_S,
    SPENT_FOR_S,
    Deafness,
    Ears,
    Heard,
    Remedy,
    Told,
    behind,
    having_tried,
    next_remedy,
    overdue,
)
from tgworker.messaging.limits import Limits
from tgworker.messaging.listening import DEAF, ClientDeaf, listen
from tgworker.messaging.models import AccountId

EVERY = 300.0
FIRST = 15.0
SETTLE = 10.0


# ------------------------------------------------ what is overdue


def test_what_telegram_has_more_of_is_behind() -> None:
    heard = Heard({0: 10, 7: 5, 8: 5})
    assert behind(Told({0: 12, 7: 5, 8: 4, 9: 100}), heard) == {0: 12}  # 9 is not followed: nothing to miss


@pytest.mark.parametrize(
    ("before", "after", "late"),
    [
        (Heard({0: 10}), Heard({0: 10}), {0: 2}),
        (Heard({0: 10}), Heard({0: 11}), {0: 1}),
        (Heard({0: 10}), Heard({0: 12}), {}),
        (Heard({0: 10}), Heard({}), {}),
        (Heard({0: 10}), Heard({0: 10}, answered=1), {}),
        (Heard({0: 10}, is_excused=True), Heard({0: 10}), {}),
        (Heard({0: 10}), Heard({0: 10}, is_excused=True), {}),
    ],
    ids=["nothing came", "not all came", "came", "no longer followed", "catching up", "was slow", "is slow"],
)
def test_what_has_not_come_a_while_later_is_overdue(
    before: Heard, after: Heard, late: dict[int, int]
) -> None:
    assert overdue({0: 12}, before, after) == late


# ------------------------------------------------ what is tried


def tried(*at_s: float) -> list[str]:
    """The remedies of findings at these times."""
    past = Deafness()
    remedies: list[str] = []
    for now_s in at_s:
        remedy = next_remedy(past, now_s)
        past = having_tried(past, remedy, now_s)
        remedies.append(remedy.value)
    return remedies


def test_each_finding_takes_the_next_stronger_remedy() -> None:
    assert tried(0, 300, 600, 900) == ["difference", "reconnect", "new_client", "new_process"]


def test_after_the_strongest_only_the_gentlest_is_left_for_a_day() -> None:
    day = [1200 + 300 * n for n in range(int((SPENT_FOR_S - 300) / 300))]
    assert day[-1] == 900 + SPENT_FOR_S - 300
    assert tried(0, 300, 600, 900, *day)[4:] == ["difference"] * len(day)
    after = 900 + SPENT_FOR_S
    assert tried(0, 300, 600, 900, *day, after, after + 300)[-2:] == ["reconnect", "new_client"]


def test_who_has_heard_well_for_an_hour_begins_anew() -> None:
    assert tried(0, FORGOTTEN_AFTER_S - 1) == ["difference", "reconnect"]
    assert tried(0, FORGOTTEN_AFTER_S) == ["difference", "difference"]


# ------------------------------------------------ the loop


@dataclass
class Line:
    """A line that is listened to, and what became of it."""

    connection: ScriptedConnection
    report: Reports
    renewed: list[AccountId] = field(default_factory=list[AccountId])
    ending: list[str] = field(default_factory=list[str])
    over: trio.Event = field(default_factory=trio.Event)

    def remedies(self) -> list[tuple[float, str]]:
        return [(at, event.remedy.value) for at, event in self.report.at if isinstance(event, AccountDeaf)]


@asynccontextmanager
async def listening(ears: Ears | None = None, *, may_renew: bool = True) -> AsyncGenerator[Line]:
    line = Line(ScriptedConnection(), Reports())

    def renew(account_id: AccountId) -> bool:
        line.renewed.append(account_id)
        line.over.set()
        return may_renew

    async def run() -> None:
        try:
            line.ending.append(
                await listen(
                    RecordingPulse(),
                    account_id=ANNA,
                    connection=line.connection,
                    ears=ears or Ears(),
                    renew=renew,
                    limits=Limits(hearing_first_s=FIRST, hearing_every_s=EVERY, hearing_settle_s=SETTLE),
                    report=line.report,
                )
            )
        except (ClientDeaf, TelegramAway) as error:
            line.ending.append(type(error).__name__)
        line.over.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield line
        nursery.cancel_scope.cancel()


async def test_a_line_that_hears_is_compared_every_five_minutes(autojump_clock: MockClock) -> None:
    async with listening() as line:
        line.connection.told, line.connection.hears = Told({0: 5}), Heard({0: 5})
        await trio.sleep(3 * EVERY)
    assert line.connection.compared == [FIRST, FIRST + EVERY, FIRST + 2 * EVERY]
    assert line.remedies() == []


async def test_while_there_are_channels_to_ask_for_it_is_soon(autojump_clock: MockClock) -> None:
    async with listening() as line:
        line.connection.told = Told({}, more=True)
        await trio.sleep(2.5 * FIRST)
        line.connection.told = Told({})
        await trio.sleep(EVERY)
    assert line.connection.compared == [FIRST, 2 * FIRST, 3 * FIRST]


async def test_what_is_on_its_way_is_waited_for(autojump_clock: MockClock) -> None:
    async with listening() as line:
        line.connection.told, line.connection.hears = Told({0: 6}), Heard({0: 5})
        await trio.sleep(FIRST + SETTLE - 1)
        line.connection.hears = Heard({0: 6})
        await trio.sleep(EVERY + 2)
    assert line.connection.compared == [FIRST, FIRST + SETTLE + EVERY]
    assert line.remedies() == []


async def test_a_deaf_line_is_first_asked_for_the_difference_then_made_anew(
    autojump_clock: MockClock,
) -> None:
    async with listening() as line:
        line.connection.told, line.connection.hears = Told({0: 9, 7: 5}), Heard({0: 5, 7: 5})
        await trio.sleep(FIRST + SETTLE + FIRST + SETTLE + 1)
    assert line.connection.caught_up == [(FIRST + SETTLE, [0])]
    assert line.remedies() == [(25.0, "difference"), (50.0, "reconnect")]
    assert line.report.of(AccountDeaf)[0] == AccountDeaf(ANNA, Remedy.DIFFERENCE, logs=1, behind=4)
    assert line.ending == [DEAF]


async def test_where_the_difference_helps_the_next_finding_is_a_new_line(autojump_clock: MockClock) -> None:
    """The pushes are missing, not the answers: to ask for ever would bring everything, minutes late."""
    async with listening() as line:
        line.connection.told, line.connection.hears = Told({0: 9}), Heard({0: 5})
        await trio.sleep(FIRST + SETTLE + 1)
        line.connection.hears = Heard({0: 9}, answered=1)
        await trio.sleep(EVERY)
        line.connection.told = Told({0: 10})
        await trio.sleep(EVERY)
    assert line.connection.compared == [15.0, 40.0, 340.0]
    assert line.remedies() == [(25.0, "difference"), (350.0, "reconnect")]


async def test_the_steps_go_on_over_lines_and_children(autojump_clock: MockClock) -> None:
    ears, remedies, endings = Ears(), list[tuple[float, str]](), list[str]()
    for _ in range(3):
        async with listening(ears) as line:
            line.connection.told, line.connection.hears = Told({0: 9}), Heard({0: 5})
            await line.over.wait()
            await trio.testing.wait_all_tasks_blocked()
            remedies += line.remedies()
            endings += line.ending
            assert line.renewed == ([] if line.ending else [ANNA])
    assert [remedy for _, remedy in remedies] == ["difference", "reconnect", "new_client", "new_process"]
    assert [at for at, _ in remedies] == [25.0, 50.0, 75.0, 100.0]
    assert endings == [DEAF, "ClientDeaf"]


async def test_where_there_is_no_new_process_to_be_had_it_is_asked_once_a_day(
    autojump_clock: MockClock,
) -> None:
    ears = Ears()
    ears.note(ANNA, Deafness(Remedy.NEW_CLIENT, at_s=0))
    async with listening(ears, may_renew=False) as line:
        line.connection.told, line.connection.hears = Told({0: 9}), Heard({0: 5})
        await trio.sleep(SPENT_FOR_S)
        assert line.renewed == [ANNA]
        assert {remedy for _, remedy in line.remedies()} == {"difference"}
        assert line.ending == []


async def test_another_account_has_its_own_history(autojump_clock: MockClock) -> None:
    ears = Ears()
    ears.note(AccountId("bert"), Deafness(Remedy.NEW_CLIENT, at_s=0))
    async with listening(ears) as line:
        line.connection.told, line.connection.hears = Told({0: 9}), Heard({0: 5})
        await trio.sleep(FIRST + SETTLE + 1)
    assert line.remedies() == [(25.0, "difference")]
    ears.forget(AccountId("bert"))
    assert ears.of(AccountId("bert")) == Deafness()


async def test_a_slow_store_is_no_deafness(autojump_clock: MockClock) -> None:
    async with listening() as line:
        line.connection.told, line.connection.hears = Told({0: 9}), Heard({0: 5}, is_excused=True)
        await trio.sleep(4 * EVERY)
    assert line.remedies() == []


async def test_a_comparison_that_is_not_answered_decides_nothing(autojump_clock: MockClock) -> None:
    async with listening() as line:
        line.connection.told = None  # hangs
        await trio.sleep(2 * EVERY)
    assert line.connection.compared == [15.0, 15.0 + Limits().entity_s + EVERY]
    assert line.remedies() == []


async def test_a_line_that_breaks_under_a_comparison_is_lost(autojump_clock: MockClock) -> None:
    async with listening() as line:
        line.connection.told = TelegramAway("it broke")
        await trio.sleep(EVERY)
    assert line.ending == ["TelegramAway"]
