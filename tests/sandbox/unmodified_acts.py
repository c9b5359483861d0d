"""Scenes of `unmodified_client.py` with what is done to messages that are there."""

import asyncio
from typing import Any

from telethon import events
from telethon.tl import functions, types

from sandbox.unmodified_world import World, heard, refusal


async def reactions(world: World) -> Any:
    alice, bob = world.users[:2]
    async with world.of(0) as client, world.of(1) as other:
        came: asyncio.Queue[Any] = asyncio.Queue()
        client.add_event_handler(came.put, events.Raw(types.UpdateMessageReactions))
        sent = await client.send_message(bob["username"], "what do you say?")
        at_bob = (await other.get_messages(alice["username"], limit=1))[0]
        react = functions.messages.SendReactionRequest
        theirs = await other.get_input_entity(alice["username"])
        await other(react(theirs, at_bob.id, reaction=[types.ReactionEmoji("👍")]))
        update = await heard(came)
        (read,) = await client.get_messages(bob["username"], ids=[sent.id])
        asked = await client(
            functions.messages.GetMessagesReactionsRequest(
                await client.get_input_entity(bob["id"]), [sent.id]
            )
        )
        found = {
            "heard": [update.msg_id == sent.id, update.reactions.results[0].reaction.emoticon],
            "whose": update.reactions.recent_reactions[0].peer_id.user_id == bob["id"],
            "read": [each.count for each in read.reactions.results],
            "asked": len(asked.updates),
            "again": await refusal(other(react(theirs, at_bob.id, reaction=[types.ReactionEmoji("👍")]))),
            "none": await refusal(other(react(theirs, at_bob.id, reaction=[types.ReactionEmoji("x")]))),
        }
        at_alice = await client.get_input_entity(bob["id"])
        unread = functions.messages.GetUnreadReactionsRequest(at_alice, 0, 0, 100, 0, 0)
        found["unseen"] = [each.id == sent.id for each in (await client(unread)).messages]
        await client(functions.messages.ReadReactionsRequest(at_alice))
        found["seen"] = (await client(unread)).messages
        await other(react(theirs, at_bob.id, reaction=[]))
        return found | {"taken back": (await heard(came)).reactions.results}


async def pins(world: World) -> Any:
    bob, carol = world.users[1:3]
    async with world.of(0) as client, world.of(1) as other:
        came: asyncio.Queue[Any] = asyncio.Queue()
        other.add_event_handler(came.put, events.ChatAction(func=lambda event: event.new_pin))
        sent = await client.send_message(bob["username"], "pin me")
        said = await sent.pin(notify=True)
        pinned = await heard(came)
        found: dict[str, Any] = {
            "said": [type(said.action).__name__, said.reply_to.reply_to_msg_id == sent.id],
            "heard": [pinned.action_message is not None, (await pinned.get_pinned_message()).message],
        }
        await client.unpin_message(bob["username"], sent)
        unpinned = await heard(came)
        found["unpinned"] = [unpinned.unpin, unpinned.action_message]
        made = await client(
            functions.messages.CreateChatRequest([bob["username"], carol["username"]], "Pins")
        )
        room = made.updates.chats[0]
        ours = [await client.send_message(room, text) for text in ("one", "two")]
        for each in ours:
            await client.pin_message(room, each)
        found["in a group"] = [(await (await heard(came)).get_pinned_message()).message for _ in ours]
        pinned_there = types.InputMessagesFilterPinned()
        found["pinned"] = [m.message async for m in client.iter_messages(room, filter=pinned_there)]
        await client.unpin_message(room)
        found["left"] = [m.message async for m in client.iter_messages(room, filter=pinned_there)]
        return found


async def forwards(world: World) -> Any:
    alice, bob, carol = world.users[:3]
    async with world.of(0) as client, world.of(2) as other:
        came: asyncio.Queue[Any] = asyncio.Queue()
        other.add_event_handler(came.put, events.NewMessage(incoming=True))
        sent = [await client.send_message(bob["username"], text) for text in ("first", "second")]
        there = await client.forward_messages(carol["username"], sent)
        got = [(await heard(came)).message for _ in sent]
        (plain,) = await client.forward_messages(carol["username"], sent[:1], drop_author=True)
        bare = (await heard(came)).message
        room = await world.control(
            cmd="create_channel", creator=alice["id"], members=[bob["id"]], title="Shut"
        )
        await client.get_dialogs()
        post = await client.send_message(room["peer"], "stays here")
        peer = await client.get_input_entity(room["peer"])
        await client(functions.messages.ToggleNoForwardsRequest(peer, enabled=True))
        return {
            "sent": [each.message for each in there],
            "origin": [each.fwd_from.from_id.user_id == alice["id"] for each in got],
            "text": [each.message for each in got],
            "without": [plain.fwd_from, bare.fwd_from],
            "shut": await refusal(client.forward_messages(carol["username"], post)),
            "nothing": await refusal(client.forward_messages(carol["username"], 999_999, bob["username"])),
        }


async def presence(world: World) -> Any:
    alice, bob = world.users[:2]
    async with world.of(0) as client, world.of(1) as other:
        came: asyncio.Queue[Any] = asyncio.Queue()
        client.add_event_handler(came.put, events.UserUpdate(chats=None))
        theirs = await client.get_input_entity(bob["username"])
        await other(functions.account.UpdateStatusRequest(offline=False))
        there = await heard(came)
        found: dict[str, Any] = {
            "online": [there.user_id == bob["id"], there.online],
            "seen": type((await client.get_entity(theirs)).status).__name__,
            "of contacts": [
                type(each.status).__name__
                for each in await client(functions.contacts.GetStatusesRequest())
                if each.user_id == bob["id"]
            ],
        }
        await other(functions.account.UpdateStatusRequest(offline=True))
        gone = await heard(came)
        found["offline"] = [gone.online, gone.last_seen is not None]
        found["then"] = type((await client.get_entity(theirs)).status).__name__
        mine = await other.get_input_entity(alice["username"])
        await other(functions.messages.SetTypingRequest(mine, types.SendMessageTypingAction()))
        typing = await heard(came)
        found["typing"] = [typing.typing, typing.user_id == bob["id"]]
        await other(functions.messages.SetTypingRequest(mine, types.SendMessageRecordAudioAction()))
        found["recording"] = (await heard(came)).audio
        room = await world.control(
            cmd="create_channel", creator=alice["id"], members=[bob["id"]], title="Typing"
        )
        await world.control(cmd="set_typing", user=bob["id"], peer=room["peer"])
        found["in a group"] = (await heard(came)).chat_id == room["peer"]
        return found
