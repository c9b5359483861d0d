"""A bot's line: what it does as any other, what it does not even ask for, and how it ends."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio
from telethon.tl import functions, types
from trio.testing import MockClock

from telegram.telegram_world import World, open_world, receive_texts
from tgworker.messaging.account_kinds import LACKS, Ability, AccountKind, kind_of, mismatch
from tgworker.messaging.errors import AccountRefused, TelegramAway
from tgworker.messaging.formatted import FormattedText
from tgworker.messaging.job_outcomes import Done
from tgworker.messaging.logging_in import NOT_OF_A_BOT, LoggedIn, LoginRefused, is_token, log_in_bot
from tgworker.messaging.models import AccountState, Met, Peer, Position, Secret
from tgworker.messaging.outcomes import Refused, Sent
from tgworker.sandbox import Fault, SandboxBot
from tgworker.telegram import TelethonConnection

BOTS = LACKS[AccountKind.BOT]


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world(users=3) as world:
        yield world


def open_line(
    world: World, bot: SandboxBot, kind: AccountKind = AccountKind.BOT
) -> AbstractAsyncContextManager[TelethonConnection]:
    return world.telegram.open(replace(world.account(0), kind=kind), Secret(bot.session))


@asynccontextmanager
async def started(world: World, bot: SandboxBot) -> AsyncGenerator[tuple[TelethonConnection, Peer]]:
    """A bot's line, and the user who has begun to write to it."""
    async with open_line(world, bot) as line:
        await line.connect(None, [])
        await line.updates.receive()
        world.sandbox.send_text(world.id(0), bot.id, "/start")
        assert await receive_texts(line, 1) == ["/start"]
        peer = await line.resolve(str(world.id(0)))
        assert isinstance(peer, Peer)
        yield line, peer


def asked(world: World) -> set[str]:
    return set(world.sandbox.statistics().requests)


def test_every_lack_says_why_and_what_a_person_can_do_is_everything() -> None:
    assert set(BOTS) == set(Ability)
    assert LACKS[AccountKind.USER] == {}
    assert all("bot" in reason for reason in BOTS.values())


def test_a_type_that_is_none_of_ours_is_no_kind() -> None:
    assert kind_of("telegram_bot") is AccountKind.BOT
    with pytest.raises(ValueError, match="whatsapp"):
        kind_of("whatsapp")


@pytest.mark.parametrize("repeats", ["original", "error"])
async def test_a_bot_hears_and_answers_whom_it_knows_from_updates(world: World, repeats: str) -> None:
    world.sandbox.behave(repeats=repeats)
    bot = world.sandbox.add_bot()
    async with started(world, bot) as (line, peer):
        assert line.kind is AccountKind.BOT
        sent = await line.send_text(peer, "hello", random_id=1)
        assert isinstance(sent, Sent)
        assert sent.telegram_id is not None
        again = await line.send_text(peer, "hello", random_id=1)
        assert isinstance(again, Sent)
        assert again.telegram_id == sent.telegram_id
        assert await line.edit(peer, sent.telegram_id, FormattedText("hello!", ())) == Done()
        first = world.sandbox.chat(bot.id, world.id(0))[0].id
        assert await line.react(peer, first, "👍") == Done()
        assert await line.pin(peer, first, pinned=True, notify=False, for_both=True) == Done()
        assert await line.set_typing(peer) == Done()
        assert await line.forward(peer, [first], peer, [2]) == Done()
        second = await line.send_text(peer, "never mind", random_id=3)
        assert isinstance(second, Sent)
        assert second.telegram_id is not None
        assert await line.delete(peer, [second.telegram_id], for_both=True) == Done()
    texts = [each.text for each in world.sandbox.chat(world.id(0), bot.id)]
    assert texts == ["/start", "hello!", "/start"]


async def test_what_bots_cannot_do_is_answered_without_asking_telegram(
    autojump_clock: MockClock, world: World
) -> None:
    bot = world.sandbox.add_bot()
    async with started(world, bot) as (line, peer):
        line.hear_presence(lambda _presence: None)
        before = asked(world)
        phone = f"+{world.sandbox.users[1].phone}"
        answers = {
            Ability.READ_HISTORY: await line.history(peer, below=0, limit=10),
            Ability.MARK_READ: await line.mark_read(peer, up_to=0),
            Ability.FIND_BY_PHONE: await line.resolve(phone),
            Ability.PIN_FOR_ITSELF: await line.pin(peer, 1, pinned=True, notify=False, for_both=False),
        }
        assert await line.open_takeout() == Refused(BOTS[Ability.READ_HISTORY])
        assert await line.chats(None) == Refused(BOTS[Ability.READ_HISTORY])
        assert answers == {ability: Refused(BOTS[ability]) for ability in answers}
        assert await line.look_for(peer, "x", above=0) == Refused(BOTS[Ability.READ_HISTORY])
        assert await line.look_for_media(peer, (), above=0) == Refused(BOTS[Ability.READ_HISTORY])
        unmet = Refused(f"PEER_NOT_FOUND: {BOTS[Ability.LIST_CHATS]}")
        assert await line.resolve(str(world.id(2))) == unmet
        assert await line.meet(0) == Met((), is_all=True)
        assert asked(world) == before
        await trio.sleep(300)  # so does whatever a line asks of its own accord
        told = await line.compare()
        assert (set(told.logs), told.more) == ({0}, False)
    assert not {name for name in asked(world) if name.startswith(("contacts.", "messages.getDialogs"))}
    assert "help.getAppConfig" not in asked(world)


async def test_a_bot_finds_people_by_name_and_telegram_says_whom_it_may_write_to(world: World) -> None:
    bot = world.sandbox.add_bot()
    async with started(world, bot) as (line, peer):
        stranger = await world.peer(line, 1)
        assert stranger.access_hash is not None
        assert await line.send_text(stranger, "buy!", random_id=1) == Refused("PEER_ID_INVALID")
        world.sandbox.block(world.id(0), bot.id)
        assert await line.send_text(peer, "why?", random_id=2) == Refused("USER_IS_BLOCKED")


async def test_a_bot_in_a_group_and_in_a_supergroup(world: World) -> None:
    bot = world.sandbox.add_bot()
    async with open_line(world, bot) as line:
        await line.connect(None, [])
        await line.updates.receive()
        for create in (world.sandbox.rooms.create_group, world.sandbox.rooms.create_channel):
            room = create(world.id(0), [bot.id], "Desk")
            world.sandbox.send_text(world.id(0), room.peer, "all of you")
            while "all of you" not in await receive_texts(line, 1):
                pass
            peer = await line.resolve(str(room.peer))
            assert isinstance(peer, Peer)
            assert isinstance(await line.send_text(peer, "even me?", random_id=room.peer), Sent)
            assert [each.text for each in world.sandbox.chat(world.id(0), room.peer)] == [
                "all of you",
                "even me?",
            ]


async def test_a_bot_catches_up_from_its_position_in_private_and_in_a_supergroup(world: World) -> None:
    bot = world.sandbox.add_bot()
    room = world.sandbox.rooms.create_channel(world.id(0), [bot.id], "Desk")
    position: Position | None = None
    peers: list[Peer] = []
    async with open_line(world, bot) as line:
        await line.connect(None, [])
        world.sandbox.send_text(world.id(0), bot.id, "/start")
        world.sandbox.send_text(world.id(0), room.peer, "before")
        seen: list[str] = []
        while len(seen) < 2:
            batch = await line.updates.receive()
            seen += [each.text for each in batch.messages]
            peers += batch.peers
            position = batch.position or position
    assert position is not None
    world.sandbox.send_text(world.id(0), bot.id, "while you were away")
    world.sandbox.send_text(world.id(0), room.peer, "and here")
    async with open_line(world, bot) as line:
        await line.connect(position, peers)
        assert sorted(await receive_texts(line, 2)) == ["and here", "while you were away"]


async def test_what_only_bots_are_told_moves_the_position_and_is_told_once(world: World) -> None:
    bot = world.sandbox.add_bot()
    position: Position | None = None
    async with open_line(world, bot) as line:
        await line.connect(None, [])
        begins = (await line.updates.receive()).position
        assert begins is not None
        world.sandbox.send_text(world.id(0), bot.id, "/start")
        assert await receive_texts(line, 1) == ["/start"]
        world.sandbox.block(world.id(0), bot.id)
        while position is None or position.qts == begins.qts:
            position = (await line.updates.receive()).position or position
        assert position.qts == begins.qts + 1
    for blocked in (False, True):
        world.sandbox.block(world.id(0), bot.id, blocked=blocked)
    world.sandbox.block(world.id(0), bot.id, blocked=False)
    world.sandbox.send_text(world.id(0), bot.id, "I am back")
    async with open_line(world, bot) as line:
        await line.connect(position, [])
        batch = await line.updates.receive()
        assert [each.text for each in batch.messages] == ["I am back"]
        assert batch.position is not None
        assert batch.position.qts == begins.qts + 4


async def test_a_supergroup_s_difference_that_cannot_be_read_is_passed_over(world: World) -> None:
    bot = world.sandbox.add_bot()
    room = world.sandbox.rooms.create_channel(world.id(0), [bot.id], "Desk")
    async with open_line(world, bot) as line:
        await line.connect(None, [])
        world.sandbox.send_text(world.id(0), room.peer, "met")
        while "met" not in await receive_texts(line, 1):
            pass
        client: Any = line._client
        bare = -1_000_000_000_000 - room.peer
        channel = types.InputChannel(bare, client._mb_entity_cache.get(bare).hash)
        everything = types.ChannelMessagesFilterEmpty()
        request = functions.updates.GetChannelDifferenceRequest(channel, everything, 1, 9)
        passed: Any = await line._cross(client._unreadable_aio, request)
        assert isinstance(passed, types.updates.ChannelDifferenceTooLong)
        assert isinstance(passed.dialog, types.Dialog)
        assert (passed.dialog.pts, passed.final) == (world.sandbox.rooms.get(room.peer).pts, True)


@pytest.mark.parametrize("row", AccountKind)
async def test_a_row_and_a_session_of_two_kinds_end_with_one_reason(world: World, row: AccountKind) -> None:
    bot = world.sandbox.add_bot()
    session = world.sandbox.users[0].session if row is AccountKind.BOT else bot.session
    found = AccountKind.USER if row is AccountKind.BOT else AccountKind.BOT
    account = replace(world.account(0), kind=row)
    async with world.telegram.open(account, Secret(session)) as line:
        with pytest.raises(AccountRefused) as refused:
            await line.connect(None, [])
        assert refused.value.state is AccountState.NEEDS_LOGIN
        assert refused.value.reason == mismatch(row, found)
        assert f"type is {row.value}" in refused.value.reason
        with pytest.raises(AccountRefused):
            await line.wait_lost()


async def test_a_revoked_token_ends_the_line_and_sends_to_botfather(world: World) -> None:
    bot = world.sandbox.add_bot()
    async with started(world, bot) as (line, peer):
        world.sandbox.renew_token(bot.id)
        await line.send_text(peer, "hello?", random_id=1)
        with pytest.raises(AccountRefused) as refused:
            await line.wait_lost()
    assert refused.value.state is AccountState.NEEDS_LOGIN
    assert "SESSION_REVOKED" in refused.value.reason
    assert "@BotFather" in refused.value.reason
    assert "tgworker login --bot" in refused.value.reason


# ------------------------------------------------ logging in


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", True),
        ("1:short", False),
        ("110201543", False),
        ("110201543:AAHdqTcvCH1vGWJxf SeofSAs0K5PALDsaw", False),
        ("bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", False),
        ("", False),
    ],
)
def test_what_looks_like_a_token(text: str, looks: bool) -> None:
    assert is_token(text) is looks


async def test_a_token_logs_a_bot_in_and_the_session_says_what_it_is(world: World) -> None:
    bot = world.sandbox.add_bot()
    async with world.telegram.open_login({}) as login:
        done = await log_in_bot(login, Secret(bot.token))
        assert isinstance(done, LoggedIn)
        assert (done.me.chat_id, done.me.phone, done.kind) == (bot.id, None, AccountKind.BOT)
        login.keep()
    described = await world.telegram.describe_session(done.session)
    assert (described.me.chat_id, described.kind) == (bot.id, AccountKind.BOT)
    await world.telegram.log_out(world.account(0), done.session)
    with pytest.raises(AccountRefused):
        await world.telegram.describe_session(done.session)


async def test_a_login_that_nobody_keeps_is_undone(world: World) -> None:
    bot = world.sandbox.add_bot()
    async with world.telegram.open_login({}) as login:
        assert isinstance(await log_in_bot(login, Secret(bot.token)), LoggedIn)
        assert world.sandbox.logins(bot.id) == 2
    assert world.sandbox.logins(bot.id) == 1


async def test_tokens_that_are_worth_nothing(world: World) -> None:
    bot = world.sandbox.add_bot()
    world.sandbox.renew_token(bot.id)
    said: list[str] = []
    async with world.telegram.open_login({}) as login:
        for token in ("no token", f"{bot.id}:{'x' * 35}", bot.token):
            outcome = await log_in_bot(login, Secret(token))
            assert isinstance(outcome, LoginRefused)
            said.append(outcome.reason)
            assert token not in outcome.reason or token == "no token"
        world.sandbox.faults.set(Fault("flood_wait", "auth.importBotAuthorization", seconds=600, count=1))
        flooded = await log_in_bot(login, Secret(world.sandbox.bots[0].token))
        assert isinstance(flooded, LoginRefused)
        assert "10 min" in flooded.reason
    assert said[0] == NOT_OF_A_BOT
    assert "ACCESS_TOKEN_INVALID" in said[1]
    assert "ACCESS_TOKEN_EXPIRED" in said[2]
    assert "@BotFather" in said[2]


async def test_a_bot_that_lives_elsewhere_is_followed(autojump_clock: MockClock) -> None:
    async with open_world(more_dcs=[4]) as world:
        bot = world.sandbox.add_bot()
        world.sandbox.move_user(bot.id, 4)
        async with world.telegram.open_login({}) as login:
            done = await log_in_bot(login, Secret(bot.token))
            assert isinstance(done, LoggedIn)
            login.keep()
        assert (await world.telegram.describe_session(done.session)).me.chat_id == bot.id


async def test_a_login_over_a_line_that_breaks_says_so(world: World) -> None:
    bot = world.sandbox.add_bot()
    world.sandbox.faults.set(Fault("drop", "auth.importBotAuthorization"))
    async with world.telegram.open_login({}) as login:
        with pytest.raises(TelegramAway), trio.fail_after(600):
            await log_in_bot(login, Secret(bot.token))
