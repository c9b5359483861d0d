"""Files as the sandbox holds them: parts in any order, parts that are lost, albums that are sent again."""

import struct
import tracemalloc
from hashlib import md5
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.extensions import BinaryReader
from telethon.tl import functions, types
from telethon.tl.core import RpcResult

from sandbox.mini_client import MiniClient, RpcFailure, open_mini, peer
from sandbox.unmodified_files import PICTURE
from tgworker.sandbox import Fault, PhoneFile, SandboxError, open_sandbox
from tgworker.sandbox.contents import PIECE_BYTES, MadeContent
from tgworker.sandbox.control_files import MAX_MADE_BYTES, SentFile
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.file_parts import MAX_PART_BYTES, MAX_SMALL_BYTES
from tgworker.sandbox.files import MAX_UNFINISHED, FileShelf
from tgworker.sandbox.media import MAX_PHOTO_BYTES
from tgworker.sandbox.packing import rpc_result
from tgworker.sandbox.sandbox import Sandbox


def shelf() -> FileShelf:
    return FileShelf(Random(1))


def png_head(width: int, height: int) -> bytes:
    """As much of a picture as tells how large it is."""
    return PICTURE[:16] + struct.pack(">II", width, height) + PICTURE[24:]


@given(st.integers(1, 9), st.integers(1, 4096), st.booleans(), st.randoms(use_true_random=False))
def test_parts_come_in_any_order(parts: int, last: int, big: bool, order: Any) -> None:
    data = Random(parts).randbytes((parts - 1) * 4096 + last)
    pieces = [(number, data[number * 4096 : (number + 1) * 4096]) for number in range(parts)]
    order.shuffle(pieces)
    here = shelf()
    for number, piece in [*pieces, pieces[0]]:
        here.add_part(1, 5, number, piece, parts if big else None)
    file = here.take(1, 5, parts, "" if big else md5(data).hexdigest(), 2, big=big)
    assert file.size == len(data)
    assert file.content.read(0, len(data)) == data
    assert here.take(1, 5, parts, "", 2, big=big) is file


@pytest.mark.parametrize("big", [False, True])
def test_a_part_that_is_lost_is_named(big: bool) -> None:
    here = shelf()
    total = 3 if big else None
    for number in range(3):
        here.add_part(1, 5, number, bytes(1024), total)
    here.forget_parts(frozenset({1}))
    with pytest.raises(RequestRefused, match="FILE_PART_1_MISSING"):
        here.take(1, 5, 3, "", 2, big=big)
    here.add_part(1, 5, 1, bytes(1024), total)
    assert here.take(1, 5, 3, "", 2, big=big).size == 3072
    here.forget_parts()
    assert here.take(1, 5, 3, "", 2, big=big).size == 3072  # it is a file by now


@pytest.mark.parametrize(
    ("number", "size", "total", "error"),
    [
        (0, 0, None, "FILE_PART_EMPTY"),
        (0, 512 * 1024 + 1, None, "FILE_PART_TOO_BIG"),
        (4000, 1, None, "FILE_PART_INVALID"),
        (2, 1024, 2, "FILE_PART_INVALID"),
        (0, 1000, 2, "FILE_PART_SIZE_INVALID"),
        (0, 3072, 2, "FILE_PART_SIZE_INVALID"),
    ],
)
def test_parts_that_are_none_are_refused(number: int, size: int, total: int | None, error: str) -> None:
    with pytest.raises(RequestRefused, match=error):
        shelf().add_part(1, 5, number, bytes(size), total)


def test_a_wrong_checksum_and_wrong_sizes_are_no_file() -> None:
    here = shelf()
    here.add_part(1, 5, 0, b"hello", None)
    with pytest.raises(RequestRefused, match="MD5_CHECKSUM_INVALID"):
        here.take(1, 5, 1, "0" * 32, 2, big=False)
    here.add_part(1, 6, 0, bytes(1024), None)
    here.add_part(1, 6, 1, bytes(2048), None)
    with pytest.raises(RequestRefused, match="FILE_PART_SIZE_CHANGED"):
        here.take(1, 6, 2, "", 2, big=False)


@pytest.mark.parametrize("big", [False, True])
def test_a_part_that_comes_late_does_not_spoil_a_file_that_was_taken(big: bool) -> None:
    here = shelf()
    total = 2 if big else None
    for number in (0, 1):
        here.add_part(1, 5, number, bytes([number]) * 1024, total)
    file = here.take(1, 5, 2, "", 2, big=big)
    for late in (total, None, 2):
        here.add_part(1, 5, 1, b"x" * 1024, late)
        assert here.take(1, 5, 2, "", 2, big=big) is file
    assert file.content.read(0, 4096) == bytes(1024) + b"\1" * 1024
    with pytest.raises(RequestRefused, match="FILE_PART_EMPTY"):
        here.add_part(1, 5, 1, b"", total)


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize("big", [False, True])
def test_a_file_is_what_its_parts_say_and_not_what_its_name_says(big: bool, taken: bool) -> None:
    here = shelf()
    for number in (0, 1):
        here.add_part(1, 5, number, bytes(1024), 2 if big else None)
    if taken:
        here.take(1, 5, 2, "", 2, big=big)
    with pytest.raises(RequestRefused, match="FILE_PARTS_INVALID"):
        here.take(1, 5, 2, "", 2, big=not big)
    if big or taken:  # (of small ones nobody said how many parts they have)
        with pytest.raises(RequestRefused, match="FILE_PARTS_INVALID"):
            here.take(1, 5, 1, "", 2, big=big)
    with pytest.raises(RequestRefused, match="MD5_CHECKSUM_INVALID"):
        here.take(1, 5, 2, "0" * 32, 2, big=big)
    assert here.take(1, 5, 2, md5(bytes(2048)).hexdigest(), 2, big=big).size == 2048


def test_parts_in_memory_are_bounded() -> None:
    here = shelf()
    part = bytes(MAX_PART_BYTES)
    for number in range(20):
        here.add_part(1, 5, number, part, None)
    here.add_part(1, 5, 19, part, None)  # (once more is no more)
    with pytest.raises(RequestRefused, match="FILE_PARTS_INVALID"):
        here.add_part(1, 5, 20, b"x", None)
    here.forget_parts(frozenset({3}))
    here.add_part(1, 5, 3, part, None)
    assert here.take(1, 5, 20, "", 2, big=False).size == MAX_SMALL_BYTES


def test_of_too_many_unfinished_files_the_one_that_waited_longest_is_dropped() -> None:
    here = shelf()
    here.add_part(2, 1, 0, b"another's", None)
    for file_id in range(MAX_UNFINISHED):
        here.add_part(1, file_id, 0, bytes(1024), 2)
    here.add_part(1, 0, 1, b"last", 2)  # it goes on: the next one has waited longer
    here.add_part(1, MAX_UNFINISHED, 0, b"one too many", None)
    with pytest.raises(RequestRefused, match="FILE_PART_0_MISSING"):
        here.take(1, 1, 2, "", 2, big=True)
    assert here.take(1, 0, 2, "", 2, big=True).size == 1028
    assert here.take(1, MAX_UNFINISHED, 1, "", 2, big=False).size == 12
    assert here.take(2, 1, 1, "", 2, big=False).size == 9
    with pytest.raises(RequestRefused, match="FILE_PART_1_MISSING"):
        here.take(1, 2, 2, "", 2, big=True)  # that one is still there


@given(st.integers(0, 3 * PIECE_BYTES), st.integers(0, 3 * PIECE_BYTES), st.integers(0, 2 * PIECE_BYTES))
def test_made_bytes_are_the_same_however_they_are_read(size: int, offset: int, limit: int) -> None:
    made = MadeContent(size)
    whole = made.read(0, size)
    assert len(whole) == size
    assert MadeContent(size).read(offset, limit) == whole[offset : offset + limit]


def test_a_gibibyte_is_made_in_flat_memory() -> None:
    tracemalloc.start()
    try:
        file = SentFile(kind="document", made=MAX_MADE_BYTES).file().content()
        ends = [file.read(offset, 1 << 20) for offset in range(0, file.size, 1 << 28)]
        last = file.read(file.size - 5, 100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert file.size == 1 << 30
    assert (len({piece[:8] for piece in ends}), {len(piece) for piece in ends}) == (4, {1 << 20})
    assert len(last) == 5
    assert peak < 16 << 20


def test_pieces_of_files_are_not_compressed_and_other_long_answers_are() -> None:
    piece = bytes(types.upload.File(types.storage.FileUnknown(), 0, bytes(1 << 19)))
    answer = rpc_result(7, piece).body
    assert answer.endswith(piece)
    assert RpcResult.from_reader(BinaryReader(answer[4:])).body == piece
    assert len(rpc_result(7, bytes(1 << 19)).body) < 1 << 10


@pytest.mark.parametrize(
    ("picture", "error"),
    [
        (png_head(5000, 5000), None),
        (png_head(5000, 5001), "PHOTO_INVALID_DIMENSIONS"),
        (png_head(20, 400), None),
        (png_head(401, 20), "PHOTO_INVALID_DIMENSIONS"),
        (png_head(0, 20), "PHOTO_INVALID_DIMENSIONS"),
        (PICTURE.ljust(MAX_PHOTO_BYTES, b"\0"), None),
        (PICTURE.ljust(MAX_PHOTO_BYTES + 1, b"\0"), "PHOTO_SAVE_FILE_INVALID"),
        (b"text", "IMAGE_PROCESS_FAILED"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_photos_that_telegram_does_not_take(picture: bytes, error: str | None) -> None:
    async with open_sandbox() as sandbox, open_mini(sandbox, sandbox.users[0].session) as client:
        alice, bob = sandbox.users
        to = await peer(client, bob)
        pieces = [picture[at : at + MAX_PART_BYTES] for at in range(0, len(picture), MAX_PART_BYTES)]
        big = len(picture) > MAX_SMALL_BYTES
        for number, piece in enumerate(pieces):
            part: Any = functions.upload.SaveFilePartRequest(1, number, piece)
            if big:
                part = functions.upload.SaveBigFilePartRequest(1, number, len(pieces), piece)
            assert await client.ask(part)
        name: Any = types.InputFile(1, len(pieces), "a.png", "")
        if big:
            name = types.InputFileBig(1, len(pieces), "a.png")
        upload = functions.messages.UploadMediaRequest(to, types.InputMediaUploadedPhoto(name))
        if error is None:
            assert (await client.ask(upload)).photo.sizes[0].size == len(picture)
            sandbox.files.send(bob.id, alice.id, PhoneFile("photo", picture))
            sandbox.files.set_photo(bob.id, picture)
            return
        with pytest.raises(RpcFailure, match=error):
            await client.ask(upload)
        with pytest.raises(SandboxError, match=error):
            sandbox.files.send(bob.id, alice.id, PhoneFile("photo", picture))
        with pytest.raises(SandboxError, match=error):
            sandbox.files.set_photo(bob.id, picture)


async def _photo(client: MiniClient, to: Any, file_id: int) -> Any:
    await client.ask(functions.upload.SaveFilePartRequest(file_id, 0, PICTURE))
    uploaded = types.InputMediaUploadedPhoto(types.InputFile(file_id, 1, "a.png", ""))
    media = await client.ask(functions.messages.UploadMediaRequest(to, uploaded))
    photo = media.photo
    return types.InputMediaPhoto(types.InputPhoto(photo.id, photo.access_hash, photo.file_reference))


async def test_an_album_that_is_sent_again_is_not_doubled() -> None:
    async with open_sandbox() as sandbox, open_mini(sandbox, sandbox.users[0].session) as client:
        bob = sandbox.users[1]
        to = await peer(client, bob)
        photos = [await _photo(client, to, n) for n in (1, 2)]
        singles = [types.InputSingleMedia(photo, "", random_id=n) for n, photo in enumerate(photos, 11)]
        first = await client.ask(functions.messages.SendMultiMediaRequest(to, singles))
        again = await client.ask(functions.messages.SendMultiMediaRequest(to, singles))
        ids = [
            [each.id for each in one.updates if isinstance(each, types.UpdateMessageID)]
            for one in (first, again)
        ]
        assert ids[0] == ids[1]
        assert len(sandbox.chat(sandbox.users[0].id, bob.id)) == 2
        sandbox.behave(repeats="error")
        with pytest.raises(RpcFailure, match="RANDOM_ID_DUPLICATE"):
            await client.ask(functions.messages.SendMultiMediaRequest(to, singles))


async def test_a_fault_may_let_some_pass_first() -> None:
    async with open_sandbox() as sandbox, open_mini(sandbox, sandbox.users[0].session) as client:
        sandbox.faults.set(Fault("flood_wait", "upload.saveFilePart", seconds=3, after=2, count=1))
        for number in range(2):
            assert await client.ask(functions.upload.SaveFilePartRequest(1, number, b"x"))
        with pytest.raises(RpcFailure, match="FLOOD_WAIT_3"):
            await client.ask(functions.upload.SaveFilePartRequest(1, 2, b"x"))
        assert await client.ask(functions.upload.SaveFilePartRequest(1, 2, b"x"))


def _sent(sandbox: Sandbox, chat: int) -> str:
    alice, bob = sandbox.users
    (sent,) = sandbox.files.send(bob.id, chat, PhoneFile("photo", PICTURE))
    number = sent.recipient_message_id or sandbox.chat(alice.id, chat)[-1].id
    return sandbox.files.of(alice.id, bob.id if chat == alice.id else chat, number).sha256()


async def test_files_stand_in_every_kind_of_chat() -> None:
    async with open_sandbox() as sandbox:
        alice, bob = sandbox.users
        group = sandbox.rooms.create_group(bob.id, [alice.id], "Group")
        channel = sandbox.rooms.create_channel(bob.id, [alice.id], "Channel")
        assert len({_sent(sandbox, chat) for chat in (alice.id, group.peer, channel.peer)}) == 1
        with pytest.raises(SandboxError, match="IMAGE_PROCESS_FAILED"):
            sandbox.files.send(bob.id, alice.id, PhoneFile("photo", b"text"))
        with pytest.raises(SandboxError, match="MEDIA_GROUPED_INVALID"):
            sandbox.files.send(bob.id, alice.id, PhoneFile("photo", PICTURE), PhoneFile("document", b"text"))
        with pytest.raises(SandboxError, match="no file in message 99"):
            sandbox.files.of(alice.id, bob.id, 99)
