"""Bursts: no deadlock, and no memory without bounds, whatever comes at once and however slow the store is."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

import pytest
import trio
from trio.testing import MockClock

from telegram.telegram_world import World, open_world
from tgworker.messaging.models import ChatMessage, Peer, PeerKind, Position
from tgworker.sandbox import Fault
from tgworker.telegram import DifferenceDelayed, TelethonConnection, UpdatesOverflowed
from tgworker.telegram.inbox import CAPACITY as INBOX
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peers import bare_id
from tgworker.telegram.raw_updates import CAPACITY as PACKETS
from tgworker.telegram.update_box import MOST_HELD

SLICE = 1000
"""The sandbox's, and Telegram's, longest slice of a difference: one batch, which is never divided here."""


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(users=3) as world:
        yield world


@dataclass
class Most:
    """The most that a line was seen to hold."""

    packets: int = 0
    held: int = 0
    messages: int = 0

    def look(self, line: TelethonConnection) -> None:
        now = line.statistics()
        self.packets = max(self.packets, now.packets)
        self.held = max(self.held, now.held)
        self.messages = max(self.messages, now.messages)

    def check(self, channels: int = 0) -> None:
        # An overflow leaves one note for each channel that it dropped something of.
        assert self.packets <= PACKETS + channels
        assert self.held <= (1 + channels) * MOST_HELD
        assert self.messages <= INBOX + SLICE


async def taken(line: TelethonConnection, count: int, most: Most, *, pause_s: float = 0) -> list[ChatMessage]:
    """Take messages as a store does that needs ``pause_s`` for each batch."""
    messages: list[ChatMessage] = []
    with trio.fail_after(24 * 3600):
        while len(messages) < count:
            messages += (await line.updates.receive()).messages
            most.look(line)
            await trio.sleep(pause_s)
    return messages


async def burst(world: World, line: TelethonConnection, count: int, most: Most) -> None:
    """Messages as fast as they can be said; the line is given time to read what it is sent."""
    for number in range(count):
        world.sandbox.send_text(world.id(1), world.id(0), str(number))
        if number % 50 == 49:
            await line.ping()
            most.look(line)


LONG = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("count", [3000, pytest.param(100_000, marks=LONG)])
async def test_a_burst_before_a_slow_store_is_held_in_bounds_and_lost_nowhere(
    autojump_clock: MockClock, world: World, count: int
) -> None:
    async with world.online(0) as line:
        most = Most()
        await burst(world, line, count, most)
        assert any(isinstance(event, UpdatesOverflowed) for event in world.events)
        assert INBOX <= world.telegram.updates_waiting() <= PACKETS + INBOX + SLICE
        messages = await taken(line, count, most, pause_s=0.02)
        assert world.telegram.updates_waiting() == 0
    assert [message.text for message in messages] == [str(number) for number in range(count)]
    most.check()


@pytest.mark.parametrize("count", [3000, pytest.param(10_000, marks=LONG)])
async def test_a_burst_after_a_gap_is_not_held_until_the_gap_is_closed(
    autojump_clock: MockClock, world: World, count: int
) -> None:
    async with world.online(0) as line:
        most = Most()
        world.sandbox.faults.set(Fault("deaf", method="push", user=world.id(0), count=1))
        messages: list[ChatMessage] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(burst, world, line, count, most)
            messages = await taken(line, count, most)
    assert [message.text for message in messages] == [str(number) for number in range(count)]
    assert most.held > 0
    most.check()


@dataclass
class Channels:
    """Channels that one account is in and another one writes to."""

    world: World
    ids: Sequence[int]

    def post(self, text: str) -> None:
        for channel in self.ids:
            self.world.sandbox.send_text(self.world.id(1), channel, text)

    def position(self) -> dict[int, int]:
        return {bare_id(channel): self.world.sandbox.rooms.get(channel).pts for channel in self.ids}


def channels(world: World, count: int) -> Channels:
    make = world.sandbox.rooms.create_channel
    return Channels(
        world, [make(world.id(1), [world.id(0)], f"channel {number}").peer for number in range(count)]
    )


MANY = [40, pytest.param(500, marks=pytest.mark.slow)]


async def behind(world: World, rooms: Channels) -> tuple[Position, tuple[Peer, ...]]:
    """An account that followed all of them and has missed something in each."""
    async with world.open(0) as line:
        await line.connect(None, [])
        batch = await line.updates.receive()
        assert batch.position is not None
        while (await line.compare()).more:
            pass
        start = replace(batch.position, channels=rooms.position())
        peers = [peer for channel in rooms.ids if (peer := line._book.get(channel)) is not None]
    assert len(peers) == len(rooms.ids)
    for number in range(3):
        rooms.post(f"missed {number}")
    return start, tuple(peers)


@pytest.mark.parametrize("count", MANY)
async def test_many_channels_with_gaps_at_the_start_are_all_caught_up(
    autojump_clock: MockClock, world: World, count: int
) -> None:
    """While more is posted in all of them, and the store is slow (gotd#1658: a deadlock at start)."""
    rooms = channels(world, count)
    start, peers = await behind(world, rooms)
    most = Most()
    async with world.open(0) as line, trio.open_nursery() as nursery:
        await line.connect(start, peers)

        async def go_on() -> None:
            rooms.post("live")
            await line.ping()

        nursery.start_soon(go_on)
        messages = await taken(line, 4 * count, most, pause_s=0.02)
    most.check(count)
    by_channel: dict[int, list[str]] = {}
    for message in messages:
        by_channel.setdefault(message.chat_id, []).append(message.text)
    assert set(by_channel) == set(rooms.ids)
    assert all(texts == ["missed 0", "missed 1", "missed 2", "live"] for texts in by_channel.values())


async def test_many_channels_wait_together_when_telegram_asks_for_it(
    autojump_clock: MockClock, world: World
) -> None:
    rooms = channels(world, 40)
    start, peers = await behind(world, rooms)
    world.sandbox.faults.set(Fault("flood_wait", method="updates.getChannelDifference", seconds=30, count=1))
    most = Most()
    async with world.open(0) as line:
        await line.connect(start, peers)
        world.sandbox.send_text(world.id(1), world.id(0), "private")
        assert [message.text for message in await taken(line, 1, most)] == ["private"]
        assert trio.current_time() < 30
        await taken(line, 3 * 40, most)
        assert 30 <= trio.current_time() < 31
    assert [event.retry_after_s for event in world.events if isinstance(event, DifferenceDelayed)] == [30]


def test_the_book_of_peers_forgets_whom_the_account_met_longest_ago() -> None:
    book = PeerBook((Peer(number, PeerKind.USER, access_hash=1) for number in range(1, 6)), most=3)
    assert (len(book), 2 in book, 3 in book) == (3, False, True)
    book.learn([Peer(3, PeerKind.USER, access_hash=2), Peer(6, PeerKind.USER, access_hash=1)])
    assert (4 in book, 3 in book, 6 in book) == (False, True, True)
