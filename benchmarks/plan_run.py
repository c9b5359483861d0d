"""The plan's outbound loop as it is written: asyncio, a poll every 2 s, 10 rows, three requests for each row.

It reads one line of JSON, works for so many seconds, and prints how many messages it sent a second.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import httpx
from telethon import TelegramClient
from telethon.sessions import StringSession
from telethon.tl.functions.contacts import GetContactsRequest
from telethon.utils import get_input_peer

POLL_EVERY_S = 2.0
ROWS = 10


async def work(facts: dict[str, Any]) -> float:
    """Poll, send and write; returns messages a second."""
    telegram: Any = TelegramClient(StringSession(facts["session"]), 1, "sandbox")
    await telegram.connect()
    peers = {str(user.id): get_input_peer(user) for user in (await telegram(GetContactsRequest(0))).users}
    headers = {"apikey": facts["key"], "Authorization": f"Bearer {facts['key']}"}
    sent, began_s = 0, perf_counter()
    async with httpx.AsyncClient(base_url=facts["url"] + "/rest/v1", headers=headers) as rest:
        while sent == 0 or perf_counter() - began_s < facts["seconds"]:
            wanted = {
                "external_message_id": "like.local-*",
                "direction": "eq.outbound",
                "order": "sent_at",
                "limit": str(ROWS),
            }
            rows = (await rest.get("/messages", params=wanted)).raise_for_status().json()
            for row in rows:
                await send(rest, telegram, peers, row)
                sent += 1
            await asyncio.sleep(POLL_EVERY_S)
    took_s = perf_counter() - began_s
    await telegram.disconnect()
    return sent / took_s


async def send(rest: httpx.AsyncClient, telegram: Any, peers: dict[str, Any], row: dict[str, Any]) -> None:
    """One row: to whom, the message, and what is written afterwards."""
    conversation = {"id": f"eq.{row['conversation_id']}", "select": "id,identity:contact_identities(value)"}
    (found,) = (await rest.get("/conversations", params=conversation)).raise_for_status().json()
    message = await telegram.send_message(peers[found["identity"]["value"]], row["text"])
    now = datetime.now(UTC).isoformat()
    written = {"external_message_id": str(message.id), "sent_at": now}
    (await rest.patch("/messages", params={"id": f"eq.{row['id']}"}, json=written)).raise_for_status()
    shown = {"last_message_at": now}
    (await rest.patch("/conversations", params={"id": f"eq.{found['id']}"}, json=shown)).raise_for_status()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(work(json.loads(sys.stdin.readline())))), flush=True)
