"""The shortest scripts that do it with Telethon on plain asyncio, no store: ``bare_run.py WORK``.

Everything is read from standard input as one line of JSON; the result is one line, too. It imports nothing of
ours: importing trio_asyncio slows asyncio down.
"""

import asyncio
import json
import sys
from time import perf_counter
from typing import Any

from telethon import TelegramClient, events
from telethon.sessions import StringSession
from telethon.tl.functions.contacts import GetContactsRequest
from telethon.utils import get_input_peer


def client_of(facts: dict[str, Any]) -> Any:
    """A client as everybody makes one."""
    return TelegramClient(StringSession(facts["session"]), 1, "sandbox")


async def send(facts: dict[str, Any]) -> float:
    """Messages a second, one after the other, to each chat in turns."""
    client = client_of(facts)
    await client.connect()
    contacts = (await client(GetContactsRequest(0))).users
    peers = [get_input_peer(user) for user in contacts if user.id in facts["chats"]]
    for number in range(50):
        await client.send_message(peers[number % len(peers)], f"warm {number}")
    began_s = perf_counter()
    for number in range(facts["messages"]):
        await client.send_message(peers[number % len(peers)], f"bare {number}")
    took_s = perf_counter() - began_s
    await client.disconnect()
    return float(facts["messages"] / took_s)


async def receive(facts: dict[str, Any]) -> float:
    """Updates a second that reach a handler which drops them, between the first tenth and the last."""
    client = client_of(facts)
    count, done = 0, asyncio.Event()
    first, last = facts["messages"] // 10, facts["messages"] * 9 // 10
    times: dict[int, float] = {}

    async def drop(_event: Any) -> None:
        nonlocal count
        count += 1
        if count in (first, last):
            times[count] = perf_counter()
        if count == facts["messages"]:
            done.set()

    client.add_event_handler(drop, events.NewMessage())
    await client.connect()
    await client.get_me()
    print("ready", flush=True)
    await done.wait()
    await client.disconnect()
    return float(last - first) / (times[last] - times[first])


async def history(facts: dict[str, Any]) -> float:
    """Messages a second of a chat's history that are read and dropped."""
    client = client_of(facts)
    await client.connect()
    contacts = (await client(GetContactsRequest(0))).users
    (peer,) = [get_input_peer(user) for user in contacts if user.id == facts["chat"]]
    count = 0
    began_s = perf_counter()
    # (Without ``wait_time`` Telethon waits a second between pages of so long a history.)
    async for _ in client.iter_messages(peer, limit=facts["messages"], wait_time=0):
        count += 1
    took_s = perf_counter() - began_s
    await client.disconnect()
    assert count == facts["messages"]
    return float(count / took_s)


if __name__ == "__main__":
    work = {"send": send, "receive": receive, "history": history}[sys.argv[1]]
    print(json.dumps(asyncio.run(work(json.loads(sys.stdin.readline())))), flush=True)
