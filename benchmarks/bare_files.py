"""The shortest script that brings a file up or down with Telethon: ``bare_files.py up | down``.

Everything is read from standard input as one line of JSON; the result, in seconds, is one line, too. It
imports nothing of ours: importing trio_asyncio slows asyncio down.
"""

import asyncio
import json
import sys
from time import perf_counter
from typing import Any

from telethon import TelegramClient
from telethon.sessions import StringSession
from telethon.tl.functions.contacts import GetContactsRequest

PART_KB = 512
"""What Telethon takes for a file of 1 GB; for shorter ones it would take less, and be slower."""


async def up(client: Any, peer: Any, path: str) -> None:
    """Send a file of the disk."""
    handle = await client.upload_file(path, part_size_kb=PART_KB)
    await client.send_file(peer, handle, force_document=True)


async def down(client: Any, peer: Any, path: str) -> None:
    """Put the file of the newest message on the disk."""
    (message,) = await client.get_messages(peer, limit=1)
    document = message.document
    await client.download_file(
        document, path, part_size_kb=PART_KB, file_size=document.size, dc_id=document.dc_id
    )


async def main(facts: dict[str, Any]) -> float:
    """Connect, then do it; returns how long it took, seconds."""
    client: Any = TelegramClient(StringSession(facts["session"]), 1, "sandbox")
    await client.connect()
    contacts = (await client(GetContactsRequest(0))).users
    peer = next(user for user in contacts if user.id == facts["peer"])
    began_s = perf_counter()
    await {"up": up, "down": down}[sys.argv[1]](client, peer, facts["path"])
    took_s = perf_counter() - began_s
    await client.disconnect()
    return took_s


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.stdin.readline())))), flush=True)
