"""Files on their way from Telegram: pieces in order, a few asked for ahead."""

import asyncio
import re
from collections import deque
from typing import Any

from telethon.errors import RPCError
from telethon.tl import functions, types

from tgworker.messaging.media_ports import ReferenceExpired, RemoteFile
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.telegram.books import LineLost
from tgworker.telegram.file_facts import Location
from tgworker.telegram.file_lines import FileLines
from tgworker.telegram.rpc_errors import error_name, file_outcome
from tgworker.telegram.uploading import Cross

PIECE_BYTES = 512 * 1024
"""What is asked for at a time; Telegram gives up to 1 MiB, from multiples of 4 KiB on
(https://core.telegram.org/api/files#downloading-files)."""

AHEAD = 4
"""So many pieces are asked for at a time."""

MOST_MOVES = 3
"""So often Telegram may send a reader to another data centre."""

FAR_AGAIN_S = 5.0
"""The line to another data centre was lost: a new one is made after this."""


class LineDownload:
    """An iterator over a file, as `tgworker.messaging.media_ports.MediaConnection.download` wants it.

    Args:
        lines: To where files lie.
        cross: Into the account's loop.
        file: Which.
        begin: The first byte that is wanted.
    """

    def __init__(self, lines: FileLines, cross: Cross, file: RemoteFile, begin: int) -> None:
        self._lines = lines
        self._cross = cross
        location = file.handle
        assert isinstance(location, Location)
        self._location = location.location
        self._dc_id = location.dc_id
        self._size = file.facts.size or None
        self._next = begin - begin % PIECE_BYTES
        self._skip = begin % PIECE_BYTES
        self._asked: deque[tuple[int, asyncio.Future[Any] | None, int]] = deque()
        self._waits = 0
        self._moves = 0
        self._line: Any = None
        self._over = False

    def __aiter__(self) -> "LineDownload":
        return self

    async def __anext__(self) -> bytes | Deferred | ReferenceExpired | Refused:
        """The next piece, or why there is none now."""
        if self._over:
            raise StopAsyncIteration
        piece: bytes | Deferred | ReferenceExpired | Refused | None = await self._cross(self._next_aio)
        if piece is None or isinstance(piece, ReferenceExpired | Refused):
            self._over = True
        if piece is None:
            raise StopAsyncIteration
        return piece

    def forget(self) -> None:
        """Nobody wants what is on its way."""
        self._over = True
        self._cancel()
        self._asked.clear()

    async def _next_aio(self) -> bytes | Deferred | ReferenceExpired | Refused | None:
        try:
            return await self._get_aio()
        except LineLost as lost:
            if self._lines.is_home(self._dc_id):
                raise
            reason = str(lost)
        except RPCError as error:  # that line's login is worth nothing: the account's own may well be
            if self._lines.is_home(self._dc_id):
                raise
            reason = error_name(error)
        self._lines.drop(self._dc_id, self._line)
        self._start_over_at(self._dc_id)
        return Deferred(FAR_AGAIN_S, f"data centre {self._dc_id}: {reason}")

    async def _get_aio(self) -> bytes | Deferred | ReferenceExpired | Refused | None:
        while True:
            self._line = await self._lines.line_aio(self._dc_id)
            self._ask_ahead(self._line)
            if not self._asked:
                return None
            offset, future, waits = self._asked[0]
            assert future is not None
            await asyncio.wait((future,))
            if future.cancelled():
                self._asked[0] = (offset, None, self._waits)
                continue
            error = future.exception()
            if isinstance(error, RPCError):
                self._asked[0] = (offset, None, self._waits)
                said = self._said(error, is_old=waits < self._waits)
                if said is None:
                    continue
                return said
            if error is not None:
                raise error
            self._asked.popleft()
            return self._taken(offset, future.result())

    def _said(self, error: RPCError, *, is_old: bool) -> Deferred | ReferenceExpired | Refused | None:
        """What an error says; ``None``: to ask again, at once.

        Raises:
            RPCError: The account itself was refused, or the key that it has there.
        """
        self._lines.hear_refusal(self._dc_id, error)
        name = error_name(error)
        moved = re.fullmatch(r"FILE_MIGRATE_(\d+)", name)
        if moved is not None:
            self._moves += 1
            if self._moves > MOST_MOVES:
                return Refused(name)
            self._start_over_at(int(moved[1]))
            return None
        if name.startswith("FILE_REFERENCE_"):
            return ReferenceExpired()
        said = file_outcome(error)
        if isinstance(said, Deferred):
            if is_old:  # asked before the last wait: that one is over
                return None
            self._waits += 1
        return said

    def _taken(self, offset: int, answer: Any) -> bytes | Refused | None:
        if not isinstance(answer, types.upload.File):
            return Refused("FILE_CDN_REDIRECT")  # it comes only to who says that it can do that
        data: bytes = answer.bytes
        if len(data) < PIECE_BYTES:  # the end, whatever its size was said to be
            self._size = offset + len(data)
            self._cancel()
            self._asked.clear()
        skip, self._skip = self._skip, 0
        return data[skip:] or None

    def _ask_ahead(self, sender: Any) -> None:
        for index, (offset, future, _) in enumerate(self._asked):
            if future is None:
                self._asked[index] = (offset, self._ask(sender, offset), self._waits)
        while len(self._asked) < AHEAD and (self._size is None or self._next < self._size):
            if self._size is None and self._asked:
                return  # how long it is, is not known: one after the other
            self._asked.append((self._next, self._ask(sender, self._next), self._waits))
            self._next += PIECE_BYTES

    def _ask(self, sender: Any, offset: int) -> "asyncio.Future[Any]":
        request = functions.upload.GetFileRequest(self._location, offset, PIECE_BYTES)
        answer: asyncio.Future[Any] = sender.send(request)
        return answer

    def _start_over_at(self, dc_id: int) -> None:
        self._dc_id = dc_id
        self._cancel()
        for index, (offset, _, _) in enumerate(self._asked):
            self._asked[index] = (offset, None, self._waits)

    def _cancel(self) -> None:
        for _, future, _ in self._asked:
            if future is not None:
                future.cancel()
