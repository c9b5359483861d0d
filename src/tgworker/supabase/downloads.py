"""What comes down: an object's bytes, each once and in order, whatever breaks on the way."""

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

import httpx
import trio

from tgworker.messaging.errors import StoreAway, StoreRefused
from tgworker.messaging.file_store import ObjectChanged, ObjectMissing
from tgworker.messaging.places import Place
from tgworker.supabase.addresses import quoted
from tgworker.supabase.clients import CLOSE_S
from tgworker.supabase.errors import away_by
from tgworker.supabase.stall import Stall
from tgworker.supabase.storage_errors import No, Refusal, Thing
from tgworker.supabase.storage_line import Stalled, StorageLine, Torn, unknown, what_of

STEADY_BYTES: Final = 64 * 1024
"""A try that brought so much was a good one: after it, pauses begin at their shortest again."""

PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0
"""Pauses between two tries are drawn up to a bound that doubles from the one to the other."""


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of an object an answer holds, from one byte to the object's end.

    Attributes:
        size: Of the whole object, in bytes.
        begin: The first byte that comes.
        etag: Which object it is, if that can be told to the byte.
    """

    size: int
    begin: int
    etag: str | None


def part_of(status: int, headers: Mapping[str, str]) -> Part | None:
    """Which part an answer holds; ``None``: none that is of use. A pure decision.

    Args:
        status: HTTP's, of an answer that is no refusal.
        headers: Its headers.
    """
    if headers.get("content-encoding", "identity") != "identity":
        return None
    etag: str | None = headers.get("etag", "")
    if not re.fullmatch(r'"[\x21\x23-\x7e]+"', etag or ""):  # none, or a weak one (RFC 9110, 8.8.1)
        etag = None
    length = headers.get("content-length", "")
    if not re.fullmatch(r"[0-9]{1,18}", length):
        return None
    if status == 200:
        return Part(int(length), 0, etag)
    named = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", headers.get("content-range", ""))
    if status != 206 or named is None:
        return None
    begin, last, size = map(int, named.groups())
    if last + 1 != size or begin + int(length) != size:
        return None
    return Part(size, begin, etag)


class Download:
    """An object on its way down; iterate over its pieces. Get one from `Storage.download`.

    It goes on by itself where a connection broke, from the next byte: on another connection, if need be after
    pauses, until nothing has come for too long. Time between two pieces, in which whoever iterates does
    something else, does not count; a connection that the other side closed meanwhile is replaced.

    Iterating raises `StoreAway` when nothing came for too long (one may iterate on, later: nothing is lost or
    repeated), `StoreRefused` when a person must act, and `ObjectChanged` when what is left would be another
    object's.

    Attributes:
        size: Of the whole object, in bytes.
        content_type: As it was uploaded. (HTML comes as ``text/plain``.)
        etag: Names this version of the object; ``None``: Storage does not say, and a connection that breaks
            ends the download.
    """

    def __init__(
        self, line: StorageLine, place: Place, *, media_s: float, begin: int, etag: str | None
    ) -> None:
        self.size = 0
        self.content_type = ""
        self.etag = etag
        self._line = line
        self._place = place
        self._call = f"download from {place.bucket}"
        self._media_s = media_s
        self._next = begin
        self._begun = False
        self._failures = 0
        self._brought = 0
        self._answer: _Answer | None = None

    async def open(self) -> None:
        """Ask for the object.

        Raises:
            ObjectMissing: There is none.
            ObjectChanged: It is not that of ``etag``, or ends before ``begin``.
            StoreAway: Storage is away.
        """
        stall = Stall(self._media_s)
        try:
            await self._ask(stall, final=False)
        except Torn:
            await self._ask(stall, final=True)

    def __aiter__(self) -> "Download":
        return self

    async def __anext__(self) -> bytes:
        """The next piece: not more than a connection's buffer holds."""
        stall = Stall(self._media_s)
        while True:
            try:
                if self._answer is None:
                    if self._next == self.size:
                        raise StopAsyncIteration
                    await self._ask(stall, final=self._failures > 0)
                assert self._answer is not None
                piece = await self._answer.next_piece(stall)
            except StoreRefused:
                raise
            except StoreAway as away:
                await self.close()
                await self._wait_after(away, stall)
                continue
            if piece is None:
                await self.close()
                if self._next != self.size:
                    raise unknown(self._call)
                continue
            self._next += len(piece)
            self._brought += len(piece)
            if self._brought >= STEADY_BYTES:
                self._failures = 0
            return piece

    async def close(self) -> None:
        """Let go of the connection; takes at most `clients.CLOSE_S`, also while being cancelled."""
        answer, self._answer = self._answer, None
        if answer is not None:
            await answer.close()

    async def _ask(self, stall: Stall, *, final: bool) -> None:
        headers: dict[str, str] = {}
        if self._next:
            headers["Range"] = f"bytes={self._next}-"
            if self.etag is not None:
                headers["If-Range"] = self.etag
        path = f"/object/{quoted(self._place)}"
        response = await self._line.send(
            self._call, "GET", path, headers=headers, stall=stall, stream=True, final=final
        )
        if isinstance(response, Refusal):
            raise self._refused(response)
        answer = _Answer(self._line, self._call, response)
        try:
            answer.skip = self._skipped(response)
        except BaseException:
            await answer.close()
            raise
        self._answer = answer
        self._brought = 0

    def _refused(self, refusal: Refusal) -> Exception:
        if refusal.no is No.RANGE:
            return ObjectChanged(f"{what_of(self._call)}: the object has become shorter")
        error = refusal.about(Thing.OBJECT).error(what_of(self._call))
        if isinstance(error, ObjectMissing) and self._begun:
            return ObjectChanged(f"{what_of(self._call)}: the object was removed while it was read")
        return error

    def _skipped(self, response: httpx.Response) -> int:
        """How many bytes of an answer are known already; learns what the object is, from the first answer."""
        part = part_of(response.status_code, response.headers)
        if part is None or part.begin > self._next:
            raise unknown(self._call)
        if self.etag not in (None, part.etag) or (self._begun and part.size != self.size):
            raise ObjectChanged(f"{what_of(self._call)}: the object was replaced while it was read")
        if part.size < self._next:
            raise ObjectChanged(f"{what_of(self._call)}: the object has become shorter")
        self._begun = True
        self.size, self.etag = part.size, part.etag
        self.content_type = response.headers.get("content-type", "application/octet-stream")
        return self._next - part.begin

    async def _wait_after(self, away: StoreAway, stall: Stall) -> None:
        if self.etag is None and self._next:
            # Nobody could tell whether the rest belongs to what was read.
            raise StoreAway(
                f"{what_of(self._call)} broke off, and its object has no name of its version: begin anew"
            ) from away
        if self._failures:
            longest_s = min(LONGEST_PAUSE_S, PAUSE_S * 2.0 ** min(self._failures, 10))
            with stall.watched():
                await self._line.pause(longest_s)
        self._failures += 1
        if stall.is_over:
            raise away


class _Answer:
    """What comes on one connection.

    Args:
        line: Hears of it when the connection breaks.
        call: What was asked.
        response: The answer.
    """

    def __init__(self, line: StorageLine, call: str, response: httpx.Response) -> None:
        self.skip = 0
        self._line = line
        self._call = call
        self._response = response
        self._pieces = cast("AsyncGenerator[bytes]", response.aiter_raw())
        self._begun_at = trio.current_time()

    async def next_piece(self, stall: Stall) -> bytes | None:
        """The next piece, without what is known already; ``None`` at the end of the answer."""
        while True:
            piece: bytes | None = None
            try:
                with stall.watched() as patience:
                    piece = await anext(self._pieces, None)
            except httpx.TransportError as error:
                away = away_by(error, what_of(self._call))
                if away is None:
                    raise
                self._broke(type(error).__name__)
                raise Torn(str(away)) from error
            if patience.cancelled_caught:
                self._broke("no progress before its deadline")
                raise Stalled(f"{what_of(self._call)} made no progress in time")
            if piece is None:
                return None
            stall.moved()
            known = min(self.skip, len(piece))
            self.skip -= known
            if piece := piece[known:]:
                return piece

    async def close(self) -> None:
        """Close the connection, unless all was read: then it is kept for the next request.

        httpx's generators inside of each other do not close each other; what they meet on a closed connection
        ends them all.
        """
        with trio.move_on_after(CLOSE_S, shield=True):
            await self._response.aclose()
            with suppress(httpx.TransportError, httpx.StreamError):
                async for _ in self._pieces:
                    pass

    def _broke(self, reason: str) -> None:
        self._line.note_failure(
            self._call, self._response.request.headers["X-Request-Id"], reason, self._begun_at
        )
