"""The status server's answers, as an ASGI application without a framework: a handful of paths.

| path | answers | who may ask |
|---|---|---|
| ``/healthz``, ``/readyz``, ``/startupz`` | 200 or 503, and why | everybody |
| ``/status`` | what ``tgworker status --json`` shows | who has the token; without one, this machine |
| ``/metrics`` | Prometheus' text format | the same |
"""

import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, final

from tgworker.messaging.models import Secret
from tgworker.operations.probes import Verdict, WorkerFacts, alive, ready, started

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PROBES: Final[Mapping[str, Callable[[WorkerFacts], Verdict]]] = {
    "/healthz": alive,
    "/readyz": ready,
    "/startupz": started,
}
DETAILS: Final = "/status"
METRICS: Final = "/metrics"
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@final
@dataclass(frozen=True, slots=True)
class Request:
    """What matters of a request.

    Attributes:
        method: ``GET``.
        path: Without its query.
        authorization: The header of that name; empty if there is none.
        host: The header of that name; empty if there is none.
    """

    method: str
    path: str
    authorization: str = ""
    host: str = ""


@final
@dataclass(frozen=True, slots=True)
class Response:
    """What is answered.

    Attributes:
        status: HTTP's.
        body: JSON-ready, or the bytes themselves; these name their type in ``headers``.
        headers: Beside length, and the type of JSON.
    """

    status: int
    body: Mapping[str, Any] | bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@final
@dataclass(frozen=True, slots=True)
class StatusApp:
    """The application.

    Attributes:
        facts: The worker as it is now.
        details: What ``/status`` shows; ``None`` while there is no worker to describe.
        metrics: What ``/metrics`` shows, also while there is no worker.
        token: What these two ask for; ``None``: nothing, and then `open_to_all` must not be.
        open_to_all: Whether others than this machine can reach the server.
        failed: Told what goes wrong inside an answer.
    """

    facts: Callable[[], WorkerFacts]
    details: Callable[[], Mapping[str, Any] | None]
    metrics: Callable[[], bytes]
    token: Callable[[], Secret | None]
    open_to_all: bool
    failed: Callable[[Exception], object]

    async def __call__(self, scope: Mapping[str, Any], _receive: Receive, send: Send) -> None:
        """Answer one request (the ASGI specification, version 3)."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            return
        request = _request(scope)
        try:
            response = self.answer(request)
            body = _encoded(response.body)
        except Exception as error:  # noqa: BLE001 - an answer that fails must not end the server
            self.failed(error)
            response = Response(500, {})
            body = b'{"error": "the worker cannot answer that just now: its log says why"}\n'
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "cache-control": "no-store",
            **response.headers,
        }
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})

    def answer(self, request: Request) -> Response:
        """What is answered; nothing is waited for."""
        if request.method not in {"GET", "HEAD"}:
            return Response(405, {"error": "only GET and HEAD are answered"}, {"allow": "GET, HEAD"})
        probe = PROBES.get(request.path)
        if probe is not None:
            verdict = probe(self.facts())
            return Response(200 if verdict.ok else 503, verdict.body)
        refusal = refused(request, self.token(), open_to_all=self.open_to_all)
        if refusal is not None:
            return refusal
        if request.path == METRICS:
            return Response(200, self.metrics(), {"content-type": METRICS_TYPE})
        if request.path != DETAILS:
            return Response(404, {"error": f"there is {', '.join([*PROBES, DETAILS, METRICS])}"})
        details = self.details()
        if details is None:
            return Response(503, {"error": "the worker has not started yet"})
        return Response(200, details)


def refused(request: Request, token: Secret | None, *, open_to_all: bool) -> Response | None:
    """Why a request may not see details; ``None`` if it may.

    Without a token, details are for this machine alone: by where the server listens, and by whom a browser
    believes to talk to. A page from elsewhere, whose name suddenly stands for 127.0.0.1, would else read
    along ("DNS rebinding").

    Args:
        request: Who asks.
        token: What is asked for; ``None``: nothing.
        open_to_all: Whether others than this machine can reach the server.
    """
    if token is not None:
        scheme, _, given = request.authorization.partition(" ")
        known = hmac.compare_digest(given.strip().encode(), token.value.encode())
        if scheme.lower() == "bearer" and known:
            return None
        return Response(
            401,
            {"error": "send TGWORKER_STATUS_TOKEN as: Authorization: Bearer …"},
            {"www-authenticate": "Bearer"},
        )
    if open_to_all or not _is_here(request.host):
        return Response(
            403, {"error": "set TGWORKER_STATUS_TOKEN to see more than the probes from elsewhere"}
        )
    return None


def _encoded(body: Mapping[str, Any] | bytes) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body, default=str).encode() + b"\n"


def _is_here(host: str) -> bool:
    """Whether a Host header names this machine by an address, or as localhost."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _request(scope: Mapping[str, Any]) -> Request:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(
        method=scope["method"],
        path=scope["path"],
        authorization=headers.get("authorization", ""),
        host=headers.get("host", ""),
    )
