"""A person with an unmodified Telethon on plain asyncio, who sends files and says what came. No tgworker.

Reads where Telegram is, then one order after the other, a line of JSON each, and answers with a line.
"""

import asyncio
import json
import sys
from hashlib import sha256
from typing import Any

from telethon.crypto import rsa
from telethon.tl import types

from sandbox.unmodified_world import World

ATTRIBUTES: dict[str, list[Any]] = {
    "voice": [types.DocumentAttributeAudio(3, voice=True)],
    "audio": [types.DocumentAttributeAudio(3)],
    "video": [types.DocumentAttributeVideo(1, 64, 48)],
    "video_note": [types.DocumentAttributeVideo(1, 64, 48, round_message=True)],
    "animation": [types.DocumentAttributeAnimated(), types.DocumentAttributeVideo(1, 64, 48)],
    "sticker": [types.DocumentAttributeSticker("🙂", types.InputStickerSetEmpty())],
}


async def send(client: Any, to: Any, files: list[list[str]]) -> int:
    """Files, each by itself: kind, path, caption."""
    for kind, path, caption in files:
        await client.send_file(
            to,
            path,
            caption=caption,
            force_document=kind == "document",
            voice_note=kind == "voice",
            attributes=ATTRIBUTES.get(kind),
        )
    return len(files)


async def read(client: Any, to: Any) -> list[list[Any]]:
    """What the other side has sent, oldest first: caption, what it is, digest, name, beginning, album."""
    found: list[list[Any]] = []
    async for message in client.iter_messages(to, reverse=True):
        if not message.out:
            data = await client.download_media(message, bytes)
            kind = "photo" if message.photo else "voice" if message.voice else "document"
            begins = data[:4].decode("latin-1")
            digest = sha256(data).hexdigest()
            found.append([message.message, kind, digest, message.file.name, begins, message.grouped_id])
    return found


async def main() -> None:
    facts = json.loads(sys.stdin.readline())
    rsa.add_key(facts["public_key"], old=False)
    world = World(facts)
    async with world.of(1) as client:
        await client.get_dialogs()
        to = await client.get_input_entity(world.users[0]["username"])
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            answer = await (send(client, to, order["send"]) if "send" in order else read(client, to))
            await asyncio.to_thread(print, json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
