"""Files on their way to Telegram: parts, waits, lines that break; and messages that carry them, once each."""

from collections.abc import AsyncGenerator
from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from sandbox.unmodified_files import PICTURE
from telegram.telegram_world import World, open_world, receive_until
from tgworker.messaging.errors import AccountRefused, TelegramAway
from tgworker.messaging.formatted import Entity, EntityKind, FormattedText
from tgworker.messaging.media import PART_BYTES, FileFacts, FileKind, PartialUpload
from tgworker.messaging.media_ports import MediaMessage, PartsForgotten
from tgworker.messaging.models import Look, Peer
from tgworker.messaging.outcomes import Deferred, Outcome, Refused, Sent, Unknown
from tgworker.sandbox import Fault
from tgworker.telegram.connection import TelethonConnection

SMALL, BIG = "upload.saveFilePart", "upload.saveBigFilePart"
LONG = Random(5).randbytes(11 * 1024 * 1024 + 5)


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world() as world:
        yield world


def begun(data: bytes, number: int = 1) -> PartialUpload:
    return PartialUpload(number, len(data), "file")


async def bring(line: TelethonConnection, file: PartialUpload, data: bytes) -> Deferred | Refused | None:
    """Send what Telegram does not have, and wait as long as it asks."""
    upload = line.upload(file)
    for number in range(file.parts):
        if number not in file.acknowledged:
            piece = data[number * PART_BYTES : (number + 1) * PART_BYTES]
            while isinstance(said := await upload.send(number, piece), Deferred):
                await trio.sleep(said.retry_after_s)
            if said is not None:
                return said
    while isinstance(said := await upload.finish(), Deferred):
        await trio.sleep(said.retry_after_s)
    return said


def message(
    data: bytes, kind: FileKind = FileKind.DOCUMENT, caption: str = "", number: int = 1, mime: str = "a/b"
) -> MediaMessage:
    facts = FileFacts(kind, len(data), mime, "name.bin", 3.0, 40, 30)
    return MediaMessage(begun(data, number), facts, FormattedText(caption), random_id=100 + number)


async def send(line: TelethonConnection, peer: Peer, *messages: tuple[MediaMessage, bytes]) -> Outcome:
    for one, data in messages:
        assert await bring(line, one.file, data) is None
    outcome = await line.send_media(peer, [one for one, _ in messages])
    assert not isinstance(outcome, PartsForgotten)
    return outcome


@pytest.mark.parametrize("size", [1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, len(LONG)])
async def test_every_byte_arrives(autojump_clock: MockClock, world: World, size: int) -> None:
    data = LONG[:size]
    async with world.online(0) as line:
        one = message(data)
        outcome = await send(line, await world.peer(line, 1), (one, data))
        assert isinstance(outcome, Sent)
        assert outcome.telegram_id is not None
        assert one.file.bytes_done == size
        stored = world.sandbox.files.of(world.id(0), world.id(1), outcome.telegram_id)
        assert stored.content.read(0, size + 1) == data


@pytest.mark.parametrize("kind", list(FileKind))
async def test_every_kind_is_what_it_is_meant_to_be(
    autojump_clock: MockClock, world: World, kind: FileKind
) -> None:
    async with world.online(0) as line, world.online(1) as other:
        one = message(PICTURE, kind, "look", mime="image/png")
        outcome = await send(line, await world.peer(line, 1), (one, PICTURE))
        assert isinstance(outcome, Sent)
        (came,) = (await other.updates.receive()).messages
        assert (came.message_type, came.text) == (kind.value, "look")
        assert came.file is not None
        assert (came.file.kind, came.file.size) == (kind, len(PICTURE))
        if kind not in (FileKind.PHOTO, FileKind.VOICE, FileKind.VIDEO_NOTE):
            assert came.file.file_name == "name.bin"


async def test_a_caption_keeps_its_formatting(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        caption = FormattedText("bold", (Entity(EntityKind.BOLD, 0, 4),))
        one = MediaMessage(begun(PICTURE), FileFacts(FileKind.PHOTO, len(PICTURE)), caption, 7)
        await send(line, await world.peer(line, 1), (one, PICTURE))
    (there,) = world.sandbox.chat(world.id(1), world.id(0))
    assert [each.kind for each in there.entities] == ["bold"]


@pytest.mark.parametrize(("method", "size"), [(SMALL, 6 * PART_BYTES), (BIG, len(LONG))])
async def test_a_flood_wait_in_the_middle_starts_nothing_over(
    autojump_clock: MockClock, world: World, method: str, size: int
) -> None:
    world.sandbox.faults.set(Fault("flood_wait", method, seconds=40, after=3, count=2))
    data = LONG[:size]
    async with world.online(0) as line:
        file = begun(data)
        assert await bring(line, file, data) is None
        assert trio.current_time() == 40  # both were told to wait at once
    asked = world.sandbox.statistics().requests[method]
    assert asked == file.parts + 2


async def test_parts_are_few_at_a_time_and_a_waiter_that_is_cancelled_takes_no_place(
    autojump_clock: MockClock, world: World
) -> None:
    world.sandbox.faults.set(Fault("delay", SMALL, seconds=100))
    async with world.online(0) as line:
        file = begun(LONG[: 10 * PART_BYTES])
        upload = line.upload(file)
        for number in range(4):
            assert await upload.send(number, bytes(PART_BYTES)) is None
        for _ in range(10):
            with trio.move_on_after(1) as scope:
                await upload.send(4, bytes(PART_BYTES))
            assert scope.cancelled_caught
        world.sandbox.faults.clear()
        assert world.sandbox.statistics().requests[SMALL] == 4
        for number in range(4, 10):
            assert await upload.send(number, bytes(PART_BYTES)) is None
        assert await upload.finish() is None
        assert file.acknowledged == set(range(10))


async def test_a_line_that_breaks_costs_no_part_twice(autojump_clock: MockClock, world: World) -> None:
    data = LONG[: 8 * PART_BYTES]
    world.sandbox.faults.set(Fault("drop", SMALL, after=5, count=1))
    file = begun(data)
    async with world.online(0) as line:
        with pytest.raises(TelegramAway):
            await bring(line, file, data)
    there = set(file.acknowledged)
    assert there
    before = world.sandbox.statistics().requests[SMALL]
    async with world.online(0) as line:
        assert await bring(line, file, data) is None
        one = MediaMessage(file, FileFacts(FileKind.DOCUMENT, len(data)), FormattedText(""), 9)
        outcome = await line.send_media(await world.peer(line, 1), [one])
    assert world.sandbox.statistics().requests[SMALL] - before == 8 - len(there)
    assert isinstance(outcome, Sent)
    assert outcome.telegram_id is not None
    stored = world.sandbox.files.of(world.id(0), world.id(1), outcome.telegram_id)
    assert stored.content.read(0, stored.size) == data


async def test_parts_that_telegram_has_forgotten_are_named(autojump_clock: MockClock, world: World) -> None:
    data = LONG[: 3 * PART_BYTES]
    async with world.online(0) as line:
        peer, one = await world.peer(line, 1), message(data)
        assert await bring(line, one.file, data) is None
        world.sandbox.files.forget_parts([1])
        assert await line.send_media(peer, [one]) == PartsForgotten({0: 1})
        one.file.acknowledged.discard(1)
        assert isinstance(await send(line, peer, (one, data)), Sent)


@pytest.mark.parametrize(
    ("data", "kind", "caption", "reason"),
    [
        (b"text", FileKind.PHOTO, "", "IMAGE_PROCESS_FAILED"),
        (PICTURE, FileKind.PHOTO, "x" * 1025, "MEDIA_CAPTION_TOO_LONG"),
    ],
)
async def test_what_telegram_does_not_take_is_refused(
    autojump_clock: MockClock, world: World, data: bytes, kind: FileKind, caption: str, reason: str
) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        assert await send(line, peer, (message(data, kind, caption), data)) == Refused(reason)


# ------------------------------------------------ albums


def album() -> list[tuple[MediaMessage, bytes]]:
    return [(message(PICTURE, FileKind.PHOTO, "abc"[n - 1], n), PICTURE) for n in (1, 2, 3)]


async def test_an_album_is_one_and_each_of_its_messages_is_named(
    autojump_clock: MockClock, world: World
) -> None:
    async with world.online(0) as line, world.online(1) as other:
        outcome = await send(line, await world.peer(line, 1), *album())
        assert isinstance(outcome, Sent)
        there = world.sandbox.chat(world.id(0), world.id(1))
        assert [each.text for each in there] == ["a", "b", "c"]
        assert outcome.telegram_id == there[0].id
        assert outcome.more == ((102, there[1].id), (103, there[2].id))
        batches = await receive_until(other, lambda messages: len(messages) == 3)
        came = [each for batch in batches for each in batch.messages]
        assert len({each.raw_payload["grouped_id"] for each in came}) == 1


@pytest.mark.parametrize("repeats", ["original", "error"])
async def test_an_album_whose_answer_was_lost_is_not_doubled(
    autojump_clock: MockClock, world: World, repeats: str
) -> None:
    world.sandbox.behave(repeats=repeats)
    world.sandbox.faults.set(Fault("accept_drop", "messages.sendMultiMedia", count=1))
    messages = album()
    async with world.online(0) as line:
        assert isinstance(await send(line, await world.peer(line, 1), *messages), Unknown)
    async with world.online(0) as line:
        outcome = await line.send_media(await world.peer(line, 1), [one for one, _ in messages])
        assert isinstance(outcome, Sent)
        # (The error names no id, and this line has not read the log that did.)
        first = world.sandbox.chat(world.id(0), world.id(1))[0].id
        assert outcome.telegram_id == (first if repeats == "original" else None)
    assert len(world.sandbox.chat(world.id(1), world.id(0))) == 3


async def test_a_part_forgotten_in_an_album_is_named_with_its_message(
    autojump_clock: MockClock, world: World
) -> None:
    messages = album()
    async with world.online(0) as line:
        for one, data in messages[:2]:
            assert await bring(line, one.file, data) is None
        peer = await world.peer(line, 1)
        assert await line.send_media(peer, [one for one, _ in messages]) == PartsForgotten({2: 0})
    assert world.sandbox.chat(world.id(1), world.id(0)) == ()


# ------------------------------------------------ looking


async def test_what_was_sent_is_found_as_a_whole(autojump_clock: MockClock, world: World) -> None:
    async with world.online(0) as line:
        peer, messages = await world.peer(line, 1), album()
        first = await send(line, peer, *messages)
        assert isinstance(first, Sent)
        one = message(PICTURE, FileKind.PHOTO, "a", 9)
        second = await send(line, peer, (one, PICTURE))
        assert isinstance(second, Sent)

        async def found(above: int, *wanted: MediaMessage) -> list[tuple[int, tuple[tuple[int, int], ...]]]:
            look = await line.look_for_media(peer, wanted, above=above)
            assert isinstance(look, Look)
            assert look.whole
            return [(copy.telegram_id, copy.more) for copy in look.copies]

        assert await found(0, *[each for each, _ in messages]) == [(first.telegram_id, first.more)]
        assert await found(0, one) == [(second.telegram_id, ())]  # and not the album's first
        assert second.telegram_id is not None
        assert await found(second.telegram_id, one) == []
        assert await found(0, message(PICTURE, FileKind.PHOTO, "other", 9)) == []
        assert await found(0, message(PICTURE, FileKind.DOCUMENT, "a", 9)) == []


async def test_a_final_no_to_the_account_is_told_whatever_it_answers(
    autojump_clock: MockClock, world: World
) -> None:
    world.sandbox.faults.set(Fault("rpc_error", SMALL, code=401, message="SESSION_REVOKED", count=1))
    async with world.online(0) as line:
        with pytest.raises(TelegramAway):
            await bring(line, begun(b"x"), b"x")
        with pytest.raises(AccountRefused, match="SESSION_REVOKED"):
            await line.wait_lost()


async def test_parts_of_files_are_not_compressed_and_long_texts_are(
    autojump_clock: MockClock, world: World
) -> None:
    data = bytes(3 * PART_BYTES)  # nothing is compressed as well as this
    async with world.online(0) as line:
        sent: list[int] = []
        client: Any = line._client
        connection = client._sender._connection
        send = connection.send

        async def counted(packet: bytes) -> None:
            sent.append(len(packet))
            await send(packet)

        connection.send = counted
        assert await bring(line, begun(data), data) is None
        assert sum(sent) > len(data)
        sent.clear()
        await line.send_text(await world.peer(line, 1), "x" * 4000, random_id=1)
        assert sum(sent) < 2000
