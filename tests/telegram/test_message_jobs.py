"""What message jobs do, as the real client asks the sandbox, and what is made of its answers."""

from collections.abc import AsyncGenerator

import pytest
from telethon.errors import rpcerrorlist
from telethon.errors.rpcbaseerrors import ServerError
from telethon.tl import functions, types
from trio.testing import MockClock

from telegram.telegram_world import World, open_world
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.formatted import Entity, EntityKind, FormattedText
from tgworker.messaging.job_outcomes import Done, JobAnswer
from tgworker.messaging.models import Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused, Sent, Unknown
from tgworker.sandbox import Fault
from tgworker.telegram import TelethonConnection
from tgworker.telegram.message_jobs import ALREADY, ONLY_FOR_ALL, REMEDIES, job_outcome


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(users=3) as world:
        yield world


async def sent(line: TelethonConnection, peer: Peer, text: str = "hello", random_id: int = 1) -> int:
    outcome = await line.send_text(peer, text, random_id=random_id)
    assert isinstance(outcome, Sent)
    assert outcome.telegram_id is not None
    return outcome.telegram_id


def unread(world: World) -> int:
    """How much of the chat with the second user the first one has not read, says the server."""
    (chat,) = (each for each in world.sandbox.chats(world.id(0)) if each.peer == world.id(1))
    return chat.unread


async def test_an_edit_changes_text_and_formatting_on_both_sides_and_may_be_repeated(world: World) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        telegram_id = await sent(line, peer)
        text = FormattedText("hello again", (Entity(EntityKind.BOLD, 0, 5),))
        for _ in range(2):
            assert await line.edit(peer, telegram_id, text) == Done()
        assert world.texts(0, 1) == world.texts(1, 0) == ["hello again"]
        assert await line.edit(peer, 2**31 - 1, text) == Refused(
            f"MESSAGE_ID_INVALID: {REMEDIES['MESSAGE_ID_INVALID']}"
        )
        world.sandbox.send_text(world.id(1), world.id(0), "theirs")
        (_, other) = world.sandbox.chat(world.id(0), world.id(1))
        assert await line.edit(peer, other.id, text) == Refused(
            f"MESSAGE_AUTHOR_REQUIRED: {REMEDIES['MESSAGE_AUTHOR_REQUIRED']}"
        )


@pytest.mark.parametrize("for_both", [True, False])
async def test_a_delete_is_for_both_or_for_me_and_may_be_repeated(world: World, for_both: bool) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        ids = [await sent(line, peer, f"m {number}", number + 1) for number in range(3)]
        for _ in range(2):
            assert await line.delete(peer, ids[:2], for_both=for_both) == Done()
        assert world.texts(0, 1) == ["m 2"]
        assert world.texts(1, 0) == (["m 2"] if for_both else ["m 0", "m 1", "m 2"])


async def test_typing_is_seen_and_reading_too(world: World) -> None:
    for number in range(3):
        world.sandbox.send_text(world.id(1), world.id(0), f"m {number}")
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        assert await line.set_typing(peer) == Done()
        first = world.sandbox.chat(world.id(0), world.id(1))[0].id
        assert await line.mark_read(peer, up_to=first) == Done()
        assert unread(world) == 2
        for _ in range(2):
            assert await line.mark_read(peer, up_to=0) == Done()
            assert unread(world) == 0


async def test_a_reaction_a_pin_and_a_forward_arrive_and_may_be_repeated(world: World) -> None:
    async with world.online(0) as line:
        peer, third = await world.peer(line, 1), await world.peer(line, 2)
        ids = [await sent(line, peer, f"m {number}", number + 1) for number in range(2)]
        for _ in range(2):
            assert await line.react(peer, ids[0], "👍") == Done()
            assert await line.pin(peer, ids[0], pinned=True, notify=False, for_both=True) == Done()
            assert await line.forward(peer, ids, third, [11, 12]) == Done()
        assert world.texts(2, 0) == ["m 0", "m 1"]
        world.sandbox.behave(repeats="error")
        assert await line.forward(peer, ids, third, [11, 12]) == Done()
        assert world.texts(2, 0) == ["m 0", "m 1"]
        for _ in range(2):
            assert await line.react(peer, ids[0], None) == Done()
            assert await line.pin(peer, ids[0], pinned=False, notify=False, for_both=True) == Done()


async def test_in_a_channel_messages_are_deleted_for_all_or_not_at_all(world: World) -> None:
    group = world.sandbox.rooms.create_group(world.id(1), [world.id(0), world.id(2)], "Group").peer
    supergroup = world.sandbox.rooms.migrate(group).peer
    async with world.online(0) as line:
        found = await line.resolve(str(supergroup))
        assert isinstance(found, Peer)
        assert found.kind is PeerKind.CHANNEL
        telegram_id = await sent(line, found)
        assert await line.mark_read(found, up_to=telegram_id) == Done()
        assert await line.set_typing(found) == Done()
        assert await line.delete(found, [telegram_id], for_both=False) == ONLY_FOR_ALL
        for _ in range(2):
            assert await line.delete(found, [telegram_id], for_both=True) == Done()


async def test_what_telegram_says_instead_is_a_value(world: World) -> None:
    faults = world.sandbox.faults
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        telegram_id = await sent(line, peer)
        faults.set(Fault("flood_wait", method="messages.editMessage", seconds=9, count=1))
        text = FormattedText("new")
        assert await line.edit(peer, telegram_id, text) == Deferred(9, "FLOOD_WAIT_9", HoldsUp.METHOD)
        faults.set(
            Fault("rpc_error", method="messages.editMessage", code=500, message="RPC_CALL_FAIL", count=1)
        )
        assert await line.edit(peer, telegram_id, text) == Unknown("RPC_CALL_FAIL")
        assert await line.edit(peer, telegram_id, text) == Done()


async def test_a_line_that_breaks_under_it_says_so(world: World) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        telegram_id = await sent(line, peer)
        world.sandbox.faults.set(Fault("accept_drop", method="messages.editMessage", count=1))
        with pytest.raises(TelegramAway):
            await line.edit(peer, telegram_id, FormattedText("new"))
        assert world.texts(1, 0) == ["new"]  # it was done, and nobody knows: so it is repeated
    async with world.online(0) as line:
        assert await line.edit(await world.peer(line, 1), telegram_id, FormattedText("new")) == Done()


async def test_before_a_line_there_is_nobody_to_ask(world: World) -> None:
    async with world.open(0) as line:
        with pytest.raises(TelegramAway, match="not connected"):
            await line.set_typing(Peer(7, PeerKind.USER, access_hash=1))


REQUEST = functions.messages.EditMessageRequest(types.InputPeerSelf(), 1)


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (rpcerrorlist.MessageNotModifiedError(REQUEST), Done()),
        (rpcerrorlist.ChatNotModifiedError(REQUEST), Done()),
        (rpcerrorlist.RandomIdDuplicateError(REQUEST), Done()),
        (rpcerrorlist.FloodWaitError(REQUEST, 7), Deferred(7, "FLOOD_WAIT_7", HoldsUp.METHOD)),
        (rpcerrorlist.SlowModeWaitError(REQUEST, 7), Deferred(7, "SLOWMODE_WAIT_7", HoldsUp.CHAT)),
        (rpcerrorlist.PeerFloodError(REQUEST), Deferred(86400, "PEER_FLOOD", HoldsUp.STRANGERS)),
        (ServerError(REQUEST, "WORKER_BUSY"), Unknown("WORKER_BUSY")),
        (rpcerrorlist.EntityBoundsInvalidError(REQUEST), Refused("ENTITY_BOUNDS_INVALID")),
        (
            rpcerrorlist.MessageEditTimeExpiredError(REQUEST),
            Refused(f"MESSAGE_EDIT_TIME_EXPIRED: {REMEDIES['MESSAGE_EDIT_TIME_EXPIRED']}"),
        ),
    ],
)
def test_each_error_has_its_outcome(error: rpcerrorlist.RPCError, answer: JobAnswer) -> None:
    assert job_outcome(error) == answer


def test_a_final_no_to_the_account_is_no_matter_of_the_job() -> None:
    error = rpcerrorlist.SessionRevokedError(REQUEST)
    with pytest.raises(rpcerrorlist.SessionRevokedError):
        job_outcome(error)


def test_no_error_is_both_success_and_failure() -> None:
    assert not ALREADY & set(REMEDIES)
