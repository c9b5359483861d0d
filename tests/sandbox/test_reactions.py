"""Reactions: who hears of them, what they show to whom, and which are refused."""

from datetime import UTC, datetime
from typing import Any

import pytest
from telethon.tl import functions, types

from sandbox.mini_client import MiniClient, RpcFailure, open_mini, peer
from tgworker.sandbox import Sandbox, SandboxError
from tgworker.sandbox.reactions import Choice, Reactions

THUMB = types.ReactionEmoji("👍")
FIRE = types.ReactionEmoji("🔥")


def react(to: Any, message: int, *reactions: Any) -> Any:
    return functions.messages.SendReactionRequest(to, message, reaction=list(reactions))


def counted(reactions: Any) -> list[tuple[Any, int, int | None]]:
    return [(each.reaction.emoticon, each.count, each.chosen_order) for each in reactions.results]


async def refused(client: MiniClient, request: Any) -> tuple[int, str]:
    with pytest.raises(RpcFailure) as failure:
        await client.ask(request)
    return failure.value.code, failure.value.message


async def test_a_reaction_in_a_private_chat_is_told_to_both_and_moves_no_pts(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    sandbox.send_text(bob.id, bob.id, "numbers differ")
    sent = sandbox.send_text(alice.id, bob.id, "hello")
    device = sandbox.new_session(bob.id)
    async with (
        open_mini(sandbox, alice.session) as author,
        open_mini(sandbox, bob.session) as client,
        open_mini(sandbox, device) as other,
    ):
        before = await author.ask(functions.updates.GetStateRequest())
        to = await peer(client, alice)
        answer = await client.ask(react(to, sent.recipient_message_id, THUMB))
        (mine,) = answer.updates
        assert (mine.msg_id, counted(mine.reactions)) == (2, [("👍", 1, 0)])
        theirs = await author.hear(types.UpdateMessageReactions)
        assert (theirs.peer, theirs.msg_id) == (types.PeerUser(bob.id), 1)
        assert counted(theirs.reactions) == [("👍", 1, None)]
        (named,) = theirs.reactions.recent_reactions
        assert (named.peer_id, named.my, named.reaction) == (types.PeerUser(bob.id), False, THUMB)
        assert (await other.hear(types.UpdateMessageReactions)).reactions.recent_reactions[0].my
        assert client.heard(types.UpdateMessageReactions) == []  # it was answered
        assert (await author.ask(functions.updates.GetStateRequest())).pts == before.pts
        await client.ask(react(to, 2, FIRE))
        (kept,) = (
            await author.ask(functions.messages.GetMessagesRequest([types.InputMessageID(1)]))
        ).messages
        assert (counted(kept.reactions), kept.edit_date) == ([("🔥", 1, None)], None)
        await client.ask(react(to, 2))
        assert (await author.hear(types.UpdateMessageReactions, 3)).reactions.results == []
        (none,) = (
            await client.ask(functions.messages.GetMessagesRequest([types.InputMessageID(2)]))
        ).messages
        assert none.reactions is None


async def test_members_hear_of_reactions_in_groups_and_supergroups(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    for room in (
        sandbox.rooms.create_group(alice.id, [bob.id, carol.id], "Choir"),
        sandbox.rooms.create_channel(alice.id, [bob.id, carol.id], "Crew"),
    ):
        sandbox.send_text(alice.id, room.peer, "hello")
        ids = {each.id: sandbox.chat(each.id, room.peer)[-1].id for each in sandbox.users}
        async with open_mini(sandbox, carol.session) as client:
            sandbox.phone.send_reaction(alice.id, room.peer, ids[alice.id], "🔥", big=True)
            sandbox.phone.send_reaction(bob.id, room.peer, ids[bob.id], "👍")
            sandbox.phone.send_reaction(carol.id, room.peer, ids[carol.id], "👍")
            heard = await client.hear(types.UpdateMessageReactions, 3)
            assert heard.msg_id == ids[carol.id]
            assert counted(heard.reactions) == [("👍", 2, 0), ("🔥", 1, None)]
            recent = [(each.peer_id.user_id, each.my, each.big) for each in heard.reactions.recent_reactions]
            assert recent == [(carol.id, True, False), (bob.id, False, False), (alice.id, False, True)]
        line = sandbox.chat(bob.id, room.peer)[-1]
        assert line.reactions == ((alice.id, "🔥"), (bob.id, "👍"), (carol.id, "👍"))


async def test_a_channel_shows_how_many_and_not_whose(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    room = sandbox.rooms.create_channel(alice.id, [bob.id, carol.id], "News", broadcast=True, username="news")
    post = sandbox.send_text(alice.id, room.peer, "extra").sender_message_id
    async with open_mini(sandbox, bob.session) as reader, open_mini(sandbox, alice.session) as writer:
        sandbox.phone.send_reaction(carol.id, room.peer, post, "👍")
        heard = await writer.hear(types.UpdateMessageReactions)
        assert (counted(heard.reactions), heard.reactions.recent_reactions) == ([("👍", 1, None)], None)
        found = (await reader.ask(functions.contacts.ResolveUsernameRequest("news"))).chats[0]
        channel = types.InputPeerChannel(found.id, found.access_hash)
        asked = await reader.ask(functions.messages.GetMessagesReactionsRequest(channel, [post, 99]))
        (update,) = asked.updates
        assert (update.msg_id, counted(update.reactions)) == (post, [("👍", 1, None)])
        assert reader.heard(types.UpdateMessageReactions) == []  # subscribers have to ask
        assert not update.reactions.can_see_list


async def test_what_is_no_reaction_is_refused(sandbox: Sandbox) -> None:
    alice, bob, carol = sandbox.users
    payer = sandbox.add_user(premium=True)
    sandbox.send_text(bob.id, alice.id, "hello")
    sandbox.send_text(bob.id, payer.id, "hello")
    room = sandbox.rooms.create_channel(bob.id, [carol.id], "Open", username="open_to_all")
    sandbox.send_text(bob.id, room.peer, "hello")
    async with open_mini(sandbox, alice.session) as client:
        to = await peer(client, bob)
        assert await refused(client, react(to, 1)) == (400, "MESSAGE_NOT_MODIFIED")
        assert await refused(client, react(to, 1, types.ReactionEmoji("no"))) == (400, "REACTION_INVALID")
        assert await refused(client, react(to, 1, types.ReactionPaid())) == (400, "REACTION_INVALID")
        assert await refused(client, react(to, 1, THUMB, FIRE)) == (400, "REACTIONS_TOO_MANY")
        assert await refused(client, react(to, 7, THUMB)) == (400, "MESSAGE_ID_INVALID")
        custom = react(to, 1, types.ReactionCustomEmoji(5))
        assert await refused(client, custom) == (403, "PREMIUM_ACCOUNT_REQUIRED")
        await client.ask(react(to, 1, THUMB))
        assert await refused(client, react(to, 1, THUMB)) == (400, "MESSAGE_NOT_MODIFIED")
        found = (await client.ask(functions.contacts.ResolveUsernameRequest("open_to_all"))).chats[0]
        outside = react(types.InputPeerChannel(found.id, found.access_hash), 1, THUMB)
        assert await refused(client, outside) == (400, "MESSAGE_ID_INVALID")  # the service message
        outside.msg_id = 3
        assert await refused(client, outside) == (403, "CHAT_WRITE_FORBIDDEN")
    sandbox.phone.send_reaction(payer.id, bob.id, 1, 5, "👍", "🔥")
    assert sandbox.chat(payer.id, bob.id)[0].reactions == ((payer.id, 5), (payer.id, "👍"), (payer.id, "🔥"))
    with pytest.raises(SandboxError, match="REACTION_INVALID"):
        sandbox.phone.send_reaction(alice.id, bob.id, 1, "nope")


async def test_a_reaction_may_come_as_an_edit_that_is_none(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    sandbox.behave(reactions="edit")
    sent = sandbox.send_text(alice.id, bob.id, "hello")
    crew = sandbox.rooms.create_channel(alice.id, [bob.id], "Crew")
    post = sandbox.send_text(alice.id, crew.peer, "hello").sender_message_id
    async with open_mini(sandbox, alice.session) as client:
        state = await client.ask(functions.updates.GetStateRequest())
        sandbox.phone.send_reaction(bob.id, alice.id, sent.recipient_message_id, "👍")
        edit = await client.hear(types.UpdateEditMessage)
        assert (edit.message.edit_hide, edit.message.message, edit.pts) == (True, "hello", state.pts + 1)
        assert counted(edit.message.reactions) == [("👍", 1, None)]
        assert edit.message.edit_date is not None
        sandbox.phone.send_reaction(bob.id, crew.peer, post, "👍")
        assert (await client.hear(types.UpdateEditChannelMessage)).message.edit_hide
        answer = await client.ask(react(await peer(client, bob), 1, FIRE))
        assert [type(each) for each in answer.updates] == [types.UpdateEditMessage]
        sandbox.edit_text(alice.id, bob.id, sent.sender_message_id, "an edit that is one")
        assert not (await client.hear(types.UpdateEditMessage, 2)).message.edit_hide


def test_three_of_each_are_named_and_a_message_bears_eleven_kinds() -> None:
    ledger, date = Reactions(), datetime(2026, 1, 1, tzinfo=UTC)
    for user in range(5):
        assert ledger.choose(user, Choice(("👍",), date))
    assert not ledger.choose(4, Choice(("👍",), date))
    assert [user for user, _, _ in ledger.recent()] == [4, 3, 2]
    assert ledger.choose(4, Choice((), date))
    assert [user for user, _, _ in ledger.recent()] == [3, 2, 1]


async def test_a_twelfth_kind_is_too_many(sandbox: Sandbox) -> None:
    alice = sandbox.users[0]
    users = [alice, *(sandbox.add_user(premium=True) for _ in range(4))]
    room = sandbox.rooms.create_channel(alice.id, [each.id for each in users[1:]], "Crew")
    post = sandbox.send_text(alice.id, room.peer, "hello").sender_message_id
    kinds = iter("👍🔥👏😁🤔🤯😱🤬😢🎉🤩🤮")
    for user in users[1:4]:
        sandbox.phone.send_reaction(user.id, room.peer, post, next(kinds), next(kinds), next(kinds))
    sandbox.phone.send_reaction(users[4].id, room.peer, post, next(kinds), next(kinds))
    with pytest.raises(SandboxError, match="REACTIONS_TOO_MANY"):
        sandbox.phone.send_reaction(alice.id, room.peer, post, next(kinds))


@pytest.mark.parametrize("kind", ["person", "group", "supergroup"])
async def test_an_author_finds_the_reactions_that_he_has_not_seen(sandbox: Sandbox, kind: str) -> None:
    alice, bob, carol = sandbox.users
    if kind == "person":
        to, back = bob.id, alice.id
    elif kind == "group":
        to = back = sandbox.rooms.create_group(alice.id, [bob.id, carol.id], "Choir").peer
    else:
        to = back = sandbox.rooms.create_channel(alice.id, [bob.id, carol.id], "Crew").peer
    for text in ("one", "two", "three"):
        sandbox.send_text(alice.id, to, text)
    sandbox.send_text(bob.id, back, "theirs")
    mine = [line.id for line in sandbox.chat(alice.id, to)]
    theirs = [line.id for line in sandbox.chat(bob.id, back)]
    for number in (0, 1, 2):
        sandbox.phone.send_reaction(bob.id, back, theirs[number], "👍")
    sandbox.phone.send_reaction(alice.id, to, mine[0], "👍")  # one's own is seen
    sandbox.phone.send_reaction(bob.id, back, theirs[2])  # and taken back
    async with open_mini(sandbox, alice.session) as client:

        async def unseen() -> tuple[int, list[int]]:
            dialogs = await client.ask(
                functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 9, 0)
            )
            (count,) = [each.unread_reactions_count for each in dialogs.dialogs if marked(each.peer) == to]
            asked = functions.messages.GetUnreadReactionsRequest(there, 0, 0, 100, 0, 0)
            return count, [each.id for each in (await client.ask(asked)).messages]

        there: Any = types.InputPeerChat(-to)
        if kind == "person":
            there = await peer(client, bob)
        elif kind == "supergroup":
            found = await client.ask(
                functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 9, 0)
            )
            (crew,) = found.chats
            there = types.InputPeerChannel(crew.id, crew.access_hash)
        assert await unseen() == (2, [mine[1], mine[0]])
        sandbox.delete_messages(alice.id, to, [mine[1]])
        assert await unseen() == (1, [mine[0]])
        await client.ask(functions.messages.ReadReactionsRequest(there))
        assert await unseen() == (0, [])


def marked(told: Any) -> int:
    match told:
        case types.PeerUser():
            return int(told.user_id)
        case types.PeerChat():
            return -int(told.chat_id)
        case _:
            return -(10**12) - int(told.channel_id)
