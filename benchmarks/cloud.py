"""A sandbox in a process of its own, as the lines about rates use it: its work is not the measurement's."""

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from typing import Any, final

import trio

LOOK_EVERY_S = 0.005
PROGRAM = Path(__file__).with_name("cloud_run.py")


@final
@dataclass(frozen=True, slots=True)
class CloudUser:
    """A user: Telegram's id, and a session."""

    id: int
    session: str


@final
@dataclass(frozen=True, slots=True)
class Shown:
    """What was shown of who comes and goes and types.

    Attributes:
        updates: So many times something changed, each told by itself.
        took_s: In so long, seconds.
        online: Who was online in the end.
        types: Who typed in the end.
    """

    updates: int
    took_s: float
    online: set[int]
    types: set[int]


@final
@dataclass(slots=True)
class Cloud:
    """A sandbox that runs.

    Attributes:
        server: ``host:port``.
        dc: Its number.
        key: Its public key, PEM.
        users: Everybody.
    """

    server: str
    dc: int
    key: str
    users: list[CloudUser]
    _process: trio.Process
    _rest: bytes = b""
    _asking: trio.Lock = field(default_factory=trio.Lock)

    async def burst(self, sender: CloudUser, recipient: CloudUser, messages: int) -> None:
        """Send so many messages, as fast as the sandbox can."""
        await self._ask(do="burst", sender=sender.id, recipient=recipient.id, messages=messages)

    async def delivered(self) -> int:
        """How many messages were delivered so far."""
        count: int = await self._ask(do="delivered")
        return count

    async def wait_delivered(self, count: int) -> None:
        """Wait until so many messages were delivered since it began."""
        delivered = False
        while not delivered:
            await trio.sleep(LOOK_EVERY_S)
            delivered = await self.delivered() >= count

    async def send_made(self, sender: CloudUser, recipient: CloudUser, size: int) -> int:
        """Send a document of so many bytes; returns the message's id as its recipient has it."""
        message_id: int = await self._ask(do="send_made", sender=sender.id, recipient=recipient.id, size=size)
        return message_id

    async def digest(self, user: CloudUser, peer: CloudUser, message_id: int) -> str:
        """The SHA-256, in hex, of the file of a message as ``user`` has it."""
        digest: str = await self._ask(do="digest", user=user.id, peer=peer.id, message=message_id)
        return digest

    async def wait_arrival(self, user: CloudUser, peer: CloudUser, text: str) -> float:
        """Wait until ``user`` has a text from ``peer``; returns when that was, by `time.perf_counter`.

        Whoever asks something else meanwhile waits, too. (All processes of a machine have the same clock.)
        """
        at_s: float = await self._ask(do="arrival", user=user.id, peer=peer.id, text=text)
        return at_s

    async def show_presence(self, to: CloudUser, *, per_s: int, seconds: float) -> Shown:
        """Let everybody else come and go, or type to him and stop, so often a second, for so long."""
        shown = await self._ask(do="presence", to=to.id, per_s=per_s, seconds=seconds)
        return Shown(shown["shown"], shown["took_s"], set(shown["online"]), set(shown["types"]))

    async def blackhole(self, user: CloudUser) -> None:
        """Nothing goes in or out for this user any more."""
        await self._ask(do="fault", action="blackhole", method="raw", user=user.id)

    async def clear(self) -> None:
        """Nothing is wrong any more."""
        await self._ask(do="clear")

    async def _ask(self, **command: object) -> Any:
        assert self._process.stdin is not None
        async with self._asking:
            await self._process.stdin.send_all(json.dumps(command).encode() + b"\n")
            return json.loads(await self._line())

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._rest:
            data = await self._process.stdout.receive_some()
            if not data:
                raise RuntimeError("the sandbox's process ended")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line


@asynccontextmanager
async def open_cloud(users: int, *, strangers: bool = False) -> AsyncGenerator[Cloud]:
    """Start one; it goes with the context. With ``strangers`` nobody is anybody's contact."""
    process = await trio.lowlevel.open_process(
        [sys.executable, str(PROGRAM), str(users), *(["strangers"] if strangers else [])],
        stdin=PIPE,
        stdout=PIPE,
    )
    try:
        cloud = Cloud("", 0, "", [], process)
        facts = json.loads(await cloud._line())
        cloud.server, cloud.dc, cloud.key = facts["server"], facts["dc"], facts["key"]
        cloud.users = [CloudUser(*user) for user in facts["users"]]
        yield cloud
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
