"""What an unmodified Telethon makes of the sandbox, on plain asyncio. Run as a program: its report is JSON.

Its standard input is one JSON object: ``server``, ``public_key``, ``control``, ``users``. Nothing of tgworker
is imported here, and nothing of trio: `trio_asyncio` would change asyncio itself.
"""

import asyncio
import json
import logging
import sys
from typing import Any

from telethon import TelegramClient, events
from telethon.crypto import rsa
from telethon.network import (
    ConnectionTcpAbridged,
    ConnectionTcpFull,
    ConnectionTcpIntermediate,
    ConnectionTcpObfuscated,
)
from telethon.network.connection.tcpintermediate import RandomizedIntermediatePacketCodec
from telethon.sessions import StringSession
from telethon.tl import functions, types

from sandbox.unmodified_acts import forwards, pins, presence, reactions
from sandbox.unmodified_bots import bots
from sandbox.unmodified_centres import data_centres
from sandbox.unmodified_changes import channel_actions, chat_actions, profile
from sandbox.unmodified_files import files
from sandbox.unmodified_logins import codes, qr_codes, two_step
from sandbox.unmodified_people import acquaintances, archive
from sandbox.unmodified_proxies import proxies
from sandbox.unmodified_rooms import catching_up, channel_differences, channels, groups, migration
from sandbox.unmodified_takeouts import takeouts
from sandbox.unmodified_world import API, World, refusal


class ConnectionTcpPadded(ConnectionTcpObfuscated):  # type: ignore[misc] # Telethon has no types
    """The transport of MTProto proxies, without the proxy."""

    packet_codec = RandomizedIntermediatePacketCodec


async def transports(world: World) -> Any:
    found = {}
    for kind in (
        ConnectionTcpFull,
        ConnectionTcpAbridged,
        ConnectionTcpIntermediate,
        ConnectionTcpPadded,
        ConnectionTcpObfuscated,
    ):
        async with world.of(0, connection=kind) as client:
            long = "x" * 4000  # more than fits into the short form of any length
            sent = await client.send_message("me", long)
            (read,) = await client.get_messages("me", ids=[sent.id])
            found[kind.__name__] = read.message == long
    return found


async def login(world: World) -> Any:
    client = world.client()
    await client.connect()
    phone = world.users[0]["phone"]
    found = {"authorized before": await client.is_user_authorized()}
    found["unknown number"] = await refusal(signing_in(client, "+999660000000", "12345"))
    found["bad number"] = await refusal(client.send_code_request("+1"))
    sent = await client.send_code_request(phone)
    found["wrong code"] = await refusal(client.sign_in(phone, "00000", phone_code_hash=sent.phone_code_hash))
    found["stale code"] = await refusal(client.sign_in(phone, "12345", phone_code_hash="other"))
    me = await client.sign_in(phone, "12345", phone_code_hash=sent.phone_code_hash)
    found["signed in as"] = me.id
    found["phone"] = me.phone == phone
    found["dialogs work"] = isinstance(await client.get_dialogs(), list)
    key = client.session.save()
    await client.disconnect()
    async with world.client(key) as again:
        found["the session holds"] = (await again.get_me()).id
        found["logged out"] = await again.log_out()
    after = world.client(key)
    await after.connect()
    found["authorized after"] = await after.is_user_authorized()
    await after.disconnect()
    return found


async def signing_in(client: Any, phone: str, code: str) -> None:
    sent = await client.send_code_request(phone)
    await client.sign_in(phone, code, phone_code_hash=sent.phone_code_hash)


async def people(world: World) -> Any:
    alice, bob = world.users[:2]
    async with world.of(0) as client:
        me = await client.get_me()
        by_name = await client.get_entity(bob["username"])
        by_phone = await client(functions.contacts.ResolvePhoneRequest(bob["phone"]))
        contacts = await client(functions.contacts.GetContactsRequest(0))
        full = await client(functions.users.GetFullUserRequest(bob["username"]))
        wrong = types.InputPeerUser(bob["id"], by_name.access_hash ^ 2)
        zero = types.InputPeerUser(bob["id"], 0)
        (nobody,) = await client(functions.users.GetUsersRequest([types.InputUser(bob["id"], 0)]))
        found = {
            "me": me.id == alice["id"] and me.is_self and me.username == alice["username"],
            "by name": by_name.id == bob["id"] and by_name.contact,
            "by phone": by_phone.users[0].id == bob["id"],
            "contacts": sorted(user.id for user in contacts.users) == [u["id"] for u in world.users[1:]],
            "full": full.full_user.id == bob["id"],
            "unknown name": await refusal(client.get_entity("nobody_at_all")),
            "wrong hash": await refusal(client.send_message(wrong, "x")),
            "zero hash": await refusal(client.send_message(zero, "x")),
            "zero hash, full": await refusal(
                client(functions.users.GetFullUserRequest(types.InputUser(bob["id"], 0)))
            ),
            "zero hash, users": type(nobody).__name__,
        }
    async with world.of(2) as client:
        other = await client.get_entity(bob["username"])
        found["hashes differ"] = other.access_hash != by_name.access_hash
        foreign = types.InputPeerUser(bob["id"], by_name.access_hash)
        found["another's hash"] = await refusal(client.send_message(foreign, "x"))
    return found


async def texts(world: World) -> Any:
    bob = world.users[1]
    async with world.of(0) as alice, world.of(1) as other:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        other.add_event_handler(heard.put, events.NewMessage(incoming=True))
        other.add_event_handler(heard.put, events.MessageEdited())
        other.add_event_handler(heard.put, events.MessageDeleted())
        other.add_event_handler(heard.put, events.MessageRead(inbox=True))
        seen: asyncio.Queue[Any] = asyncio.Queue()
        alice.add_event_handler(seen.put, events.UserUpdate())
        own: asyncio.Queue[Any] = asyncio.Queue()
        alice.add_event_handler(own.put, events.MessageRead())

        async def next_of(queue: asyncio.Queue[Any]) -> Any:
            return await asyncio.wait_for(queue.get(), 10)

        sent = await alice.send_message(bob["username"], "a **bold** word")
        arrived = await next_of(heard)
        found: dict[str, Any] = {
            "sent": sent.out and sent.message,
            "entities sent": [type(e).__name__ for e in sent.entities or ()],
            "arrived": arrived.message.message,
            "entities": [type(e).__name__ for e in arrived.message.entities or ()],
            "sender": arrived.sender_id == world.users[0]["id"],
            "from_id": arrived.message.from_id,
        }
        await sent.edit("another text")
        edited = await next_of(heard)
        found["edited"] = [edited.message.message, edited.message.edit_date is not None]
        found["edited to the same"] = await refusal(sent.edit("another text"))
        found["edited by another"] = await refusal(
            other.edit_message(world.users[0]["id"], arrived.message.id, "mine")
        )
        peer = await other.get_input_entity(world.users[0]["id"])
        async with other.action(peer, "typing"):
            typing = await next_of(seen)
        found["typing"] = typing.typing and typing.user_id == bob["id"]
        found["read"] = (await other.send_read_acknowledge(peer, arrived.message)).pts_count
        read = await next_of(own)
        found["read up to"] = read.max_id == sent.id and read.outbox
        reply = await alice.send_message(bob["username"], "a reply", reply_to=sent)
        found["reply"] = (await next_of(heard)).message.message
        await alice.delete_messages(bob["username"], [sent.id, reply.id])
        found["deleted"] = len((await next_of(heard)).deleted_ids)
        found["gone"] = [m.message for m in await other.get_messages(peer, limit=10)]
        found["too long"] = await refusal(alice.send_message(bob["username"], "x" * 4097))
        found["longest"] = len((await alice.send_message("me", "x" * 4096)).message)
        empty = functions.messages.SendMessageRequest(await alice.get_input_entity(bob["username"]), "")
        found["empty"] = await refusal(alice(empty))
        outside = functions.messages.SendMessageRequest(
            await alice.get_input_entity(bob["username"]), "x", entities=[types.MessageEntityBold(0, 2)]
        )
        found["outside"] = await refusal(alice(outside))
        found["missing message"] = await refusal(alice.edit_message(bob["username"], 999_999, "x"))
        found["status"] = await alice(functions.account.UpdateStatusRequest(offline=False))
        found["many at once"] = len(
            {m.id for m in await asyncio.gather(*(alice.send_message("me", str(n)) for n in range(120)))}
        )
        return found


async def histories(world: World) -> Any:
    alice, carol = world.users[0]["id"], world.users[2]["id"]
    for number in range(230):
        await world.control(cmd="send_text", sender=carol, recipient=alice, text=str(number))
    async with world.of(0) as client:
        peer = await client.get_input_entity(world.users[2]["username"])

        async def read(**options: Any) -> list[int]:
            return [int(m.message) async for m in client.iter_messages(peer, wait_time=0, **options)]

        everything = list(range(229, -1, -1))
        newest = (await client.get_messages(peer, limit=1))[0]
        first = newest.id - 229
        state = await client(functions.updates.GetStateRequest())
        dialogs = await client.get_dialogs()
        paged = [d.entity.id async for d in client.iter_dialogs(limit=1)]
        peers = await client(functions.messages.GetPeerDialogsRequest([types.InputDialogPeer(peer)]))
        missing, present = await client.get_messages(peer, ids=[999_999, newest.id])
        found = {
            "all": await read() == everything,
            "total": (await client.get_messages(peer, limit=0)).total,
            "limited": await read(limit=5),
            "reversed": await read(reverse=True) == everything[::-1],
            "reversed, limited": await read(reverse=True, limit=3),
            "from id": await read(offset_id=first + 3),
            "reversed from id": await read(reverse=True, offset_id=newest.id - 2),
            "between": await read(min_id=first + 1, max_id=first + 5),
            "add_offset": await read(limit=2, add_offset=3),
            "search": await read(search="22", limit=20),
            "by id": [missing, present.message],
            "dialogs": dialogs[0].entity.id == carol and dialogs[0].unread_count == 230,
            "one dialog": paged == [carol],
            "peer dialogs": peers.dialogs[0].top_message == newest.id,
            "pts": peers.state.pts == state.pts,
        }
        await client.send_read_acknowledge(peer)
        found["unread after"] = (await client.get_dialogs())[0].unread_count
        return found


async def differences(world: World) -> Any:
    alice, bob = world.users[0]["id"], world.users[1]["id"]
    async with world.of(1) as client:
        state = await client(functions.updates.GetStateRequest())
    for text in ("kept", "deleted"):
        await world.control(cmd="send_text", sender=alice, recipient=bob, text=text)
    async with world.of(0) as other:
        mine = await other.get_messages(world.users[1]["username"], limit=2)
        await mine[0].delete()
        await mine[1].edit("kept, edited")
    async with world.of(1) as client:
        peer = await client.get_input_entity(world.users[0]["username"])
        answer = await client(functions.messages.SendMessageRequest(peer, "mine", random_id=77))
        again = await client(functions.messages.SendMessageRequest(peer, "mine", random_id=77))
        await client.send_read_acknowledge(peer)
        difference = await client(functions.updates.GetDifferenceRequest(state.pts, state.date, 0))
        await world.control(cmd="behave", repeats="error")
        client.flood_sleep_threshold = 0
        client._request_retries = 0
        refused = await refusal(client(functions.messages.SendMessageRequest(peer, "mine", random_id=77)))
        await world.control(cmd="behave", repeats="original", difference_limit=2)
        pts, sliced = state.pts, []
        while True:
            part: Any = await client(functions.updates.GetDifferenceRequest(pts, state.date, 0))
            sliced += [m.message for m in part.new_messages]
            if type(part).__name__ == "Difference":
                break
            pts = part.intermediate_state.pts
        await world.control(cmd="behave", difference_limit=1000)
        current = await client(functions.updates.GetDifferenceRequest(part.state.pts, state.date, 0))
        long = await client(
            functions.updates.GetDifferenceRequest(state.pts, state.date, 0, pts_total_limit=1)
        )
        return {
            "first answer": type(answer).__name__,
            "repeat": [type(u).__name__ for u in again.updates],
            "same id": {again.updates[0].id, again.updates[1].message.id} == {answer.id},
            "repeat moves no pts": again.updates[1].pts_count,
            "refused": refused,
            "new": [m.message for m in difference.new_messages],
            "others": sorted(type(u).__name__ for u in difference.other_updates),
            "numbered": [
                (u.id == answer.id, u.random_id)
                for u in difference.other_updates
                if isinstance(u, types.UpdateMessageID)
            ],
            "sliced": sliced,
            "current": type(current).__name__,
            "too long": type(long).__name__,
        }


async def reconnections(world: World) -> Any:
    """Telethon reconnects by itself, under another MTProto session: its key must survive that."""
    bob = world.users[1]
    async with world.of(0) as client:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        client.add_event_handler(heard.put, events.NewMessage(incoming=True))
        await client.get_me()
        done = []
        for number in range(5):
            await world.control(cmd="drop_connections", user=world.users[0]["id"])
            await client.send_message("me", f"after {number}")
            done.append(number)
        await world.control(cmd="send_text", sender=bob["id"], recipient=world.users[0]["id"], text="there?")
        message = await asyncio.wait_for(heard.get(), 10)
        while message.message.message != "there?":
            message = await asyncio.wait_for(heard.get(), 10)
    statistics = await world.control(cmd="statistics")
    return {"done": done, "duplicated": statistics["duplicated_keys"]}


async def deaths(world: World) -> Any:
    user = world.users[3]
    found = {}
    for reason in ("SESSION_REVOKED", "AUTH_KEY_UNREGISTERED"):
        session = (await world.control(cmd="new_session", user=user["id"]))["session"]
        async with world.client(session) as client:
            await client.get_me()
            await world.control(cmd="revoke", user=user["id"], reason=reason)
            found[reason] = await refusal(client(functions.updates.GetStateRequest()))
    session = (await world.control(cmd="new_session", user=user["id"]))["session"]
    async with world.client(session) as one:
        await one(functions.updates.GetStateRequest())
        two = world.client(session)
        found["the second"] = await refusal(two.start())
        found["the first"] = await refusal(one(functions.updates.GetStateRequest()))
        await two.disconnect()
    three = world.client(session)
    found["for ever"] = await refusal(three.start())
    await three.disconnect()
    session = (await world.control(cmd="new_session", user=user["id"]))["session"]
    async with world.client(session) as client:
        await world.control(cmd="revoke", user=user["id"], reason="USER_DEACTIVATED")
        found["banned"] = await refusal(client(functions.updates.GetStateRequest()))
    stranger = world.client()
    await stranger.connect()
    found["banned, login"] = await refusal(stranger.send_code_request(user["phone"]))
    await stranger.disconnect()
    unknown: Any = StringSession(world.users[0]["session"])
    unknown.auth_key = type(unknown.auth_key)(bytes(range(1, 256)) + b"x")
    lost: Any = TelegramClient(unknown, *API, connection_retries=0)
    found["unknown key"] = await refusal(lost.connect())
    await lost.disconnect()
    return found


async def odds_and_ends(world: World) -> Any:
    async with world.of(0) as client:
        nearest = await client(functions.help.GetNearestDcRequest())
        config = await client(functions.help.GetConfigRequest())
        app = await client(functions.help.GetAppConfigRequest(0))
        return {
            "nearest": nearest.nearest_dc,
            "config": [config.this_dc, config.dc_options[0].port == world.port, config.message_length_max],
            "app config": type(app).__name__,
            "not in the sandbox": await refusal(client(functions.help.GetSupportRequest())),
        }


SCENES = [
    transports,
    login,
    people,
    texts,
    histories,
    differences,
    reconnections,
    odds_and_ends,
    groups,
    channels,
    channel_differences,
    catching_up,
    migration,
    acquaintances,
    archive,
    reactions,
    pins,
    forwards,
    presence,
    chat_actions,
    channel_actions,
    profile,
    data_centres,
    files,
    two_step,
    codes,
    qr_codes,
    takeouts,
    proxies,
    bots,
    deaths,
]


async def main() -> None:
    facts = json.loads(sys.stdin.read())
    rsa.add_key(facts["public_key"], old=False)
    world = World(facts)
    report = {}
    for scene in SCENES:
        try:
            report[scene.__name__] = await asyncio.wait_for(scene(world), 60)
        except Exception as error:  # what else was found out is worth reading
            report[scene.__name__] = f"{type(error).__name__}: {error}"
            logging.exception("scene %s", scene.__name__)
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(name)s %(message)s")
    asyncio.run(main())
