"""Deaf but connected: pings and requests are answered, updates do not come; and what heals it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from telethon.tl import functions, types

from sandbox.mini_client import MiniClient, open_mini
from tgworker.sandbox import Fault, Heals, Sandbox, SandboxUser

HELLO = functions.InvokeWithLayerRequest(
    1, functions.InitConnectionRequest(1, "d", "s", "a", "l", "p", "c", functions.help.GetConfigRequest())
)


async def pts(client: MiniClient) -> int:
    return int((await client.ask(functions.updates.GetStateRequest())).pts)


async def difference(client: MiniClient, pts: int) -> list[str]:
    answer = await client.ask(functions.updates.GetDifferenceRequest(pts, None, 0))
    return [message.message for message in getattr(answer, "new_messages", [])]


async def hears(sandbox: Sandbox, client: MiniClient, user: SandboxUser, text: str) -> bool:
    """Whether a text that is sent now is pushed: a ping's answer comes after it."""
    sandbox.send_text(sandbox.users[1].id, user.id, text)
    await client.ask(functions.PingRequest(7))
    return text in [update.message.message for update in client.heard(types.UpdateNewMessage)]


@asynccontextmanager
async def deafened(sandbox: Sandbox, heals: Heals) -> AsyncGenerator[MiniClient]:
    alice = sandbox.users[0]
    async with open_mini(sandbox, alice.session) as client:
        assert await hears(sandbox, client, alice, "before")
        sandbox.faults.set(Fault("deaf", "push", user=alice.id, heals=heals))
        assert not await hears(sandbox, client, alice, "lost")
        yield client


async def test_a_deaf_line_answers_all_the_same_until_the_fault_is_cleared(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    async with deafened(sandbox, "never") as client, open_mini(sandbox, bob.session) as other:
        assert await pts(client) == 3
        assert await difference(client, 2) == ["lost"]
        assert not await hears(sandbox, client, alice, "lost as well")
        sandbox.send_text(alice.id, bob.id, "bob is not deaf")
        assert (await other.hear(types.UpdateNewMessage, 2)).message.message == "bob is not deaf"
        (active,) = sandbox.faults.listing()
        assert active.hits == 3  # the third is what she sent herself
        sandbox.faults.clear()
        assert await hears(sandbox, client, alice, "heard")


async def test_the_difference_heals(sandbox: Sandbox) -> None:
    async with deafened(sandbox, "difference") as client:
        assert await difference(client, 2) == ["lost"]
        assert await hears(sandbox, client, sandbox.users[0], "heard")


async def test_only_another_line_heals(sandbox: Sandbox) -> None:
    alice = sandbox.users[0]
    async with deafened(sandbox, "reconnect") as client:
        assert await pts(client) == 3  # the state is true: so the client can know
        assert await difference(client, 2) == []
        assert not await hears(sandbox, client, alice, "lost as well")
    async with open_mini(sandbox, alice.session) as again:
        assert await difference(again, 2) == ["lost", "lost as well"]
        assert await hears(sandbox, again, alice, "heard")


async def test_only_a_new_client_heals(sandbox: Sandbox) -> None:
    alice = sandbox.users[0]
    async with deafened(sandbox, "client"):
        pass
    async with open_mini(sandbox, alice.session) as again:
        assert await difference(again, 2) == []
        assert not await hears(sandbox, again, alice, "lost")
        await again.ask(HELLO)
        assert await difference(again, 2) == ["lost", "lost"]
        assert await hears(sandbox, again, alice, "heard")


async def test_only_another_key_heals(sandbox: Sandbox) -> None:
    alice = sandbox.users[0]
    async with deafened(sandbox, "key"):
        pass
    async with open_mini(sandbox, alice.session) as again:
        await again.ask(HELLO)
        assert not await hears(sandbox, again, alice, "lost")
    async with open_mini(sandbox, sandbox.new_session(alice.id)) as other:
        assert await difference(other, 2) == ["lost", "lost"]
        assert await hears(sandbox, other, alice, "heard")


async def test_a_deaf_line_is_not_told_of_channels_either(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    room = sandbox.rooms.create_channel(bob.id, [alice.id], "Crew")
    async with deafened(sandbox, "reconnect") as client:
        sandbox.send_text(bob.id, room.peer, "lost")
        dialogs: Any = await client.ask(
            functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 100, 0)
        )
        (chat,) = dialogs.chats
        request = functions.updates.GetChannelDifferenceRequest(
            types.InputChannel(chat.id, chat.access_hash), types.ChannelMessagesFilterEmpty(), room.pts, 100
        )
        answer = await client.ask(request)
        assert (type(answer), answer.pts) == (types.updates.ChannelDifferenceEmpty, room.pts)
        assert client.heard(types.UpdateNewChannelMessage) == []


@pytest.mark.parametrize(
    "options",
    [
        {"action": "deaf", "method": "messages.sendMessage"},
        {"action": "deaf", "method": "push", "peer": 1001},
        {"action": "deaf", "method": "push", "heals": "time"},
        {"action": "drop", "heals": "key"},
    ],
)
def test_what_makes_no_sense_of_deafness_is_refused(options: Any) -> None:
    with pytest.raises(ValueError, match=r"deaf|heals|push"):
        Fault(**options)


async def test_a_forgotten_session_hears_nothing_until_its_next_packet(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    async with open_mini(sandbox, alice.session) as client, open_mini(sandbox, bob.session) as other:
        assert sandbox.forget_sessions(alice.id) == 1
        sandbox.send_text(bob.id, alice.id, "lost")
        await other.hear(types.UpdateNewMessage)
        assert await hears(sandbox, client, alice, "lost as well") is False
        assert len(client.heard(types.NewSessionCreated)) == 2
        assert len(other.heard(types.NewSessionCreated)) == 1
        assert await difference(client, 1) == ["lost", "lost as well"]
        assert await hears(sandbox, client, alice, "heard")
