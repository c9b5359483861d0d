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
        await other(react(theirs, at_bob.id, reaction=[]))
        return found | {"taken back": (await heard(came)).reactions.results}
