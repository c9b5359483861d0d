"""Scenes of `unmodified_client.py` with contacts, strangers and the list of chats."""

import asyncio
from typing import Any

from telethon import events
from telethon.tl import functions, types

from sandbox.unmodified_world import World, heard, refusal


async def acquaintances(world: World) -> Any:
    stranger = await world.control(cmd="add_user", stranger=True)
    alice = world.users[0]["id"]
    async with world.of(0) as client:
        came: asyncio.Queue[Any] = asyncio.Queue()
        client.add_event_handler(came.put, events.NewMessage(incoming=True))
        ask = functions.contacts.GetContactsRequest
        before = await client(ask(0))
        number = types.InputPhoneContact(11, stranger["phone"], "S", "")
        nobody = types.InputPhoneContact(12, "999660000000", "N", "")
        room = await world.control(
            cmd="create_channel", creator=stranger["id"], members=[alice], title="Strange"
        )
        await world.control(cmd="send_text", sender=stranger["id"], recipient=room["peer"], text="hello")
        strange = await heard(came)
        channel = await client.get_input_entity(room["peer"])
        from_message = types.InputPeerUserFromMessage(channel, strange.message.id, stranger["id"])
        min_hash = types.InputPeerUser(stranger["id"], strange.sender.access_hash)
        found = {
            "min": [strange.sender.min, strange.sender.contact, strange.sender.phone],
            "min hash": await refusal(client.send_message(min_hash, "x")),
            "from message": (await client.send_message(from_message, "by a message of his")).message,
            "from another": await refusal(
                client.send_message(types.InputPeerUserFromMessage(channel, 1, alice), "x")
            ),
        }
        imported = await client(functions.contacts.ImportContactsRequest([number, nobody]))
        after = await client(ask(0))
        found |= {
            "contacts": len(after.contacts) - len(before.contacts),
            "imported": [(each.user_id == stranger["id"], each.client_id) for each in imported.imported],
            "phone now": imported.users[0].phone == stranger["phone"],
            "mutual": [imported.users[0].contact, imported.users[0].mutual_contact],
            "unchanged": type(await client(ask(hash_of(after)))).__name__,
        }
        await world.control(cmd="behave", imports="retry")
        later = await client(functions.contacts.ImportContactsRequest([number, nobody]))
        await world.control(cmd="behave", imports="accept")
        gone = await client(functions.contacts.DeleteContactsRequest([imported.users[0]]))
        found |= {
            "later": later.retry_contacts,
            "deleted": [user.contact for user in gone.users if user.id == stranger["id"]],
            "no name": await refusal(client(functions.contacts.ResolveUsernameRequest("1x"))),
            "no such name": await refusal(client(functions.contacts.ResolveUsernameRequest("no_such_name"))),
            "no such phone": await refusal(client(functions.contacts.ResolvePhoneRequest("999660000000"))),
        }
        return found


def hash_of(contacts: Any) -> int:
    """As https://core.telegram.org/api/offsets#hash-generation has it; how many are saved comes first."""
    value = 0
    for each in (contacts.saved_count, *sorted(contact.user_id for contact in contacts.contacts)):
        value ^= value >> 21
        value ^= (value << 35) % 2**64
        value ^= value >> 4
        value = (value + each) % 2**64
    return value - 2**64 if value >> 63 else value


async def archive(world: World) -> Any:
    alice, bob, carol = (user["id"] for user in world.users[:3])
    rooms = [
        await world.control(cmd="create_channel", creator=alice, title=f"Room {number}")
        for number in range(5)
    ]
    room = rooms[-1]
    await world.control(cmd="send_text", sender=carol, recipient=alice, text="last")
    async with world.of(0) as client:
        everything = [d.id for d in await client.get_dialogs()]
        paged: list[int] = []
        offset: Any = types.InputPeerEmpty()
        date, number = None, 0
        while True:
            page = await client(functions.messages.GetDialogsRequest(date, number, offset, limit=2, hash=0))
            if not page.dialogs:
                break
            last = page.dialogs[-1]
            message = next(m for m in page.messages if (m.peer_id, m.id) == (last.peer, last.top_message))
            offset = await client.get_input_entity(last.peer)
            date, number = message.date, message.id
            paged += [peer_id(each.peer) for each in page.dialogs]
        await client.edit_folder([bob, room["peer"]], 1)
        archived = [d.id async for d in client.iter_dialogs(folder=1)]
        shown = [d.id async for d in client.iter_dialogs(folder=0)]
        await client.edit_folder(bob, 0)
        after = [d.id async for d in client.iter_dialogs(folder=1)]
        return {
            "newest first": everything[0] == carol,
            "paged": paged == everything,
            "count": page.count == len(everything),
            "archived": sorted(archived) == sorted([bob, room["peer"]]),
            "shown": sorted([*archived, *shown]) == sorted(everything),
            "after": after == [room["peer"]],
            "folder": await refusal(client.edit_folder(bob, 7)),
        }


def peer_id(peer: Any) -> int:
    match peer:
        case types.PeerUser():
            return int(peer.user_id)
        case types.PeerChat():
            return -int(peer.chat_id)
        case _:
            return -(10**12) - int(peer.channel_id)
