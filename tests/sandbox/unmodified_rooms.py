"""Scenes of `unmodified_client.py` with groups and channels."""

import asyncio
from typing import Any

from telethon import events, utils
from telethon.tl import functions, types

from sandbox.unmodified_world import World, heard, refusal


def input_channel(peer: Any) -> Any:
    return utils.get_input_channel(peer)


async def groups(world: World) -> Any:
    names = [user["username"] for user in world.users]
    async with world.of(0) as alice, world.of(1) as bob:
        of_bob: asyncio.Queue[Any] = asyncio.Queue()
        for kind in (
            events.ChatAction(),
            events.NewMessage(incoming=True),
            events.MessageEdited(),
            events.MessageDeleted(),
        ):
            bob.add_event_handler(of_bob.put, kind)
        of_alice: asyncio.Queue[Any] = asyncio.Queue()
        alice.add_event_handler(of_alice.put, events.MessageRead())
        typed: asyncio.Queue[Any] = asyncio.Queue()
        bob.add_event_handler(typed.put, events.UserUpdate())
        made = await alice(functions.messages.CreateChatRequest(names[1:3], "Choir"))
        (chat,) = made.updates.chats
        created = await heard(of_bob)
        sent = await alice.send_message(chat, "to **all**")
        at_bob = await heard(of_bob)
        found: dict[str, Any] = {
            "made": [type(u).__name__ for u in made.updates.updates],
            "created": [created.created, created.chat_id == -chat.id, created.action_message.action.title],
            "chat id": [sent.chat_id == -chat.id, at_bob.chat_id == -chat.id],
            "author": [at_bob.sender_id == world.users[0]["id"], at_bob.message.message],
            "entities": [type(e).__name__ for e in at_bob.message.entities],
        }
        await sent.edit("changed")
        found["edited"] = (await heard(of_bob)).message.message
        await bob.send_read_acknowledge(at_bob.chat_id, at_bob.message)
        read = await heard(of_alice)
        found["read"] = [read.chat_id == -chat.id, read.max_id == sent.id]
        async with alice.action(chat, "typing"):
            found["typing"] = (await heard(typed)).chat_id == -chat.id
        full = await alice(functions.messages.GetFullChatRequest(chat.id))
        found["full"] = sorted(p.user_id for p in full.full_chat.participants.participants)
        listed = await bob(functions.messages.GetChatsRequest([chat.id]))
        found["listed"] = [c.title for c in listed.chats]
        await alice(functions.messages.DeleteChatUserRequest(chat.id, names[2]))
        found["removed"] = (await heard(of_bob)).user_kicked
        await bob(functions.messages.AddChatUserRequest(chat.id, names[2], fwd_limit=0))
        found["too early"] = await refusal(
            bob(functions.messages.AddChatUserRequest(chat.id, names[2], fwd_limit=0))
        )
        found["another's"] = await refusal(bob.delete_messages(chat.id, [at_bob.message.id]))
        await alice.delete_messages(chat, [sent.id])
        deleted = await heard(of_bob)
        found["deleted"] = [deleted.chat_id, deleted.deleted_ids == [at_bob.message.id]]
        found["history"] = [type(m).__name__ async for m in bob.iter_messages(-chat.id)]
        found["dialogs"] = -chat.id in {d.id for d in await bob.get_dialogs()}
        found["no such group"] = await refusal(bob.send_message(types.InputPeerChat(1), "x"))
    async with world.of(3) as stranger:
        found["not in it"] = await refusal(stranger.send_message(types.InputPeerChat(chat.id), "x"))
    return found


async def channels(world: World) -> Any:
    names = [user["username"] for user in world.users]
    async with world.of(0) as alice, world.of(1) as bob:
        of_bob: asyncio.Queue[Any] = asyncio.Queue()
        for kind in (
            events.NewMessage(incoming=True),
            events.MessageEdited(),
            events.MessageDeleted(),
        ):
            bob.add_event_handler(of_bob.put, kind)
        of_alice: asyncio.Queue[Any] = asyncio.Queue()
        alice.add_event_handler(of_alice.put, events.MessageRead())
        made = await alice(functions.channels.CreateChannelRequest("Crew", "", megagroup=True))
        (crew,) = made.chats
        peer_id = utils.get_peer_id(crew)
        invited = await alice(functions.channels.InviteToChannelRequest(crew, names[1:3]))
        sent = await alice.send_message(crew, "to the crew")
        at_bob = await heard(of_bob)
        answer = await bob.send_message(at_bob.chat_id, "aye")
        found: dict[str, Any] = {
            "invited": [type(u).__name__ for u in invited.updates.updates],
            "chat id": at_bob.chat_id == peer_id,
            "one id for all": [sent.id, at_bob.message.id, answer.id],
            "author": at_bob.sender_id == world.users[0]["id"],
        }
        await sent.edit("to all of you")
        found["edited"] = (await heard(of_bob)).message.message
        await bob.send_read_acknowledge(at_bob.chat_id, at_bob.message)
        read = await heard(of_alice)
        found["read"] = [read.chat_id == peer_id, read.max_id == sent.id]
        one, none = await bob.get_messages(peer_id, ids=[sent.id, 999])
        found["by id"] = [one.message, none]
        found["history"] = [m.message async for m in bob.iter_messages(peer_id, limit=2)]
        found["total"] = (await bob.get_messages(peer_id, limit=0)).total
        found["search"] = [m.message async for m in bob.iter_messages(peer_id, search="AYE")]
        full = await bob(functions.channels.GetFullChannelRequest(crew.id))
        found["full"] = [full.full_chat.participants_count, full.full_chat.pts]
        found["participants"] = sorted([p.id async for p in bob.iter_participants(peer_id)])
        found["listed"] = (await bob(functions.channels.GetChannelsRequest([crew.id]))).chats[0].title
        dialogs = {d.id: d for d in await alice.get_dialogs()}
        found["dialog"] = [dialogs[peer_id].unread_count, dialogs[peer_id].dialog.pts]
        found["another's"] = await refusal(bob.delete_messages(peer_id, [sent.id]))
        await alice.delete_messages(crew, [sent.id])
        deleted = await heard(of_bob)
        found["deleted"] = [deleted.chat_id == peer_id, deleted.deleted_ids == [sent.id]]
        slow = functions.channels.ToggleSlowModeRequest
        await alice(slow(input_channel(crew), 30))
        bob.flood_sleep_threshold = 0
        await bob.send_message(peer_id, "slowly")
        found["slow"] = await refusal(bob.send_message(peer_id, "too fast"))
        found["lengths"] = await refusal(alice(slow(input_channel(crew), 31)))
        theirs = await bob.get_input_entity(peer_id)
        await bob(functions.channels.LeaveChannelRequest(input_channel(theirs)))
        found["left"] = await refusal(bob.send_message(theirs, "x"))
        news = await world.control(
            cmd="create_channel", creator=world.users[0]["id"], title="News", broadcast=True, username="news"
        )
        await bob(functions.channels.JoinChannelRequest(input_channel(await bob.get_input_entity("news"))))
        await alice.send_message("news", "extra")
        post = await heard(of_bob)
        found["post"] = [post.chat_id == news["peer"], post.message.post, post.message.from_id]
        found["only the creator"] = await refusal(bob.send_message("news", "x"))
        found["wrong hash"] = await refusal(
            bob.send_message(types.InputPeerChannel(crew.id, crew.access_hash), "x")
        )
        return found


async def channel_differences(world: World) -> Any:
    alice, bob = (user["id"] for user in world.users[:2])
    room = await world.control(cmd="create_channel", creator=alice, members=[bob], title="Log")
    for number in range(7):
        await world.control(cmd="send_text", sender=alice, recipient=room["peer"], text=str(number))
    async with world.of(1) as client:
        await client.get_dialogs()
        channel = await client.get_input_entity(room["peer"])

        async def ask(pts: int, limit: int = 100) -> Any:
            return await client(
                functions.updates.GetChannelDifferenceRequest(
                    channel, types.ChannelMessagesFilterEmpty(), pts, limit
                )
            )

        whole = await ask(room["pts"])
        pts, slices, texts = room["pts"], 0, []
        while True:
            part = await ask(pts, 3)
            pts, slices = part.pts, slices + 1
            texts += [m.message for m in part.new_messages]
            if part.final:
                break
        await world.control(cmd="behave", channel_difference_remembers=3)
        long = await ask(room["pts"])
        short = await ask(pts - 3)
        await world.control(cmd="behave", channel_difference_remembers=100_000)
        return {
            "whole": [m.message for m in whole.new_messages],
            "final": whole.final,
            "sliced": [slices, texts],
            "current": type(await ask(pts)).__name__,
            "too long": [type(long).__name__, long.dialog.pts == pts, long.messages[0].message],
            "short enough": len(short.new_messages),
            "nowhere": await refusal(ask(0)),
        }


async def catching_up(world: World) -> Any:
    """Telethon's own recovery, over a difference in slices, of what happened while it was away."""
    alice, bob = (user["id"] for user in world.users[:2])
    room = await world.control(cmd="create_channel", creator=alice, members=[bob], title="Away")
    client = world.of(1)
    async with client:
        await client.get_dialogs()
        greeted: asyncio.Queue[Any] = asyncio.Queue()
        client.add_event_handler(greeted.put, events.NewMessage(incoming=True))
        await world.control(cmd="send_text", sender=alice, recipient=room["peer"], text="hello")
        await heard(greeted)
    await world.control(cmd="behave", channel_difference_limit=2, difference_limit=2)
    for number in range(5):
        await world.control(cmd="send_text", sender=alice, recipient=room["peer"], text=f"c{number}")
        await world.control(cmd="send_text", sender=alice, recipient=bob, text=f"p{number}")
    again = type(client)(client.session, 1, "hash", catch_up=True, sequential_updates=True)
    came: asyncio.Queue[Any] = asyncio.Queue()
    again.add_event_handler(came.put, events.NewMessage(incoming=True))
    async with again:
        texts = [(await heard(came)).message.message for _ in range(10)]
    await world.control(cmd="behave", channel_difference_limit=100, difference_limit=1000)
    return {
        "channel": [text for text in texts if text.startswith("c")],
        "private": [text for text in texts if text.startswith("p")],
    }


async def migration(world: World) -> Any:
    bob, carol = (user["username"] for user in world.users[1:3])
    async with world.of(0) as client, world.of(1) as other:
        said: asyncio.Queue[Any] = asyncio.Queue()
        other.add_event_handler(said.put, events.Raw((types.UpdateNewMessage, types.UpdateNewChannelMessage)))
        made = await client(functions.messages.CreateChatRequest([bob, carol], "Small"))
        (small,) = made.updates.chats
        await heard(said)
        answer = await client(functions.messages.MigrateChatRequest(small.id))
        big = next(c for c in answer.chats if isinstance(c, types.Channel))
        last, first = await heard(said), await heard(said)
        await client.send_message(big, "in the new one")
        new = await heard(said)
        listed = (await other(functions.messages.GetChatsRequest([small.id]))).chats[0]
        return {
            "answer": [type(u).__name__ for u in answer.updates],
            "last": [type(last.message.action).__name__, last.message.action.channel_id == big.id],
            "first": [type(first.message.action).__name__, first.message.action.chat_id == small.id],
            "first id": [first.message.id, first.pts],
            "new": [new.message.peer_id.channel_id == big.id, new.message.id],
            "the old one": await refusal(client.send_message(small, "x")),
            "points to": [listed.deactivated, listed.migrated_to.channel_id == big.id],
            "again": await refusal(client(functions.messages.MigrateChatRequest(small.id))),
        }
