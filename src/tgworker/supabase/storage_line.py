"""Requests to Storage: connections of their own, one try at a time, and what each try said."""

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from enum import Enum
from random import Random
from typing import Final

import httpx
import trio

from tgworker.messaging.errors import StoreAway, StoreRefused
from tgworker.messaging.models import Secret
from tgworker.supabase.circuit import Circuit
from tgworker.supabase.clients import POOL_S, TORN, WholeBody, close_client, new_client
from tgworker.supabase.errors import away_by
from tgworker.supabase.events import Observer, RequestFailed
from tgworker.supabase.stall import Stall
from tgworker.supabase.storage_errors import No, Refusal, Thing, refusal_of

CONNECT_S: Final = 10.0
"""How long a connection may take to be made."""

ASK_S: Final = 10.0
"""How long a request that carries no file may take, as any call to the database."""

MAX_ASKING: Final = 2
"""How many requests that carry no file run at a time."""


class Way(Enum):
    """What a connection is for."""

    UP = "up"
    DOWN = "down"
    ASK = "ask"


class Torn(StoreAway):
    """The connection broke under a request: at once again it may go well."""


class Stalled(StoreAway):
    """Nothing moved for too long."""


class StorageLine:
    """One project's Storage, as far as HTTP goes.

    Files have connections and a circuit of their own: a file of an hour keeps no call to the database
    waiting, and either service may be away without the other.

    Args:
        url: The project's URL.
        key: Its key.
        max_transfers: How many files are on their way at a time, in each direction.
        rng: Request ids, jitter.
        observer: Hears of every try that failed.
        transport: In place of the network, for tests.
    """

    def __init__(
        self,
        url: str,
        key: Secret,
        *,
        max_transfers: int,
        rng: Random,
        observer: Observer,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self.url = url
        self._key = key
        # httpcore#1093: see `Rest`. Each way has its own, so that who reads one object in order to write
        # another, or looks at a bucket meanwhile, waits for nobody who waits for him.
        places = {Way.UP: max_transfers, Way.DOWN: max_transfers, Way.ASK: MAX_ASKING}
        self._limiters = {way: trio.CapacityLimiter(number) for way, number in places.items()}
        self._max_connections = sum(places.values())
        self._rng = rng
        self._observer = observer
        self._transport = transport
        self._circuit = Circuit(rng)
        self._client = self._new_client()

    def connection(self, call: str, way: Way) -> AbstractAsyncContextManager[object]:
        """The right to one connection, for as long as the context; waits for its turn.

        A task may have one of each way.

        Args:
            call: Who wants it, for people: ``upload to files``.
            way: What it is for.

        Raises:
            StoreAway: Storage is known to be away.
        """
        self._circuit.check(what_of(call))  # before it waits
        return self._limiters[way]

    @property
    def is_away(self) -> bool:
        """Whether Storage is taken for away: the next request finds out, and should be a small one."""
        return self._circuit.is_open

    async def pause(self, longest_s: float) -> None:
        """Wait a while before the next try.

        Args:
            longest_s: At most, seconds; how long is drawn.
        """
        await trio.sleep(self._rng.uniform(0, longest_s))

    def note_failure(self, call: str, request_id: str, reason: str, started_at: float) -> None:
        """Tell the observer that a try failed.

        Args:
            call: What it was for.
            request_id: Its id.
            reason: What came instead of its end.
            started_at: When it began, on trio's clock.
        """
        duration_s = trio.current_time() - started_at
        self._observer(RequestFailed(request_id, f"storage: {call}", reason, duration_s))

    async def send(
        self,
        call: str,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        stall: Stall,
        body: httpx.AsyncByteStream | None = None,
        stream: bool = False,
        final: bool = False,
        carries_file: bool = False,
    ) -> httpx.Response | Refusal:
        """Try once. Whoever calls this has the right to a `connection`.

        Args:
            call: What it is for, for people; holds no path of an object.
            method: HTTP's.
            path: What follows ``/storage/v1``, quoted.
            headers: Further ones.
            stall: Patience with it.
            body: What is sent.
            stream: Whether the body of an answer that is no refusal is left to the caller, to be closed.
            final: Whether there is no next try: a connection that breaks then means that Storage is away.
            carries_file: Whether silence says nothing about Storage: what becomes of a file that it does not
                want may look like that, and something small should be asked next.

        Raises:
            Torn: The connection broke; it may have been carried out.
            Stalled: Nothing moved for too long.
            StoreAway: Nobody answered.

        Cancellation: it may be carried out or not; the connection is closed.
        """
        what = what_of(call)
        request_id = f"{self._rng.getrandbits(64):016x}"
        with self._circuit.turn(what) as turn:
            started_at = trio.current_time()

            def failed(reason: str) -> None:
                self.note_failure(call, request_id, reason, started_at)

            client = self._client
            request = client.build_request(
                method,
                f"/storage/v1{path}",
                headers={"Accept-Encoding": "identity", "X-Request-Id": request_id, **headers},
            )
            request.stream = WholeBody(b"") if body is None else body
            try:
                with stall.watched() as patience:
                    response = await client.send(request, stream=True)
                    if not (stream and response.is_success):
                        await response.aread()
            except httpx.PoolTimeout:
                failed("PoolTimeout")
                await self._replace(client)
                raise Torn(f"{what} had no free connection: the connections were replaced") from None
            except httpx.TransportError as error:
                failed(type(error).__name__)
                away = away_by(error, what)
                if away is None:
                    raise
                if isinstance(error, TORN) and not final:
                    raise Torn(str(away)) from error
                turn.away()
                raise away from error
            if patience.cancelled_caught:
                if not carries_file:
                    turn.away()
                failed("no progress before its deadline")
                raise Stalled(f"{what} made no progress in time")
            refusal = refusal_of(response)
            if refusal is None:
                turn.answered()
                return response
            if refusal.no is No.AWAY:
                turn.away()
            else:
                turn.answered()
            failed(f"{refusal.text} {refusal.no.value}")
            return refusal

    async def ask(
        self, call: str, method: str, path: str, arguments: object = None, *, about: Thing = Thing.BUCKET
    ) -> object:
        """Ask something that carries no file and is safe to repeat; returns the JSON that is answered.

        Args:
            call: As for `send`, like the rest.
            method: HTTP's.
            path: What follows ``/storage/v1``.
            arguments: Sent as JSON; ``None``: nothing is.
            about: What is missing if that is the answer.

        Raises:
            StoreAway: Nobody answered, or not now (`StoreRefused`: a person must act).
            ObjectMissing: There is no such object.
            RequestBroken: A bug.
        """
        async with self.connection(call, Way.ASK):
            answer = await self._ask(call, method, path, arguments)
        if isinstance(answer, Refusal):
            raise answer.about(about).error(what_of(call))
        try:
            return answer.json()
        except ValueError:
            raise unknown(call) from None

    async def _ask(self, call: str, method: str, path: str, arguments: object) -> httpx.Response | Refusal:
        content = b"" if arguments is None else json.dumps(arguments).encode()
        headers = {} if arguments is None else {"Content-Type": "application/json"}
        stall = Stall(ASK_S)

        async def send(*, final: bool) -> httpx.Response | Refusal:
            return await self.send(
                call,
                method,
                path,
                headers={**headers, "Content-Length": str(len(content))},
                stall=stall,
                body=WholeBody(content),
                final=final,
            )

        try:
            return await send(final=False)
        except Torn:  # an upload that was refused, for one, ends the connection under the next request
            return await send(final=True)

    async def close(self) -> None:
        """Close the connections; takes at most `clients.CLOSE_S`, also while being cancelled."""
        await close_client(self._client)

    async def _replace(self, broken: httpx.AsyncClient) -> None:
        """Go on with a new client; what still runs on the broken one tears, and is tried again."""
        if self._client is broken:  # and not another task's work already
            self._client = self._new_client()
            await close_client(broken)

    def _new_client(self) -> httpx.AsyncClient:
        return new_client(
            self.url,
            self._key,
            max_connections=self._max_connections,
            timeout=httpx.Timeout(None, connect=CONNECT_S, pool=POOL_S),  # all else is `Stall`'s
            transport=self._transport,
        )


def what_of(call: str) -> str:
    """Who answers, for people.

    Args:
        call: What is asked: ``upload to files``.
    """
    return f"Supabase Storage ({call})"


def unknown(call: str) -> StoreRefused:
    """The answer makes no sense.

    Args:
        call: What was asked.
    """
    return StoreRefused(
        f"{what_of(call)} answered what this program does not know: put the project's own URL into "
        "SUPABASE_URL, or upgrade"
    )
