"""A file on its way to Telegram: part by part, under a deadline that runs while nothing moves."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import trio

from tgworker.messaging.bounded import within
from tgworker.messaging.limits import Limits
from tgworker.messaging.media import LONGEST_WAIT_S, PART_BYTES, PartialUpload
from tgworker.messaging.media_ports import MediaConnection
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.messaging.ports import Pulse


@dataclass(frozen=True, slots=True)
class Stuck:
    """Nothing moved for too long.

    Attributes:
        reason: For people.
    """

    reason: str


class Source(Protocol):
    """Where a file's bytes come from."""

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    def read(self, begin: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes from ``begin`` on, in pieces of any length."""
        ...


async def upload(
    pulse: Pulse, file: PartialUpload, source: Source, connection: MediaConnection, limits: Limits
) -> Deferred | Refused | Stuck | None:
    """Bring Telegram what it does not have of a file yet.

    Args:
        pulse: The sender's.
        file: How far it is; what Telegram acknowledges is noted there, whatever happens.
        source: Its bytes; of ``file.size``.
        connection: The account's line.
        limits: ``media_s`` without progress is the end of this attempt.

    Returns:
        ``None`` when all of it is there.

    Raises:
        StoreAway: The file could not be read.
        TelegramAway: The line is gone.

    Cancellation: what was acknowledged stands in ``file``.
    """
    line = connection.upload(file)
    missing = [number for number in range(file.parts) if number not in file.acknowledged]
    if missing:
        async with (
            source.read(missing[0] * PART_BYTES) as pieces,
            aclosing(_parts(pulse, pieces, missing[0], limits.media_s)) as parts,
        ):
            async for number, data in parts:
                if number in file.acknowledged:
                    continue
                said = await _insist(pulse, limits.media_s, file, partial(line.send, number, data))
                if said is not None:
                    return said
    return await _insist(pulse, limits.media_s, file, line.finish)


async def _parts(
    pulse: Pulse, pieces: AsyncIterator[bytes], first: int, media_s: float
) -> AsyncGenerator[tuple[int, bytes]]:
    """Pieces of any length, as parts of the length that Telegram wants, with their numbers."""
    number, held = first, bytearray()
    while (piece := await within(pulse, "files.read", media_s, lambda: anext(pieces, None))) is not None:
        held += piece
        while len(held) >= PART_BYTES:
            yield number, bytes(held[:PART_BYTES])
            del held[:PART_BYTES]
            number += 1
    if held:
        yield number, bytes(held)


async def _insist(
    pulse: Pulse,
    media_s: float,
    file: PartialUpload,
    call: Callable[[], Awaitable[Deferred | Refused | None]],
) -> Deferred | Refused | Stuck | None:
    """Call until it is done: again after short waits, and where something moved before the deadline."""
    limit_s = media_s
    while True:
        said: Deferred | Refused | None = None
        with pulse.deadline("telegram.upload", limit_s) as deadline:
            said = await call()
        if deadline.expired:
            limit_s = file.moved_at_s + media_s - trio.current_time()
            if limit_s <= 0:
                return Stuck(f"nothing of it moved for {media_s:g} s")
        elif isinstance(said, Deferred) and said.retry_after_s <= LONGEST_WAIT_S:
            await trio.sleep(said.retry_after_s)
            limit_s = media_s
        else:
            return said
