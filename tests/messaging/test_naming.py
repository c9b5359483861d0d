"""Finding the ids of what was sent: behind the sends, a few times, at exact seconds."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import trio
from trio.testing import MockClock

from messaging.messaging_fakes import (
    ANNA,
    PEER,
    FakeStore,
    RecordingPulse,
    Reports,
    ScriptedConnection,
    attempt,
    no_delay,
)
from tgworker.messaging.bounded import Outage
from tgworker.messaging.desk import Desk
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.formatted import FormattedText
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import Copy, Doubt, Look, Owned
from tgworker.messaging.naming import run_naming
from tgworker.messaging.outcomes import Deferred

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
COPY = Look((Copy(70, NOON),), whole=True)
SENT = attempt("1", doubt=Doubt(0, 42))


@dataclass
class Stage:
    desk: Desk
    line: ScriptedConnection
    store: FakeStore


@asynccontextmanager
async def stage() -> AsyncGenerator[Stage]:
    dispatch, line, store = Dispatch(), ScriptedConnection(), FakeStore()
    line.looks = COPY
    pulse = RecordingPulse()
    async with trio.open_nursery() as nursery:
        with dispatch.open_desk(ANNA) as desk:
            nursery.start_soon(
                partial(
                    run_naming,
                    pulse,
                    account_id=ANNA,
                    desk=desk,
                    connection=line,
                    store=store,
                    limits=Limits(),
                    outage=Outage(pulse, Reports(), no_delay),
                    format_text=lambda text, _: FormattedText(text),
                )
            )
            yield Stage(desk, line, store)
            nursery.cancel_scope.cancel()


async def test_what_an_earlier_process_has_left_is_named_10_s_after_the_line_is_made(
    autojump_clock: MockClock,
) -> None:
    async with stage() as here:
        here.store.without_id = [[SENT]]
        await trio.sleep(3600)
        assert here.line.looked == [(10, PEER.chat_id, "hello", 42)]
        assert here.store.named == [(10, "1", PEER.chat_id, 70)]


async def test_without_such_a_message_the_store_is_asked_once(autojump_clock: MockClock) -> None:
    async with stage() as here:
        await trio.sleep(24 * 3600)
        assert here.store.weather.times("unnamed") == [10]
        here.store.without_id = [[SENT]]
        here.desk.tell_unnamed()
        await trio.sleep(9)
        assert here.store.named == []
        await trio.sleep(2)
        assert here.store.named == [(24 * 3600 + 10, "1", PEER.chat_id, 70)]


async def test_what_is_not_found_is_looked_for_again_after_5_min(autojump_clock: MockClock) -> None:
    async with stage() as here:
        here.store.belongings = Owned(frozenset(), rivals=True)
        here.store.without_id = [[SENT], [SENT], []]
        await trio.sleep(3600)
        assert [at for at, *_ in here.line.looked] == [10, 310]
        assert here.store.weather.times("unnamed") == [10, 310, 610]
        assert here.store.named == []


async def test_a_wait_that_telegram_asks_for_is_kept_and_a_lost_line_ends_nothing(
    autojump_clock: MockClock,
) -> None:
    async with stage() as here:
        here.line.looks = Deferred(100, "FLOOD_WAIT_100")
        here.store.without_id = [[SENT, attempt("2", text="two")]]
        await trio.sleep(50)
        here.line.looks = TelegramAway("the line broke")
        await trio.sleep(100)
        assert [at for at, *_ in here.line.looked] == [10, 110]
        assert here.store.named == []


async def test_the_store_is_waited_for(autojump_clock: MockClock) -> None:
    async with stage() as here:
        here.store.weather.will("unnamed", "away", "away")
        here.store.weather.will("name", "away")
        here.store.without_id = [[SENT]]
        await trio.sleep(3600)
        assert [row[1:] for row in here.store.named] == [("1", PEER.chat_id, 70)]
