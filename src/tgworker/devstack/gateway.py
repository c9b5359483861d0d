"""One port in front of it all, as Supabase's gateway: keys are checked and changed, paths handed out."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qs

import h11
import trio

from tgworker.devstack.breaking import carry_out_under
from tgworker.devstack.exchange import PER_HOP, Answer, Cut, Exchange, Refused, Request, reply
from tgworker.devstack.faults import Faults
from tgworker.devstack.keys import Keys, claims_of
from tgworker.devstack.storage import Storage
from tgworker.devstack.upstream import Upstream

REST = "/rest/v1"
STORAGE = "/storage/v1"
MAX_REST_BODY_BYTES = 64 * 1024 * 1024
"""Of one request to PostgREST, which is held in memory, as Supabase's gateway does; files go to Storage."""

_OURS = PER_HOP | {b"authorization", b"content-length", b"expect", b"host"}
"""Headers that PostgREST gets from the gateway, if at all."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """What one port offers.

    Attributes:
        rest: PostgREST.
        storage: The stand-in for Storage.
        keys: The project's keys.
        faults: What goes wrong.
    """

    rest: Upstream
    storage: Storage
    keys: Keys
    faults: Faults

    async def carry_out(self, request: Request, answer: Answer) -> None:
        """Carry a request out, and answer it.

        Raises:
            Refused: With the answer that it gets instead.
            Cut: The answer broke off.
        """
        if request.path.startswith(f"{REST}/"):
            headers = [(name, value) for name, value in request.headers if name not in _OURS]
            token = self._project_token(request)
            if token:
                headers.append((b"authorization", f"Bearer {token}".encode()))
            body = await request.read(MAX_REST_BODY_BYTES)
            await self.rest.relay(request.method, request.target.removeprefix(REST), headers, body, answer)
        elif request.path.startswith(f"{STORAGE}/"):
            claims = claims_of(self._token(request), now=time.time())
            role = None if claims is None else str(claims.get("role"))
            await self.storage.carry_out(request, request.path.removeprefix(STORAGE), role, answer)
        else:
            raise Refused(404, {"message": "no Route matched with those values"})

    def _project_token(self, request: Request) -> str:
        """The JWT for a request with one of the project's keys.

        Raises:
            Refused: It has no key, or another one.
        """
        key = _key(request)
        if not key:
            hint = "No `apikey` request header or url param was found."
            raise Refused(401, {"message": "No API key found in request", "hint": hint})
        if self.keys.jwt_for(key) is None:
            hint = "Double check your Supabase `anon` or `service_role` API key."
            raise Refused(401, {"message": "Invalid API key", "hint": hint})
        return self._token(request)

    def _token(self, request: Request) -> str:
        """The JWT that a request acts with; empty: it has none, and is ``anon``.

        A JWT as ``apikey`` gives no rights: those come from ``Authorization``. An opaque key does, in either
        place: the gateway puts the JWT that it stands for there.
        """
        scheme, _, given = request.header("authorization").partition(" ")
        given = given.strip() if scheme.lower() == "bearer" else ""
        key = given or _key(request)
        return (self.keys.jwt_for(key) or "") if key.startswith("sb_") else given


def _key(request: Request) -> str:
    return request.header("apikey") or parse_qs(request.query).get("apikey", [""])[0]


async def serve_client(
    gateway: Gateway, gate: Callable[[], Awaitable[None]], stream: trio.SocketStream
) -> None:
    """Serve one client's connection until it ends.

    Args:
        gateway: What it is served.
        gate: Awaited before each byte that goes in or out.
        stream: The connection; it is closed when this returns.

    Cancellation: what PostgREST was asked for may be carried out.
    """
    exchange = Exchange(stream, gate)
    async with stream:
        try:
            while (request := await exchange.next_request()) is not None:
                fault = gateway.faults.on_request(request.method, request.path)
                try:
                    await carry_out_under(fault, exchange, partial(gateway.carry_out, request))
                except Refused as refusal:
                    await reply(exchange, refusal.status, refusal.value, refusal.headers)
        except Cut as cut:
            if cut.reset:
                exchange.reset()
        except h11.RemoteProtocolError:
            await exchange.complain()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the client is gone
