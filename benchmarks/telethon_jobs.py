"""What both sides of `benchmarks.hosting` do with Telethon. One side may know asyncio alone: no trio here."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any, final

from telethon import TelegramClient
from telethon.crypto import rsa
from telethon.sessions import StringSession

AT_ONCE = 50
"""How many senders a concurrent job has, each with a chat of its own."""


@final
@dataclass(frozen=True, slots=True)
class Facts:
    """What a process is told on the first line of its standard input, as JSON.

    Attributes:
        server: ``host:port`` of the sandbox.
        dc: Its data centre number.
        public_key: Its RSA key, PEM.
        session: Whom to be.
        peers: Usernames, `AT_ONCE` of them.
    """

    server: str
    dc: int
    public_key: str
    session: str
    peers: tuple[str, ...]

    @classmethod
    def read(cls) -> "Facts":
        """From standard input."""
        found = json.loads(sys.stdin.readline())
        return cls(**found | {"peers": tuple(found["peers"])})


def new_client(facts: Facts) -> Any:
    """A client as the shortest script has it."""
    host, port = facts.server.rsplit(":", 1)
    rsa.add_key(facts.public_key, old=False)
    session: Any = StringSession(facts.session)
    session.set_dc(facts.dc, host, int(port))
    return TelegramClient(session, 1, "hash")


async def connect_aio(client: Any, facts: Facts) -> list[Any]:
    """Connect, and find the peers."""
    await client.connect()
    return [await client.get_input_entity(f"@{name}") for name in facts.peers]


async def send_aio(client: Any, peers: Sequence[Any], job: str, count: int) -> None:
    """Send ``count`` messages: one after the other to one peer, or to all peers at once.

    Args:
        client: Who sends.
        peers: To whom.
        job: ``sequential`` or ``concurrent``.
        count: How many.
    """
    if job == "sequential":
        await _series_aio(client, peers[0], count)
    else:
        await asyncio.gather(*(_series_aio(client, peer, count // len(peers)) for peer in peers))


async def _series_aio(client: Any, peer: Any, count: int) -> None:
    for number in range(count):
        await client.send_message(peer, f"text {number}")


@final
class Meter:
    """Real time and processor time from its making on."""

    def __init__(self) -> None:
        self._began_s, self._cpu_s = perf_counter(), process_time()

    def read(self) -> dict[str, float]:
        """What was taken so far."""
        return {"took_s": perf_counter() - self._began_s, "cpu_s": process_time() - self._cpu_s}

    def tell(self, **more: float) -> None:
        """Print what was taken, and more, as the answer to a job."""
        print(json.dumps(self.read() | more), flush=True)
