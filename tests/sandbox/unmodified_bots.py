"""The scene of `unmodified_client.py` about bots: their tokens, what they may and what they may not."""

import asyncio
from typing import Any

from telethon import events
from telethon.tl import functions, types

from sandbox.unmodified_world import World, heard, refusal


async def bots(world: World) -> Any:
    alice = world.users[0]
    made = await world.control(cmd="add_bot")
    found: dict[str, Any] = {}
    client = world.client()
    await client.connect()
    found["no token"] = await refusal(client.sign_in(bot_token="nonsense"))
    found["forged"] = await refusal(client.sign_in(bot_token=f"{made['id']}:{'x' * 35}"))
    found["of a person"] = await refusal(client.sign_in(bot_token=f"{alice['id']}:{'x' * 35}"))
    api = functions.auth.ImportBotAuthorizationRequest(0, 0, "", made["token"])
    found["no application"] = await refusal(client(api))
    me = await client.sign_in(bot_token=made["token"])
    found["me"] = [me.id == made["id"], me.bot, me.phone, me.status, me.username.endswith("bot")]
    found["is a bot"] = [await client.is_bot(), me.bot_info_version, me.bot_chat_history]
    found["writes first"] = await refusal(client.send_message(alice["username"], "buy!"))
    state = await client(functions.updates.GetStateRequest())

    queue: asyncio.Queue[Any] = asyncio.Queue()
    client.add_event_handler(queue.put, events.NewMessage(incoming=True))
    async with world.of(0) as person:
        answers: asyncio.Queue[Any] = asyncio.Queue()
        person.add_event_handler(answers.put, events.NewMessage(from_users=made["id"]))
        bot = await person.get_entity(made["username"])
        found["seen"] = [bot.bot, bot.contact, bot.status]
        await person.send_message(bot, "/start")
        asked = await heard(queue)
        reply = await asked.reply("what can I do for you?")
        answer = await heard(answers)
        found["answered"] = answer.message.message
        await reply.edit("how can I help?")
        await client(
            functions.messages.SendReactionRequest(
                await asked.get_input_chat(), asked.id, reaction=[types.ReactionEmoji("👍")]
            )
        )
        await reply.pin(pm_oneside=False)
        found["pins for itself"] = await refusal(reply.pin(pm_oneside=True))
        async with client.action(await asked.get_input_chat(), "typing"):
            pass
        found["by id"] = (await client.get_messages(alice["id"], ids=asked.id)).message
        group = await person(functions.messages.CreateChatRequest([bot], "Desk"))
        (room,) = group.updates.chats
        await person.send_message(room, "all of you")
        spoken = await heard(queue)
        await spoken.respond("even me?")
        found["group"] = (await heard(answers)).message.message
        difference = await client(functions.updates.GetDifferenceRequest(state.pts, state.date, 0))
        found["difference"] = [m.message for m in difference.new_messages if m.message]
        found["not for bots"] = await not_for_bots(client, await asked.get_input_chat())
        await person(functions.contacts.BlockRequest(bot))
        found["stopped"] = await refusal(client.send_message(alice["id"], "why?"))
        found["and he"] = await refusal(person.send_message(bot, "hello?"))
        await person(functions.contacts.UnblockRequest(bot))
        found["again"] = (await client.send_message(alice["id"], "hello again")).message
        broadcast = await person(functions.channels.CreateChannelRequest("News", "", broadcast=True))
        found["in a channel"] = await refusal(
            person(functions.channels.InviteToChannelRequest(broadcast.chats[0], [bot]))
        )

    other = await world.control(cmd="add_bot")
    found["another bot"] = await refusal(client.send_message(other["username"], "colleague?"))
    token = (await world.control(cmd="renew_token", bot=made["id"]))["token"]
    found["revoked"] = await refusal(client(functions.updates.GetStateRequest()))
    await client.disconnect()
    again = world.client()
    await again.connect()
    found["old token"] = await refusal(again.sign_in(bot_token=made["token"]))
    found["new token"] = (await again.sign_in(bot_token=token)).id == made["id"]
    found["out"] = await again.log_out()
    return found


async def not_for_bots(client: Any, person: Any) -> Any:
    requests = [
        functions.messages.GetDialogsRequest(None, 0, types.InputPeerEmpty(), 9, 0),
        functions.messages.GetHistoryRequest(person, 0, None, 0, 9, 0, 0, 0),
        functions.messages.ReadHistoryRequest(person, 0),
        functions.contacts.GetContactsRequest(0),
        functions.contacts.ResolvePhoneRequest("999661001"),
        functions.account.UpdateStatusRequest(offline=False),
        functions.account.GetPasswordRequest(),
        functions.help.GetAppConfigRequest(0),
    ]
    return sorted({await refusal(client(each)) for each in requests})
