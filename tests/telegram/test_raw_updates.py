"""The queue of updates that are not yet ordered: bounded, and what is dropped is asked for again."""

from datetime import UTC, datetime
from typing import Any

from telethon.tl import types

from tgworker.telegram.raw_updates import RawUpdates

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def packet(peer: Any, number: int) -> Any:
    message = types.Message(id=number, peer_id=peer, date=NOON, message="x")
    update = types.UpdateNewChannelMessage if isinstance(peer, types.PeerChannel) else types.UpdateNewMessage
    return types.Updates([update(message, number, 1)], [], [], NOON, 0)


def drained(queue: RawUpdates) -> list[Any]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


def test_packets_come_out_as_they_went_in() -> None:
    queue = RawUpdates(lambda _: None, capacity=3)
    packets = [packet(types.PeerUser(5), number) for number in range(3)]
    for item in packets:
        queue.put_nowait(item)
    assert drained(queue) == packets


def test_an_overflow_leaves_a_note_to_ask_for_what_was_dropped() -> None:
    dropped: list[int] = []
    queue = RawUpdates(dropped.append, capacity=3)
    for number, peer in enumerate([types.PeerUser(5), types.PeerChannel(8), types.PeerChannel(7)]):
        queue.put_nowait(packet(peer, number))
    last = packet(types.PeerUser(5), 3)
    queue.put_nowait(last)
    assert dropped == [3]
    too_long, seven, eight, newest = drained(queue)
    assert isinstance(too_long, types.UpdatesTooLong)
    assert [u.update for u in (seven, eight)] == [
        types.UpdateChannelTooLong(7),
        types.UpdateChannelTooLong(8),
    ]
    assert newest is last


def test_it_never_holds_more_than_its_capacity_and_the_notes() -> None:
    queue = RawUpdates(lambda _: None, capacity=10)
    for number in range(1000):
        queue.put_nowait(packet(types.PeerChannel(number % 2 + 7), number))
        assert queue.qsize() <= 13
