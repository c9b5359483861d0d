"""A file on its way from Telegram to this machine's disk: resumed where it stopped."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import trio

from tgworker.messaging.incoming_files import FetchLater, NotFetched
from tgworker.messaging.limits import Limits
from tgworker.messaging.media import LONGEST_WAIT_S
from tgworker.messaging.media_ports import MediaConnection, ReferenceExpired, RemoteFile
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.messaging.ports import Pulse

AGAIN_S = 30.0
"""After nothing came for too long."""

Ending = FetchLater | NotFetched | ReferenceExpired | None
"""Why a download ended; ``None``: the whole file came."""


async def download_to(
    pulse: Pulse, file: RemoteFile, path: trio.Path, connection: MediaConnection, limits: Limits
) -> Ending:
    """Bring a file to the disk, or what is missing of it there.

    Args:
        pulse: The fetcher's.
        file: As Telegram has it.
        path: Where it goes; what is there is its beginning.
        connection: The account's line.
        limits: ``media_s`` without progress ends it.

    Raises:
        TelegramAway: The line is gone.

    Cancellation: what came is on the disk.
    """
    size = file.facts.size
    async with await trio.open_file(path, "ab") as out:
        came = await out.seek(0, 2)
        if came > size:
            came = await out.truncate(0)
        if came == size:
            return None
        async with (
            connection.download(file, begin=came) as pieces,
            aclosing(_arriving(pulse, pieces, limits.media_s)) as arriving,
        ):
            async for piece in arriving:
                if not isinstance(piece, bytes):
                    return piece
                came += await out.write(piece)
    return None if came == size else FetchLater(AGAIN_S, f"Telegram sent {came} of {size} bytes")


async def download(
    pulse: Pulse, file: RemoteFile, most: int, connection: MediaConnection, limits: Limits
) -> bytes | FetchLater | NotFetched | ReferenceExpired:
    """A small file, whose size Telegram does not say, in memory.

    Args:
        pulse: The fetcher's.
        file: As Telegram has it.
        most: One that is longer is not taken, bytes.
        connection: The account's line.
        limits: ``media_s`` without progress ends it.

    Raises:
        TelegramAway: The line is gone.
    """
    came = bytearray()
    async with (
        connection.download(file) as pieces,
        aclosing(_arriving(pulse, pieces, limits.media_s)) as arriving,
    ):
        async for piece in arriving:
            if not isinstance(piece, bytes):
                return piece
            came += piece
            if len(came) > most:
                return NotFetched(f"it is longer than {most} bytes")
    return bytes(came)


async def _arriving(
    pulse: Pulse, pieces: AsyncIterator[bytes | Deferred | ReferenceExpired | Refused], media_s: float
) -> AsyncGenerator[bytes | FetchLater | NotFetched | ReferenceExpired]:
    """Pieces as they come, short waits waited for; anything but bytes is the end."""
    while True:
        piece: bytes | Deferred | ReferenceExpired | Refused | None = None
        with pulse.deadline("telegram.download", media_s) as deadline:
            piece = await anext(pieces, None)
        if deadline.expired:
            yield FetchLater(AGAIN_S, f"nothing came for {media_s:g} s")
            return
        match piece:
            case None:
                return
            case bytes() | ReferenceExpired():
                yield piece
            case Refused():
                yield NotFetched(piece.reason)
            case Deferred() if piece.retry_after_s <= LONGEST_WAIT_S:
                await trio.sleep(piece.retry_after_s)
            case Deferred():
                yield FetchLater(piece.retry_after_s, piece.reason, counts=False)
