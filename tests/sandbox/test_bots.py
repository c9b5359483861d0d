"""Bots: what they hear, whom they may write to, and what their tokens are worth."""

from typing import Any

import pytest
from telethon.tl import functions, types

from sandbox.mini_client import RpcFailure, open_mini, peer, send
from tgworker.sandbox import (
    ControlRefused,
    Sandbox,
    SandboxError,
    ServerKey,
    open_control,
    open_sandbox,
)
from tgworker.sandbox.bots import id_in
from tgworker.sandbox.clerk import Asked, Clerk
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.methods import method_name
from tgworker.sandbox.requests.bots import ONLY_USERS
from tgworker.sandbox.requests.table import request_table

KINDS: list[Any] = [*ONLY_USERS]
KINDS.sort(key=method_name)


@pytest.mark.parametrize(
    ("token", "bot_id"),
    [("7:secret", 7), ("7:", None), ("7", None), ("", None), ("x:secret", None), ("٧:secret", None)],
)
def test_a_token_names_its_bot(token: str, bot_id: int | None) -> None:
    assert id_in(token) == bot_id


def test_only_what_the_sandbox_answers_is_kept_from_bots() -> None:
    table = request_table()
    assert {*table.public, *table.members} >= ONLY_USERS


async def test_a_bot_is_no_person(sandbox: Sandbox) -> None:
    bot = sandbox.add_bot()
    assert (sandbox.bots, bot.id in {each.id for each in sandbox.users}) == ((bot,), False)
    assert bot.token not in repr(bot)
    assert bot.session not in repr(bot)
    assert bot.token not in repr(sandbox._cloud.directory.get(bot.id))
    with pytest.raises(SandboxError, match="it has a token"):
        sandbox.set_password(bot.id, "words")
    with pytest.raises(SandboxError, match="is no bot"):
        sandbox.renew_token(sandbox.users[0].id)


async def test_a_bot_answers_who_wrote_to_it_and_nobody_else(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    bot = sandbox.add_bot()
    sandbox.send_text(alice.id, bot.id, "/start")
    async with open_mini(sandbox, bot.session) as client:
        to_alice, to_bob = await peer(client, alice), await peer(client, bob)
        await client.ask(send(to_alice, "hello", 1))
        with pytest.raises(RpcFailure, match="PEER_ID_INVALID"):
            await client.ask(send(to_bob, "hello", 2))
        sandbox.block(alice.id, bot.id)
        with pytest.raises(RpcFailure, match="USER_IS_BLOCKED"):
            await client.ask(send(to_alice, "still there?", 3))
    assert [line.text for line in sandbox.chat(alice.id, bot.id)] == ["/start", "hello"]


async def test_a_bot_hears_what_is_written_and_not_who_is_there_types_or_reads(sandbox: Sandbox) -> None:
    alice = sandbox.users[0]
    bot = sandbox.add_bot()
    sandbox.send_text(alice.id, bot.id, "/start")
    async with open_mini(sandbox, bot.session) as client:
        await client.ask(functions.updates.GetStateRequest())
        await client.ask(send(await peer(client, alice), "hello", 1))
        assert sandbox.read_chat(alice.id, bot.id)
        sandbox.phone.update_status(alice.id)
        sandbox.phone.set_typing(alice.id, bot.id)
        sandbox.send_text(alice.id, bot.id, "are you there?")
        await client.hear(types.UpdateNewMessage)
        told = [each for each in client.received if isinstance(each, types.Updates | types.UpdateShort)]
        assert len(told) == 1
        found: Any = await client.ask(functions.updates.GetDifferenceRequest(1, None, 0))
        assert [each.message for each in found.new_messages] == ["/start", "hello", "are you there?"]
        assert {type(each) for each in found.other_updates} <= {types.UpdateMessageID}


async def test_bots_over_the_control_connection(server_key: ServerKey) -> None:
    async with open_sandbox(users=1, control_port=0, key=server_key) as sandbox:
        assert sandbox.control is not None
        async with open_control(sandbox.control) as control:
            bot = await control.add_bot()
            assert (bot,) == sandbox.bots
            await control.block(sandbox.users[0].id, bot.id)
            with pytest.raises(ControlRefused, match="YOU_BLOCKED_USER"):
                await control.send_text(sandbox.users[0].id, bot.id, "hello")
            await control.block(sandbox.users[0].id, bot.id, blocked=False)
            await control.send_text(sandbox.users[0].id, bot.id, "hello")
            token = await control.renew_token(bot.id)
            assert token not in {bot.token, ""}
            with pytest.raises(ControlRefused, match="is no bot"):
                await control.renew_token(sandbox.users[0].id)
            with pytest.raises(ControlRefused, match="it has a token"):
                await control.set_password(bot.id, "words")


async def test_a_bot_is_told_who_stops_it_in_a_log_of_its_own(sandbox: Sandbox) -> None:
    alice = sandbox.users[0]
    bot = sandbox.add_bot()
    sandbox.send_text(alice.id, bot.id, "/start")
    async with open_mini(sandbox, bot.session) as client:
        begins: Any = await client.ask(functions.updates.GetStateRequest())
        sandbox.block(alice.id, bot.id)
        sandbox.block(alice.id, bot.id)  # nothing new
        told = await client.hear(types.UpdateBotStopped)
        assert (told.user_id, told.stopped, told.qts) == (alice.id, True, begins.qts + 1)
        sandbox.block(alice.id, bot.id, blocked=False)
        sandbox.send_text(alice.id, bot.id, "again")
        sandbox.behave(difference_limit=1)
        ask = functions.updates.GetDifferenceRequest
        part: Any = await client.ask(ask(begins.pts - 1, begins.date, begins.qts))
        assert isinstance(part, types.updates.DifferenceSlice)
        between: Any = part.intermediate_state
        assert (part.other_updates, between.qts) == ([], begins.qts)
        rest: Any = await client.ask(ask(between.pts, begins.date, begins.qts))
        assert [each.stopped for each in rest.other_updates] == [True, False]
        assert rest.state.qts == begins.qts + 2
        last: Any = await client.ask(ask(rest.state.pts, begins.date, begins.qts + 1))
        assert [each.stopped for each in last.other_updates] == [False]
        done: Any = await client.ask(ask(rest.state.pts, begins.date, rest.state.qts))
        assert isinstance(done, types.updates.DifferenceEmpty)
    async with open_mini(sandbox, alice.session) as client:
        assert (await client.ask(functions.updates.GetStateRequest())).qts == 0


@pytest.mark.parametrize("kind", KINDS, ids=method_name)
async def test_a_bot_is_refused_what_is_for_users(sandbox: Sandbox, kind: Any) -> None:
    (record,) = sandbox._cloud.keys.of_user(sandbox.add_bot().id)
    line: Any = None
    clerk = Clerk(sandbox._cloud, request_table(), line)
    with pytest.raises(RequestRefused, match="BOT_METHOD_INVALID"):
        clerk._answer(record, Asked(kind.__new__(kind)))
