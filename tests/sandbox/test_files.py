"""Files as the sandbox holds them: parts in any order, parts that are lost, albums that are sent again."""

from hashlib import md5
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.tl import functions, types

from sandbox.mini_client import MiniClient, RpcFailure, open_mini, peer
from sandbox.unmodified_files import PICTURE
from tgworker.sandbox import Fault, PhoneFile, SandboxError, open_sandbox
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.files import FileShelf
from tgworker.sandbox.sandbox import Sandbox


def shelf() -> FileShelf:
    return FileShelf(Random(1))


@given(st.integers(1, 9), st.integers(1, 4096), st.booleans(), st.randoms(use_true_random=False))
def test_parts_come_in_any_order(parts: int, last: int, big: bool, order: Any) -> None:
    data = Random(parts).randbytes((parts - 1) * 4096 + last)
    pieces = [(number, data[number * 4096 : (number + 1) * 4096]) for number in range(parts)]
    order.shuffle(pieces)
    here = shelf()
    for number, piece in [*pieces, pieces[0]]:
        here.add_part(1, 5, number, piece, parts if big else None)
    file = here.take(1, 5, parts, "" if big else md5(data).hexdigest(), 2)
    assert file.size == len(data)
    assert file.content.read(0, len(data)) == data
    assert here.take(1, 5, parts, "", 2) is file


@pytest.mark.parametrize("big", [False, True])
def test_a_part_that_is_lost_is_named(big: bool) -> None:
    here = shelf()
    total = 3 if big else None
    for number in range(3):
        here.add_part(1, 5, number, bytes(1024), total)
    here.forget_parts(frozenset({1}))
    with pytest.raises(RequestRefused, match="FILE_PART_1_MISSING"):
        here.take(1, 5, 3, "", 2)
    here.add_part(1, 5, 1, bytes(1024), total)
    assert here.take(1, 5, 3, "", 2).size == 3072
    here.forget_parts()
    assert here.take(1, 5, 3, "", 2).size == 3072  # it is a file by now


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
        here.take(1, 5, 1, "0" * 32, 2)
    here.add_part(1, 6, 0, bytes(1024), None)
    here.add_part(1, 6, 1, bytes(2048), None)
    with pytest.raises(RequestRefused, match="FILE_PART_SIZE_CHANGED"):
        here.take(1, 6, 2, "", 2)


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
