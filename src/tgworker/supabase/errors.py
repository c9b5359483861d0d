"""What httpx raises and PostgREST answers, in the words of the messaging core. One table each."""

import json
import re
from typing import Any, Final, cast

import httpx

from tgworker.messaging.errors import StoreAway, StoreRefused

#: Errors of the line, most special first. What is not here (`httpx.LocalProtocolError`,
#: `httpx.UnsupportedProtocol`, …) is a bug of ours and passes.
_LINE: Final[tuple[tuple[type[httpx.TransportError], str], ...]] = (
    (httpx.ConnectTimeout, "cannot be reached in time"),
    (httpx.PoolTimeout, "had no free connection: the connections were replaced"),
    (httpx.TimeoutException, "does not answer in time"),
    (httpx.ConnectError, "cannot be reached"),
    (httpx.ProxyError, "cannot be reached through the proxy"),
    (httpx.NetworkError, "broke the connection"),
    (httpx.RemoteProtocolError, "broke off its answer"),
)

#: Answers that may be different next time without anybody's doing (RFC 9110; 429: RFC 6585). So are all 5xx:
#: PostgREST says 503 while PostgreSQL is down and 500 at a statement timeout.
_TEMPORARY: Final = frozenset({408, 425, 429})

_RIGHT_KEY: Final = "put the project's service_role or sb_secret_… key into SUPABASE_SERVICE_ROLE_KEY"
_REMEDIES: Final = {
    401: f"refuses the key: {_RIGHT_KEY}",
    403: f"does not let this key write: {_RIGHT_KEY}",
    404: "has no such table: create it, or correct SUPABASE_URL",
}
_OTHER_REMEDY: Final = "does not take it: compare the table's columns with the plan's"
_REDIRECT_REMEDY: Final = "sends elsewhere: put the project's own URL into SUPABASE_URL"


def away_by(error: httpx.TransportError, what: str) -> StoreAway | None:
    """The outage that an error of the line means; ``None`` for what is no outage.

    Args:
        error: What httpx raised.
        what: What does not answer, for people: ``Supabase (worker_heartbeats)``.
    """
    for kind, words in _LINE:
        if isinstance(error, kind):
            return StoreAway(f"{what} {words}")
    return None


def refusal_of(response: httpx.Response, what: str) -> StoreAway | None:
    """What an answer means that is not "done"; ``None`` for one that is.

    Args:
        response: The answer, read.
        what: Who answered, for people.
    """
    status = response.status_code
    if 200 <= status < 300:
        return None
    said = f"{what} answered {status}{_postgrest_code(response)}: it"
    if status >= 500 or status in _TEMPORARY:
        return StoreAway(f"{said} cannot just now")
    if status < 400:
        return StoreRefused(f"{said} {_REDIRECT_REMEDY}")
    return StoreRefused(f"{said} {_REMEDIES.get(status, _OTHER_REMEDY)}")


def _postgrest_code(response: httpx.Response) -> str:
    """PostgREST's or PostgreSQL's error code. Nothing else of the body: it may quote what was sent."""
    try:
        body: object = json.loads(response.content)
    except (ValueError, RecursionError):
        return ""
    code = cast("dict[str, Any]", body).get("code") if isinstance(body, dict) else None
    return f" {code}" if isinstance(code, str) and re.fullmatch(r"[A-Z0-9]{5,10}", code) else ""
