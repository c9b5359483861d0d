"""A real client on a line over which the server pushes nothing: found by comparing, healed step by step."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from file_fakes import no_fetching, no_preparer
from messaging.messaging_fakes import FakeStore, RecordingPulse, Reports
from telegram.telegram_world import World, open_world, receive_texts
from tgworker.messaging.account import run_account
from tgworker.messaging.account_context import AccountContext
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.events import AccountChanged, AccountDeaf
from tgworker.messaging.hearing import Ears, Told, behind
from tgworker.messaging.history_desk import HistoryDesks
from tgworker.messaging.job_desk import JobDesks
from tgworker.messaging.limits import Limits
from tgworker.messaging.listening import ClientDeaf
from tgworker.messaging.models import AccountId, Secret
from tgworker.messaging.uploads import Uploads
from tgworker.sandbox import Fault
from tgworker.telegram.comparing import CHANNELS_EVERY
from tgworker.telegram.inbox import CAPACITY
from tgworker.telegram.peers import bare_id

GET_DIALOGS = "GetDialogsRequest"


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(users=3) as world:
        yield world


def deafen(world: World) -> int:
    return world.sandbox.faults.set(Fault("deaf", method="push", user=world.id(0)))


def channel_of(world: World) -> int:
    """A channel of the second user's that the first one is in; its marked id."""
    return world.sandbox.rooms.create_channel(world.id(1), [world.id(0)], "News").peer


# ------------------------------------------------ one comparison


async def test_a_line_that_hears_is_never_behind(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        news = channel_of(world)
        for number in range(3):
            world.sandbox.send_text(world.id(1), news, str(number))
            world.sandbox.send_text(world.id(1), world.id(0), str(number))
        await receive_texts(line, 6)
        told = await line.compare()
        assert set(told.logs) == {0, bare_id(news)}
        assert behind(told, line.heard()) == {}
        assert line.heard().logs == told.logs


async def test_what_a_deaf_line_missed_comes_when_it_is_asked_for(
    autojump_clock: MockClock, world: World
) -> None:
    news = channel_of(world)
    world.sandbox.send_text(world.id(1), news, "first")
    async with world.online(0) as line:
        await line.compare()  # from now on the channel is followed
        with trio.move_on_after(5):
            while (await line.updates.receive()).messages == ():
                pass
        deafen(world)
        world.sandbox.send_text(world.id(1), world.id(0), "private")
        world.sandbox.send_text(world.id(1), news, "post")
        with trio.move_on_after(600) as silence:
            await line.updates.receive()
        assert silence.cancelled_caught
        missing = behind(Told((await _whole(line)).logs), line.heard())
        assert set(missing) == {0, bare_id(news)}
        line.catch_up(missing)
        assert sorted(await receive_texts(line, 2)) == ["post", "private"]
        assert behind(await line.compare(), line.heard()) == {}


async def _whole(line: Any) -> Told:
    """All that there is to be told."""
    logs: dict[int, int] = {}
    for _ in range(CHANNELS_EVERY):
        logs.update((await line.compare()).logs)
    return Told(logs)


async def test_a_channel_that_went_on_while_no_line_was_held_is_behind_at_once(
    autojump_clock: MockClock, world: World
) -> None:
    """Telegram's hint may be spent: the account's difference was stored, the channel's not."""
    world.sandbox.behave(channel_hints=False)
    news = channel_of(world)
    async with world.online(0) as line:
        world.sandbox.send_text(world.id(1), news, "first")
        (batch,) = [await line.updates.receive()]
        position = batch.position
        assert position is not None
        assert position.channels
    world.sandbox.send_text(world.id(1), news, "while away")
    async with world.open(0) as line:
        await line.connect(position, batch.peers)
        told = await line.compare()
        line.catch_up(behind(told, line.heard()))
        assert await receive_texts(line, 1) == ["while away"]
        assert trio.current_time() < 1


async def test_pages_of_dialogs_are_asked_for_one_by_one_then_seldom(
    autojump_clock: MockClock, world: World
) -> None:
    channel_of(world)
    async with world.online(0) as line:
        asked: list[int] = []
        more = True
        for _ in range(2 + 3 * CHANNELS_EVERY):
            more = (await line.compare()).more
            asked.append(world.sandbox.statistics().requests.get("messages.getDialogs", 0))
        assert not more
        assert asked[:2] == [1, 1]  # the second time finds that there is no other page
        assert asked[-1] == 1 + 3


async def test_what_telegram_will_not_say_now_is_left_out(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        world.sandbox.faults.set(Fault("flood_wait", method=GET_DIALOGS, seconds=40, count=1))
        assert set((await line.compare()).logs) == {0}
        world.sandbox.faults.set(Fault("flood_wait", method="GetStateRequest", seconds=40, count=1))
        assert (await line.compare()).logs == {}


async def test_a_store_that_does_not_take_updates_excuses_the_line(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        for number in range(CAPACITY + 10):
            world.sandbox.send_text(world.id(1), world.id(0), str(number))
            if number % 50 == 0:
                await line.ping()
        await line.ping()
        assert line.heard().is_excused
        await receive_texts(line, CAPACITY + 10)
        await line.ping()
        assert not line.heard().is_excused


async def test_a_wait_that_telegram_announced_excuses_the_line_for_so_long(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line:
        world.sandbox.faults.set(Fault("flood_wait", method="GetDifferenceRequest", seconds=40, count=1))
        line.catch_up([0])
        await trio.sleep(1)
        assert line.heard().is_excused
        await trio.sleep(40)
        assert not line.heard().is_excused


# ------------------------------------------------ an account


@dataclass
class Sealed:
    """Fills `ports.Vault`."""

    session: str

    def encrypt(self, session: str | Secret) -> str:
        raise AssertionError("nothing is sealed here")

    def decrypt(self, token: str) -> Secret:
        return Secret(self.session)


@dataclass
class Held:
    """An account that is held online by its real child, which is started again when it ends."""

    world: World
    store: FakeStore = field(default_factory=FakeStore)
    report: Reports = field(default_factory=Reports)
    renewed: list[float] = field(default_factory=list[float])
    children: int = 0

    async def run(self) -> None:
        def renew(_: AccountId) -> bool:
            self.renewed.append(trio.current_time())
            return True

        context = AccountContext(
            telegram=self.world.telegram,
            vault=Sealed(self.world.sandbox.users[0].session),
            store=self.store,
            dispatch=Dispatch(),
            histories=HistoryDesks(),
            jobs=JobDesks(),
            limits=Limits(),
            line_delays=lambda _: 1.0,
            flood_delays=lambda _: 60.0,
            store_delays=lambda _: 1.0,
            report=self.report,
            preparer=no_preparer(),
            uploads=Uploads(Random(1)),
            fetching=no_fetching(),
            ears=Ears(),
            renew=renew,
        )
        while True:
            self.children += 1
            try:
                await run_account(RecordingPulse(), account=self.world.account(0), context=context)
            except* ClientDeaf:
                pass  # and anything else would be a failure

    def remedies(self) -> list[tuple[float, str]]:
        return [
            (round(at, 3), event.remedy.value)
            for at, event in self.report.at
            if isinstance(event, AccountDeaf)
        ]

    def texts(self) -> list[str]:
        return [message.text for batch in self.store.batches for message in batch.messages]


async def test_a_line_that_stays_deaf_is_cured_step_by_step_and_loses_nothing(
    autojump_clock: MockClock, world: World
) -> None:
    deafen(world)
    held = Held(world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(held.run)
        await trio.sleep(1)
        for minute in range(20):
            world.sandbox.send_text(world.id(1), world.id(0), str(minute))
            await trio.sleep(60)
        nursery.cancel_scope.cancel()
    remedies = held.remedies()
    # Each line is looked at 15 s after it was made, and what is missed then has 10 s to come.
    assert remedies == [
        (25.0, "difference"),
        (350.0, "reconnect"),
        (376.0, "new_client"),
        (716.0, "new_process"),
    ]
    assert held.renewed == [716.0]
    assert held.children == 2
    # Each remedy brought what was missed before it; what came after the last is for the next process.
    assert held.texts() == [str(minute) for minute in range(7)]


async def test_a_line_that_is_deaf_once_is_healed_by_the_difference_alone(
    autojump_clock: MockClock, world: World
) -> None:
    fault = deafen(world)
    held = Held(world)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(held.run)
        await trio.sleep(1)
        world.sandbox.send_text(world.id(1), world.id(0), "unheard")
        await trio.sleep(20)
        assert held.texts() == []
        world.sandbox.faults.clear(fault)
        await trio.sleep(10)
        assert held.texts() == ["unheard"]
        for number in range(20):
            world.sandbox.send_text(world.id(1), world.id(0), str(number))
            await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert held.remedies() == [(25.0, "difference")]
    assert held.texts() == ["unheard", *map(str, range(20))]
    states = [event.state.value for _, event in held.report.at if isinstance(event, AccountChanged)]
    assert states == ["connecting", "online"]
