"""Files on their way from Telegram: from any byte on, from other data centres, with what goes wrong."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from telethon.tl import types
from trio.testing import MockClock

from sandbox.unmodified_files import PICTURE
from telegram.telegram_world import World, open_world, receive_until
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.media_ports import ReferenceExpired, RemoteFile
from tgworker.messaging.models import Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused
from tgworker.sandbox import Fault, PhoneFile
from tgworker.telegram.connection import TelethonConnection

GET = "upload.getFile"
DATA = Random(3).randbytes(3 * 1024 * 1024 + 77)


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(more_dcs=(4,)) as world:
        yield world


def sent(world: World, data: bytes = DATA) -> int:
    """Bob sends a file; the number that Alice has it under."""
    (file,) = world.sandbox.files.send(world.id(1), world.id(0), PhoneFile("document", data, "a.bin"))
    return file.recipient_message_id


@asynccontextmanager
async def file_of(world: World, number: int) -> AsyncGenerator[tuple[TelethonConnection, RemoteFile]]:
    async with world.online(0) as line:
        found = await line.find_files(Peer(world.id(1), PeerKind.USER), [number])
        assert not isinstance(found, Deferred | Refused)
        file = found[number]
        assert isinstance(file, RemoteFile)
        yield line, file


async def read(line: TelethonConnection, file: RemoteFile, begin: int = 0) -> bytes:
    async with line.download(file, begin=begin) as pieces:
        came = b""
        async for piece in pieces:
            assert isinstance(piece, bytes)
            came += piece
        return came


@pytest.mark.parametrize("begin", [0, 1, 4096, 524_288, 1_000_001, len(DATA) - 1])
async def test_a_file_is_read_from_any_byte_on(autojump_clock: MockClock, world: World, begin: int) -> None:
    async with file_of(world, sent(world)) as (line, file):
        assert file.facts.size == len(DATA)
        assert await read(line, file, begin) == DATA[begin:]


@pytest.mark.parametrize("size", [1, 524_287, 524_288, 524_289, 1_048_576])
async def test_files_of_every_size_end_where_they_end(
    autojump_clock: MockClock, world: World, size: int
) -> None:
    async with file_of(world, sent(world, DATA[:size])) as (line, file):
        assert await read(line, file) == DATA[:size]


async def test_files_of_another_data_centre_come_from_there(autojump_clock: MockClock, world: World) -> None:
    world.sandbox.behave(media_dc=4)
    numbers = [sent(world), sent(world, PICTURE)]
    async with file_of(world, numbers[0]) as (line, file), trio.open_nursery() as nursery:
        other = await line.find_files(Peer(world.id(1), PeerKind.USER), numbers)
        assert not isinstance(other, Deferred | Refused)
        small = other[numbers[1]]
        assert isinstance(small, RemoteFile)
        came: list[bytes] = []

        async def note(one: RemoteFile) -> None:
            came.append(await read(line, one))

        for _ in range(3):
            nursery.start_soon(note, small)
        assert await read(line, file) == DATA
    assert came == [PICTURE] * 3
    assert world.sandbox.statistics().handshakes == 1  # one line for all of them


async def test_a_line_to_another_data_centre_that_breaks_costs_nothing_else(
    autojump_clock: MockClock, world: World
) -> None:
    world.sandbox.behave(media_dc=4)
    number = sent(world)
    async with file_of(world, number) as (line, file):
        world.sandbox.faults.set(Fault("drop", GET, after=2, count=1))
        came, waits = b"", 0
        async with line.download(file) as pieces:
            async for piece in pieces:
                if isinstance(piece, Deferred):
                    waits += 1
                    await trio.sleep(piece.retry_after_s)
                else:
                    assert isinstance(piece, bytes)
                    came += piece
        assert came == DATA
        assert waits == 1
        await line.ping()


async def test_the_account_s_own_line_is_lost_with_its_download(
    autojump_clock: MockClock, world: World
) -> None:
    async with file_of(world, sent(world)) as (line, file):
        world.sandbox.faults.set(Fault("drop", GET, after=1, count=1))
        with pytest.raises(TelegramAway):
            await read(line, file)


async def test_a_flood_wait_in_the_middle_starts_nothing_over(
    autojump_clock: MockClock, world: World
) -> None:
    async with file_of(world, sent(world)) as (line, file):
        world.sandbox.faults.set(Fault("flood_wait", GET, seconds=30, after=3, count=1))
        came = b""
        async with line.download(file) as pieces:
            async for piece in pieces:
                if isinstance(piece, Deferred):
                    assert piece.retry_after_s == 30
                    await trio.sleep(piece.retry_after_s)
                else:
                    assert isinstance(piece, bytes)
                    came += piece
        assert came == DATA
    assert world.sandbox.statistics().requests[GET] == 7 + 1


async def test_a_reference_that_expired_is_told_and_another_one_works(
    autojump_clock: MockClock, world: World
) -> None:
    number = sent(world)
    async with file_of(world, number) as (line, file):
        world.sandbox.files.expire_references()
        async with line.download(file) as pieces:
            assert [piece async for piece in pieces] == [ReferenceExpired()]
        found = await line.find_files(Peer(world.id(1), PeerKind.USER), [number])
        assert not isinstance(found, Deferred | Refused)
        renewed = found[number]
        assert isinstance(renewed, RemoteFile)
        assert await read(line, renewed, 1000) == DATA[1000:]


async def test_who_leaves_early_or_is_cancelled_leaves_nothing_on_its_way(
    autojump_clock: MockClock, world: World
) -> None:
    async with file_of(world, sent(world)) as (line, file):
        async with line.download(file) as pieces:
            async for _ in pieces:
                break
        world.sandbox.faults.set(Fault("blackhole", GET, count=4))
        with trio.move_on_after(5) as scope:
            await read(line, file)
        assert scope.cancelled_caught
        assert await read(line, file) == DATA


async def test_messages_without_a_file_and_of_other_chats_are_none(
    autojump_clock: MockClock, world: World
) -> None:
    text = world.sandbox.send_text(world.id(1), world.id(0), "hi").recipient_message_id
    elsewhere = world.sandbox.files.send(world.id(0), world.id(0), PhoneFile("photo", PICTURE))[0]
    number = sent(world)
    async with world.online(0) as line:
        peer = Peer(world.id(1), PeerKind.USER)
        found = await line.find_files(peer, [text, elsewhere.sender_message_id, number, 999])
        assert not isinstance(found, Deferred | Refused)
        assert found[text] == Refused("Telegram has the file no more")
        gone = Refused("Telegram has the message no more")
        assert [found[elsewhere.sender_message_id], found[999]] == [gone, gone]
        assert isinstance(found[number], RemoteFile)


async def test_files_of_channels_are_found_by_what_the_account_knows_of_the_channel(
    autojump_clock: MockClock, world: World
) -> None:
    channel = world.sandbox.rooms.create_channel(world.id(1), [world.id(0)], "News")
    async with world.online(0) as line:
        (file,) = world.sandbox.files.send(world.id(1), channel.peer, PhoneFile("photo", PICTURE))
        batches = await receive_until(line, lambda messages: any(each.file for each in messages))
        assert batches[-1].messages[-1].chat_id == channel.peer
        found = await line.find_files(Peer(channel.peer, PeerKind.CHANNEL), [file.recipient_message_id])
        assert not isinstance(found, Deferred | Refused)
        remote = found[file.recipient_message_id]
        assert isinstance(remote, RemoteFile)
        assert await read(line, remote) == PICTURE


@pytest.mark.parametrize("dc", [None, 4])
async def test_people_s_photos_are_fetched_by_their_id(
    autojump_clock: MockClock, world: World, dc: int | None
) -> None:
    world.sandbox.behave(media_dc=dc)
    photo_id = world.sandbox.files.set_photo(world.id(1), PICTURE)
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        assert peer.photo_id == photo_id
        found = await line.find_avatar(Peer(peer.chat_id, PeerKind.USER), photo_id)
        assert isinstance(found, RemoteFile)
        assert await read(line, found) == PICTURE
        assert await line.find_avatar(Peer(77, PeerKind.USER), 1) == Refused("PEER_ID_INVALID")


async def test_what_has_no_file_is_represented_faithfully(autojump_clock: MockClock, world: World) -> None:
    point = types.GeoPoint(2.5, 1.5, 0)
    for what in (
        types.MessageMediaGeo(point),
        types.MessageMediaVenue(point, "Bar", "Street 1", "", "", ""),
        types.MessageMediaContact("1555", "Ann", "Lee", "", 0),
    ):
        world.sandbox.files.send_other(world.id(1), world.id(0), what)
    place = {"latitude": 1.5, "longitude": 2.5}
    async with world.online(0) as line:
        page = await line.history(Peer(world.id(1), PeerKind.USER, 0), below=0, limit=3)
        assert isinstance(page, Refused)  # its access hash is not known
        page = await line.history(await world.peer(line, 1), below=0, limit=3)
        assert not isinstance(page, Refused | Deferred)
        assert [(each.message_type, each.raw_payload["media"]) for each in page.messages] == [
            ("location", place),
            ("venue", {"title": "Bar", "address": "Street 1", **place}),
            ("contact", {"phone": "1555", "first_name": "Ann", "last_name": "Lee", "user_id": None}),
        ]
        assert [each.file for each in page.messages] == [None] * 3


# ------------------------------------------------ what a file's trouble is not


async def test_several_waits_at_once_are_one(autojump_clock: MockClock, world: World) -> None:
    async with file_of(world, sent(world)) as (line, file):
        world.sandbox.faults.set(Fault("flood_wait", GET, seconds=30, count=4))
        waits: list[Deferred] = []
        came = b""
        async with line.download(file) as pieces:
            async for piece in pieces:
                if isinstance(piece, Deferred):
                    waits.append(piece)
                    await trio.sleep(piece.retry_after_s)
                else:
                    assert isinstance(piece, bytes)
                    came += piece
        assert came == DATA
        assert waits == [Deferred(30, "FLOOD_WAIT_30", HoldsUp.ROW)]
        assert trio.current_time() == 30


async def test_a_no_of_another_data_centre_is_no_no_to_the_account(
    autojump_clock: MockClock, world: World
) -> None:
    world.sandbox.behave(media_dc=4)
    number = sent(world)
    method = "auth.importAuthorization"
    async with file_of(world, number) as (line, file):
        world.sandbox.faults.set(Fault("rpc_error", method, code=401, message="AUTH_KEY_INVALID", count=1))
        came = b""
        async with line.download(file) as pieces:
            async for piece in pieces:
                if isinstance(piece, Deferred):
                    await trio.sleep(piece.retry_after_s)
                else:
                    assert isinstance(piece, bytes)
                    came += piece
        assert came == DATA
        with trio.move_on_after(3) as scope:
            await line.wait_lost()
        assert scope.cancelled_caught


async def test_who_is_sent_in_circles_gives_up(autojump_clock: MockClock, world: World) -> None:
    async with file_of(world, sent(world)) as (line, file):
        world.sandbox.faults.set(Fault("rpc_error", GET, code=303, message="FILE_MIGRATE_4", count=200))
        async with line.download(file) as pieces:
            assert [piece async for piece in pieces] == [Refused("FILE_MIGRATE_4")]
        world.sandbox.faults.clear()


async def test_a_slow_reader_keeps_its_line(autojump_clock: MockClock, world: World) -> None:
    world.sandbox.behave(media_dc=4)
    async with file_of(world, sent(world)) as (line, file):
        async with line.download(file) as pieces:
            async for _ in pieces:
                await trio.sleep(61)
        assert world.sandbox.statistics().handshakes == 1
        await trio.sleep(130)
        assert world.sandbox.statistics().open == 1  # and afterwards it is closed
