"""The pipe from worker to guard: what a worker says, and how the guard hears it.

A message is one line of at most `LONGEST_BYTES`, which a pipe takes whole or not at all (pipe(7), PIPE_BUF).
An empty line is a beat; anything else is JSON.
"""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, assert_never, cast, final

from tgworker.guard._footprints import Footprints
from tgworker.messaging.models import Heartbeat, LoopStatus, WorkerStatus

LONGEST_BYTES: Final = 4096


@final
@dataclass(frozen=True, slots=True)
class Beat:
    """The event loop turned."""


@final
@dataclass(frozen=True, slots=True)
class Quiet:
    """The event loop will not turn for a while.

    Attributes:
        for_s: At most so long, seconds.
    """

    for_s: float


@final
@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has started: it knows its accounts."""


@final
@dataclass(frozen=True, slots=True)
class Committed:
    """A heartbeat is in a store.

    Attributes:
        writer: Which store.
        heartbeat: What it says.
    """

    writer: str
    heartbeat: Heartbeat


@final
@dataclass(frozen=True, slots=True)
class Fault:
    """An account's task does not die: the worker is about to end because of it.

    Attributes:
        account: Its id.
    """

    account: str


Message = Beat | Quiet | Ready | Committed | Fault


@final
class Link:
    """The worker's end.

    Nothing here blocks or raises: what the pipe cannot take (the guard is stopped) is dropped, and if the
    guard is dead the kernel is about to end this process.

    Args:
        fd: The pipe's end for writing; does not block.
        footprints: Shared with the guard.
    """

    def __init__(self, fd: int, footprints: Footprints) -> None:
        self.footprints = footprints
        self._fd = fd

    def say(self, message: Message) -> None:
        """Tell the guard."""
        with suppress(OSError):
            os.write(self._fd, encoded(message))


def encoded(message: Message) -> bytes:
    """The line of a message."""
    body: dict[str, Any]
    match message:
        case Beat():
            return b"\n"
        case Quiet(for_s=for_s):
            body = {"quiet": for_s}
        case Ready():
            body = {"ready": True}
        case Committed(writer=writer, heartbeat=heartbeat):
            body = {"committed": writer, "heartbeat": asdict(heartbeat)}
        case Fault(account=account):
            body = {"fault": account}
        case _:
            assert_never(message)
    line = json.dumps(body).encode() + b"\n"
    assert len(line) <= LONGEST_BYTES, "longer lines could be torn"
    return line


@final
class Ear:
    """The guard's end: bytes become messages."""

    def __init__(self) -> None:
        self._rest = b""

    def hear(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completes; what is no message of ours is passed over."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        messages = (_decoded(line) for line in lines)
        return [message for message in messages if message is not None]


def _decoded(line: bytes) -> Message | None:
    if not line:
        return Beat()
    try:
        return _said(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # a worker that wrote garbage over its own pipe


def _said(body: object) -> Message | None:
    match body:
        case {"quiet": int() | float() as for_s}:
            return Quiet(for_s)
        case {"ready": True}:
            return Ready()
        case {"committed": str(writer), "heartbeat": dict(heartbeat)}:
            return Committed(writer, _heartbeat(cast("dict[str, Any]", heartbeat)))
        case {"fault": str(account)}:
            return Fault(account)
        case _:
            return None


def _heartbeat(body: dict[str, Any]) -> Heartbeat:
    loops = {name: LoopStatus(**loop) for name, loop in body["loops"].items()}
    return Heartbeat(
        worker_id=body["worker_id"],
        status=WorkerStatus(body["status"]),
        loops=loops,
        incarnation=body["incarnation"],
        seq=body["seq"],
    )
