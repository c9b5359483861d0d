"""What httpx raises and PostgREST answers, in the words of the messaging core. One table each.

::

    StoreAway (messaging)
     └ StoreRefused (messaging)   a person must act; asked again, and well by itself once somebody has
        ├ KeyRefused              the key is wrong, has expired, or is not the service role's
        └ SchemaDiffers           a table or function is not there as this program knows it
    RpcRaised                     the function itself said no, and which no: the caller knows what it means
    RequestBroken                 the database did not understand what we sent: a bug of ours
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, assert_never, cast

import httpx

from tgworker.messaging.errors import StoreAway, StoreRefused


class KeyRefused(StoreRefused):
    """Supabase does not let this key do it. Remedy: the right ``SUPABASE_SERVICE_ROLE_KEY``."""


class SchemaDiffers(StoreRefused):
    """The database has another schema than this program. Remedy: ``tgworker migrate``, or upgrade."""


class RpcRaised(Exception):
    """A function of ours refused its arguments, by name (``tgworker_fail`` in the migrations).

    Args:
        case: Which no it is: ``lease_lost``, ``name_taken``, …
        message: One line for people.
    """

    def __init__(self, case: str, message: str) -> None:
        super().__init__(message)
        self.case = case


class RequestBroken(Exception):
    """PostgREST or PostgreSQL could not make sense of a request. A bug: report it with the line above it."""


class Meaning(Enum):
    """What an answer that is not "done" means for who asked."""

    AGAIN = "retry now"
    LATER = "retry later: this request, not the database"
    AWAY = "retry later: the database is not there"
    RULED_OUT = "a rule of the application's own refuses it"
    RAISED = "a function of ours refuses it"
    FORBIDDEN = "not allowed"
    MISMATCH = "schema mismatch"
    ELSEWHERE = "nobody of ours answered"
    BROKEN = "broken request"


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

#: The table: the longest beginning of an error's code that stands here decides; else `_BY_STATUS`.
#: https://docs.postgrest.org/en/v12/references/errors.html and PostgreSQL's appendix A.
_BY_CODE: Final[Mapping[str, Meaning]] = {
    # PostgREST: 0xx the connection, 1xx the request, 2xx the schema, 3xx the key.
    "PGRST00": Meaning.AWAY,  # no connection, none any more, no schema read yet
    "PGRST003": Meaning.LATER,  # its pool had no free connection in time
    "PGRST1": Meaning.BROKEN,
    "PGRST106": Meaning.MISMATCH,  # the schema `public` is not exposed
    "PGRST2": Meaning.MISMATCH,
    "PGRST3": Meaning.FORBIDDEN,
    "PGRSTX": Meaning.LATER,  # its own bug
    "PT": Meaning.RAISED,
    # PostgreSQL, by class.
    "08": Meaning.AGAIN,  # the connection broke: the pool makes a new one
    "22": Meaning.BROKEN,
    "23": Meaning.RULED_OUT,
    "23505": Meaning.AGAIN,  # two made the same row at once: the next time it is there
    "25006": Meaning.LATER,  # read-only: a failover
    "40": Meaning.AGAIN,  # deadlock, serialization
    "42": Meaning.BROKEN,
    "42501": Meaning.FORBIDDEN,
    "42703": Meaning.MISMATCH,
    "42883": Meaning.MISMATCH,
    "42P01": Meaning.MISMATCH,
    "53": Meaning.LATER,  # disk full, too many connections
    "55": Meaning.LATER,  # a lock is held
    "57014": Meaning.LATER,  # statement timeout
    "57P": Meaning.AGAIN,  # somebody terminated the connection
    "57P03": Meaning.AWAY,  # the server starts or stops
    "58": Meaning.LATER,  # I/O error
    "P0": Meaning.RULED_OUT,  # `raise` in a trigger
    "XX": Meaning.LATER,
}
_LONGEST_CODE: Final = max(map(len, _BY_CODE))

_BY_STATUS: Final[Mapping[int, Meaning]] = {
    401: Meaning.FORBIDDEN,
    403: Meaning.FORBIDDEN,
    404: Meaning.MISMATCH,
    # May be different next time without anybody's doing (RFC 9110; 429: RFC 6585).
    408: Meaning.LATER,
    425: Meaning.LATER,
    429: Meaning.LATER,
    500: Meaning.LATER,
}

_RIGHT_KEY: Final = "put the project's service_role or sb_secret_… key into SUPABASE_SERVICE_ROLE_KEY"
_MIGRATE: Final = "run `python -m tgworker migrate`, or correct SUPABASE_URL"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not "done".

    Attributes:
        meaning: What to do about it.
        status: HTTP's.
        code: PostgREST's or PostgreSQL's, if it has one of theirs.
        case: Which no of ours it is, where `Meaning.RAISED`.
        message: Ours, for people; of no other error, which may quote what was sent.
    """

    meaning: Meaning
    status: int
    code: str | None
    case: str = ""
    message: str = ""

    def error(self, what: str) -> Exception:
        """What it is for who asked.

        Args:
            what: Who answered, for people: ``Supabase (tgworker_claim)``.
        """
        said = f"{what} answered {self.status}{f' {self.code}' if self.code else ''}: it"
        match self.meaning:
            case Meaning.AGAIN | Meaning.LATER | Meaning.AWAY:
                return StoreAway(f"{said} cannot just now")
            case Meaning.FORBIDDEN:
                words = "refuses the key" if self.status == 401 else "does not let this key do that"
                return KeyRefused(f"{said} {words}: {_RIGHT_KEY}")
            case Meaning.MISMATCH:
                return SchemaDiffers(f"{said} has no such table or function: {_MIGRATE}")
            case Meaning.ELSEWHERE:
                return StoreRefused(f"{said} sends elsewhere: put the project's own URL into SUPABASE_URL")
            case Meaning.RULED_OUT:
                return StoreRefused(
                    f"{said} is stopped by a constraint or trigger of the application's: compare its tables "
                    "with the plan's"
                )
            case Meaning.RAISED:
                return RpcRaised(self.case, self.message)
            case Meaning.BROKEN:
                return RequestBroken(f"{said} does not understand what it was told: a bug, report it")
            case _:
                assert_never(self.meaning)


def meaning_of(status: int, code: str | None) -> Meaning:
    """What an answer that is not "done" means: a pure decision.

    Args:
        status: HTTP's.
        code: PostgREST's or PostgreSQL's; ``None`` where the answer has none.
    """
    if code is not None:
        for length in range(_LONGEST_CODE, 1, -1):
            if (meaning := _BY_CODE.get(code[:length])) is not None and length <= len(code):
                return meaning
    if (meaning := _BY_STATUS.get(status)) is not None:
        return meaning
    if status >= 500:
        return Meaning.AWAY
    return Meaning.ELSEWHERE if status < 400 else Meaning.BROKEN


def away_by(error: httpx.TransportError, what: str) -> StoreAway | None:
    """The outage that an error of the line means; ``None`` for what is no outage.

    Args:
        error: What httpx raised.
        what: What does not answer, for people: ``Supabase (tgworker_claim)``.
    """
    for kind, words in _LINE:
        if isinstance(error, kind):
            return StoreAway(f"{what} {words}")
    return None


def refusal_of(response: httpx.Response) -> Refusal | None:
    """What an answer means that is not "done"; ``None`` for one that is.

    Args:
        response: The answer, read.
    """
    status = response.status_code
    if 200 <= status < 300:
        return None
    body = _body_of(response)
    code = body.get("code")
    if not isinstance(code, str) or not re.fullmatch(r"[A-Z0-9]{5,10}", code):
        return Refusal(meaning_of(status, None), status, None)
    meaning = meaning_of(status, code)
    if meaning is not Meaning.RAISED:
        return Refusal(meaning, status, code)
    return Refusal(meaning, status, code, str(body.get("details")), str(body.get("message")))


def refusal_by(code: str) -> Refusal:
    """What an error of the database means that an answer tells of, which else is "done".

    Args:
        code: PostgreSQL's.
    """
    return Refusal(meaning_of(500, code), 500, code)


def _body_of(response: httpx.Response) -> Mapping[str, Any]:
    try:
        body: object = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}
