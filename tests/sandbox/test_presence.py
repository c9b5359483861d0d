"""Who is there and who types: told to whom it concerns, kept in no log, and over when its time is."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
import trio
from telethon.tl import functions, types
from trio.testing import MockClock

from sandbox.mini_client import open_mini, peer
from tgworker.sandbox import Sandbox, SandboxError, open_sandbox
from tgworker.sandbox.looks import LOOKS_KEPT, Looks


@asynccontextmanager
async def timed() -> AsyncGenerator[tuple[Sandbox, Callable[[float], datetime]]]:
    """A sandbox whose calendar is trio's clock, with what it says so many seconds later."""
    start, began = int(time.time()), trio.current_time()
    async with open_sandbox(
        users=3, rng=Random(1), calendar=lambda: start + trio.current_time() - began
    ) as sandbox:
        yield sandbox, lambda seconds: datetime.fromtimestamp(start + seconds, UTC)


async def status_of(sandbox: Sandbox, user_id: int) -> Any:
    """As a client sees it that comes now: old ones do not follow a calendar that leaps."""
    async with open_mini(sandbox, sandbox.users[0].session) as client:
        found = await client.ask(functions.contacts.GetContactsRequest(0))
    return next(each.status for each in found.users if each.id == user_id)


async def test_contacts_hear_who_comes_and_goes(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    stranger = sandbox.add_user(stranger=True)
    friend = sandbox.add_user(stranger=True)
    sandbox.send_text(friend.id, alice.id, "we have a chat")
    sandbox.part(carol.id, alice.id)
    async with (
        open_mini(sandbox, alice.session) as client,
        open_mini(sandbox, bob.session) as contact,
        open_mini(sandbox, carol.session) as parted,
        open_mini(sandbox, stranger.session) as none,
        open_mini(sandbox, friend.session) as chat,
    ):
        state = await contact.ask(functions.updates.GetStateRequest())
        await client.ask(functions.account.UpdateStatusRequest(offline=False))
        for each in (contact, chat):
            heard = await each.hear(types.UpdateUserStatus)
            assert (heard.user_id, type(heard.status)) == (alice.id, types.UserStatusOnline)
        await client.ask(functions.account.UpdateStatusRequest(offline=True))
        assert isinstance((await contact.hear(types.UpdateUserStatus, 2)).status, types.UserStatusOffline)
        for deaf in (parted, none, client):
            await deaf.ask(functions.PingRequest(2))
            assert deaf.heard(types.UpdateUserStatus) == []
        assert (await contact.ask(functions.updates.GetStateRequest())).pts == state.pts


async def test_a_status_shows_in_users_and_ends_by_itself(autojump_clock: MockClock) -> None:
    async with timed() as (sandbox, at):
        bob = sandbox.users[1].id
        assert isinstance(await status_of(sandbox, bob), types.UserStatusRecently)
        sandbox.phone.update_status(bob, seconds=60)
        assert await status_of(sandbox, bob) == types.UserStatusOnline(at(60))
        await trio.sleep(50)
        sandbox.phone.update_status(bob)
        await trio.sleep(299)
        assert await status_of(sandbox, bob) == types.UserStatusOnline(at(350))
        await trio.sleep(1)
        assert await status_of(sandbox, bob) == types.UserStatusOffline(at(350))
        await trio.sleep(50)
        sandbox.phone.update_status(bob, offline=True)
        assert await status_of(sandbox, bob) == types.UserStatusOffline(at(400))


async def test_contacts_are_asked_for_all_at_once_and_nobody_else(autojump_clock: MockClock) -> None:
    async with timed() as (sandbox, at):
        alice, bob, carol = sandbox.users
        stranger = sandbox.add_user(stranger=True)
        sandbox.phone.update_status(bob.id, seconds=60)
        sandbox.phone.update_status(stranger.id)
        await trio.sleep(10)

        async def ask() -> Any:
            async with open_mini(sandbox, alice.session) as client:
                return await client.ask(functions.contacts.GetStatusesRequest())

        found = await ask()
        assert [each.user_id for each in found] == [bob.id, carol.id]
        assert found[0].status == types.UserStatusOnline(at(60))
        assert isinstance(found[1].status, types.UserStatusRecently)
        await trio.sleep(50)
        assert (await ask())[0].status == types.UserStatusOffline(at(60))


async def test_nobody_is_told_when_the_time_is_over(autojump_clock: MockClock) -> None:
    async with timed() as (sandbox, at), open_mini(sandbox, sandbox.users[0].session) as client:
        sandbox.phone.update_status(sandbox.users[1].id, seconds=10)
        assert (await client.hear(types.UpdateUserStatus)).status == types.UserStatusOnline(at(10))
        await trio.sleep(20)
        await client.ask(functions.PingRequest(2))
        assert len(client.heard(types.UpdateUserStatus)) == 1


async def test_typing_is_shown_where_it_is(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    group = sandbox.rooms.create_group(alice.id, [bob.id, carol.id], "Choir").peer
    crew = sandbox.rooms.create_channel(alice.id, [bob.id, carol.id], "Crew").peer
    async with open_mini(sandbox, alice.session) as client, open_mini(sandbox, bob.session) as other:
        sandbox.phone.set_typing(bob.id, alice.id)
        assert (await client.hear(types.UpdateUserTyping)).user_id == bob.id
        sandbox.phone.set_typing(bob.id, group, "upload_photo")
        in_group = await client.hear(types.UpdateChatUserTyping)
        assert (in_group.chat_id, in_group.from_id) == (-group, types.PeerUser(bob.id))
        assert isinstance(in_group.action, types.SendMessageUploadPhotoAction)
        sandbox.phone.set_typing(bob.id, crew, "cancel")
        in_crew = await client.hear(types.UpdateChannelUserTyping)
        assert isinstance(in_crew.action, types.SendMessageCancelAction)
        await other.ask(
            functions.messages.SetTypingRequest(await peer(other, alice), types.SendMessageTypingAction())
        )
        assert await client.hear(types.UpdateUserTyping, 2)
        assert other.heard(types.UpdateChatUserTyping) == []


async def test_nobody_types_where_he_may_not_write(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    crew = sandbox.rooms.create_channel(alice.id, [bob.id], "Crew").peer
    with pytest.raises(SandboxError, match="CHAT_WRITE_FORBIDDEN"):
        sandbox.phone.set_typing(carol.id, crew)
    unknown: Any = "sing"
    with pytest.raises(SandboxError, match="nobody does sing"):
        sandbox.phone.set_typing(bob.id, crew, unknown)
    for seconds in (0, -1, float("nan"), 1e12):
        with pytest.raises(SandboxError, match="seconds must be above 0"):
            sandbox.phone.update_status(bob.id, seconds=seconds)


def test_looks_are_bounded_and_forgotten_one_by_one() -> None:
    looks = Looks()
    for viewer in range(LOOKS_KEPT):
        looks.keep(viewer, viewer % 2, b"x")
    looks.forget(0)
    assert (looks.get(0, 0), looks.get(1, 1)) == (None, b"x")
    for viewer in range(LOOKS_KEPT // 2):
        looks.keep(viewer, 3, b"y")
    assert looks.get(1, 1) == b"x"
    looks.keep(7, 4, b"z")
    assert (looks.get(1, 1), looks.get(7, 4)) == (None, b"z")
