"""Files on their way to Telegram: parts over the account's line, a few at a time.

They go over the line that texts go over: see `tgworker.telegram.file_lines` for why there is no second one.
So little is on its way at a time that a text waits for no more than that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import trio
from telethon.errors import RPCError
from telethon.tl import functions, types

from tgworker.messaging.media import PartialUpload
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.telegram.client import AccountClient
from tgworker.telegram.rpc_errors import file_outcome

AT_ONCE = 4
"""Parts on their way: 2 MiB. More brought nothing over the loopback, and nearly fills a line of 300 Mbit/s
whose answers take 50 ms."""

BIG_BYTES = 10 * 1024 * 1024
"""Longer files are sent by another method (https://core.telegram.org/api/files#uploading-files)."""


class Cross(Protocol):
    """Runs an asyncio function in the account's loop; a line that is gone is `TelegramAway`."""

    def __call__(self, function_aio: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        """Run it, with these arguments."""
        ...


class LineUpload:
    """Fills `tgworker.messaging.media_ports.Upload`.

    What is on its way stands in the books of this object alone: whoever waits and is cancelled takes nothing
    of it along (mautrix lost its place in such a pool, and with it all downloads for 17 h).

    Args:
        client: A connected client.
        cross: Into its loop.
        file: How far the file is.
    """

    def __init__(self, client: AccountClient, cross: Cross, file: PartialUpload) -> None:
        self._client = client
        self._cross = cross
        self._file = file
        self._flying: dict[asyncio.Future[Any], tuple[int, bytes, int]] = {}
        self._again: dict[int, bytes] = {}
        self._waits = 0

    async def send(self, number: int, data: bytes) -> Deferred | Refused | None:
        """See the port."""
        said: Deferred | Refused | None = await self._cross(self._send_aio, number, data)
        return said

    async def finish(self) -> Deferred | Refused | None:
        """See the port."""
        said: Deferred | Refused | None = await self._cross(self._finish_aio)
        return said

    async def _send_aio(self, number: int, data: bytes) -> Deferred | Refused | None:
        while True:
            said = self._settled()
            if said is not None:
                return said
            while self._again and len(self._flying) < AT_ONCE:
                self._launch(*self._again.popitem())
            if len(self._flying) < AT_ONCE:
                self._launch(number, data)
                return None
            await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)

    async def _finish_aio(self) -> Deferred | Refused | None:
        while True:
            said = self._settled()
            if said is not None:
                return said
            while self._again and len(self._flying) < AT_ONCE:
                self._launch(*self._again.popitem())
            if not self._flying:
                return None
            await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)

    def _launch(self, number: int, data: bytes) -> None:
        file = self._file
        request: Any
        if file.size > BIG_BYTES:
            request = functions.upload.SaveBigFilePartRequest(file.file_id, number, file.parts, data)
        else:
            request = functions.upload.SaveFilePartRequest(file.file_id, number, data)
        self._flying[self._client._sender.send(request)] = (number, data, self._waits)

    def _settled(self) -> Deferred | Refused | None:
        """Take note of the parts whose answers are there; the worst that was said.

        Raises:
            LineLost: The line is gone.
            RPCError: The account itself was refused.
        """
        worst: Deferred | Refused | None = None
        for future in [future for future in self._flying if future.done()]:
            number, data, waits = self._flying.pop(future)
            if future.cancelled():
                self._again[number] = data
                continue
            error = future.exception()
            if error is None:
                self._file.acknowledge(number, trio.current_time())
            elif isinstance(error, RPCError):
                self._client.hear_refusal(error)
                self._again[number] = data
                said = file_outcome(error)
                if isinstance(said, Refused) or (worst is None and waits == self._waits):
                    worst = said
            else:
                raise error
        self._waits += isinstance(worst, Deferred)
        return worst


def input_file(file: PartialUpload) -> Any:
    """A file that is there, as messages name it."""
    if file.size > BIG_BYTES:
        return types.InputFileBig(file.file_id, file.parts, file.file_name)
    return types.InputFile(file.file_id, file.parts, file.file_name, md5_checksum="")
