"""Who is whose contact, and what a stranger shows of himself."""

from typing import Any

import pytest
from telethon.tl import functions, types

from sandbox.mini_client import open_mini
from tgworker.sandbox import Sandbox, UnknownUser
from tgworker.sandbox.contact_book import ContactBook


def test_one_may_have_another_who_does_not_have_him() -> None:
    book = ContactBook()
    assert (book.has(1, 2), book.has(1, 1)) == (True, False)
    book.note(1, 2, has=False)
    assert (book.has(1, 2), book.has(2, 1)) == (False, True)
    book.make_stranger(3)
    book.note(1, 3, has=True)
    assert (book.has(1, 3), book.has(3, 1), book.has(2, 3)) == (True, False, False)


async def test_a_stranger_in_a_channel_is_min_until_he_writes_or_is_a_contact(sandbox: Sandbox) -> None:
    alice = sandbox.users[0]
    stranger = sandbox.add_user(stranger=True)
    room = sandbox.rooms.create_channel(alice.id, [stranger.id], "Crew")

    async def seen(text: str) -> Any:
        async with open_mini(sandbox, alice.session) as client:
            sandbox.send_text(stranger.id, room.peer, text)
            await client.hear(types.UpdateNewChannelMessage)
            (push,) = [each for each in client.received if isinstance(each, types.Updates)]
            (user,) = [each for each in push.users if each.id == stranger.id]
            return user

    first = await seen("as a stranger")
    assert (first.min, first.phone, first.contact) == (True, None, False)
    sandbox.befriend(alice.id, stranger.id)
    second = await seen("as a friend")
    assert (second.min, second.phone, second.mutual_contact) == (False, stranger.phone, True)
    sandbox.part(alice.id, stranger.id)
    assert (await seen("parted")).min
    sandbox.send_text(stranger.id, alice.id, "in private")
    fourth = await seen("with a chat")
    assert (fourth.min, fourth.contact) == (False, False)
    assert fourth.access_hash == second.access_hash != first.access_hash


async def test_the_history_shows_strangers_in_full(sandbox: Sandbox) -> None:
    alice = sandbox.users[0]
    stranger = sandbox.add_user(stranger=True)
    group = sandbox.rooms.create_group(alice.id, [stranger.id], "Choir")
    sandbox.send_text(stranger.id, group.peer, "hello")
    async with open_mini(sandbox, alice.session) as client:
        page = await client.ask(
            functions.messages.GetHistoryRequest(types.InputPeerChat(-group.peer), 0, None, 0, 9, 0, 0, 0)
        )
        assert [user.min for user in page.users if user.id == stranger.id] == [False]


async def test_only_users_befriend(sandbox: Sandbox) -> None:
    with pytest.raises(UnknownUser):
        sandbox.befriend(sandbox.users[0].id, 1)
