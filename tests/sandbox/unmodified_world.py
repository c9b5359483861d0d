"""Where the scenes of `unmodified_client.py` play. No tgworker and no trio here."""

import asyncio
import json
from typing import Any

from telethon import TelegramClient
from telethon.sessions import StringSession

API = (1, "hash")


class World:
    def __init__(self, facts: dict[str, Any]) -> None:
        self.host, port = facts["server"].rsplit(":", 1)
        self.port = int(port)
        self.control_address = facts["control"].rsplit(":", 1)
        self.users = facts["users"]

    def client(self, session: Any = None, **options: Any) -> Any:
        string: Any = StringSession(session)
        if not session:
            string.set_dc(2, self.host, self.port)
        return TelegramClient(string, *API, **options)

    def of(self, number: int, **options: Any) -> Any:
        return self.client(self.users[number]["session"], **options)

    async def control(self, **command: Any) -> Any:
        reader, writer = await asyncio.open_connection(*self.control_address)
        writer.write(json.dumps(command).encode() + b"\n")
        answer = json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
        assert answer["ok"], answer
        return answer["result"]


async def refusal(call: Any) -> str:
    try:
        await call
    except Exception as error:  # noqa: BLE001 # which one it is, is the question
        return type(error).__name__
    return "no error"


async def heard(queue: asyncio.Queue[Any]) -> Any:
    """The next thing that comes."""
    return await asyncio.wait_for(queue.get(), 10)
