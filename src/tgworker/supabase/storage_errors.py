"""What Storage answers, in the words of this room. One table.

Most of its errors are a 400 whose body holds the status that is meant (``"statusCode": "404"``); newer
versions send the status itself and a ``code``. https://supabase.com/docs/guides/storage/debugging/error-codes
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, assert_never, cast

import httpx

from tgworker.messaging.errors import StoreAway, StoreRefused
from tgworker.messaging.file_store import BucketMissing, ObjectMissing
from tgworker.supabase.errors import KeyRefused, RequestBroken


class No(Enum):
    """What an answer that is not "done" means."""

    LATER = "retry later: this request, not Storage"
    AWAY = "retry later: Storage is not there"
    FORBIDDEN = "not allowed"
    NO_BUCKET = "there is no such bucket"
    NO_OBJECT = "there is no such object"
    TOO_LARGE = "the object is too large"
    CONTENT_TYPE = "the bucket does not take this type"
    NAME = "no object can have this name"
    RANGE = "the object has fewer bytes"
    ELSEWHERE = "nobody of ours answered"
    BROKEN = "broken request"


class Thing(Enum):
    """What a request is about."""

    BUCKET = "bucket"
    OBJECT = "object"


#: ``code`` or ``error`` of the body, in lower case and without spaces and underlines.
_BY_CODE: Final[Mapping[str, No]] = {
    "nosuchbucket": No.NO_BUCKET,
    "bucketnotfound": No.NO_BUCKET,
    "nosuchkey": No.NO_OBJECT,
    "tenantnotfound": No.ELSEWHERE,
    "entitytoolarge": No.TOO_LARGE,
    "payloadtoolarge": No.TOO_LARGE,
    "invalidmimetype": No.CONTENT_TYPE,
    "invalidkey": No.NAME,
    "invalidbucketname": No.NAME,
    "invalidrange": No.RANGE,
    "invalidjwt": No.FORBIDDEN,
    "accessdenied": No.FORBIDDEN,
    "unauthorized": No.FORBIDDEN,
    "databasetimeout": No.LATER,
    "databasereadonly": No.LATER,
    "databaseerror": No.LATER,
    "slowdown": No.LATER,
}

#: The status that is meant. 409 and 423: somebody else writes the same object just now.
_BY_STATUS: Final[Mapping[int, No]] = {
    401: No.FORBIDDEN,
    403: No.FORBIDDEN,
    408: No.LATER,
    409: No.LATER,
    413: No.TOO_LARGE,
    415: No.CONTENT_TYPE,
    416: No.RANGE,
    423: No.LATER,
    425: No.LATER,
    429: No.LATER,
    500: No.LATER,
}

_RIGHT_KEY: Final = "put the project's service_role or sb_secret_… key into SUPABASE_SERVICE_ROLE_KEY"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not "done".

    Attributes:
        no: What to do about it.
        status: HTTP's.
        meant: The status that the body holds, if it does.
    """

    no: No
    status: int
    meant: int | None

    def about(self, thing: Thing) -> "Refusal":
        """The same, where a 404 does not say what is missing: it is what was asked for.

        Args:
            thing: What that was.
        """
        if thing is Thing.BUCKET:
            return replace(self, no=No.NO_BUCKET) if self.no is No.NO_OBJECT else self
        return replace(self, no=No.NO_OBJECT) if self.no in (No.NO_BUCKET, No.NAME) else self

    @property
    def text(self) -> str:
        """For logs: ``400 (404)``."""
        return f"{self.status}" if self.meant in (None, self.status) else f"{self.status} ({self.meant})"

    def error(self, what: str) -> Exception:
        """What it is for who asked, where the call itself does not expect it.

        Args:
            what: Who answered, for people: ``Supabase Storage (upload to files)``.
        """
        said = f"{what} answered {self.text}: it"
        match self.no:
            case No.LATER | No.AWAY:
                return StoreAway(f"{said} cannot just now")
            case No.FORBIDDEN:
                return KeyRefused(f"{said} does not let this key do that: {_RIGHT_KEY}")
            case No.NO_BUCKET:
                return BucketMissing(f"{said} has no such bucket: create it in Supabase")
            case No.NO_OBJECT:
                return ObjectMissing(f"{said} has no such object")
            case No.ELSEWHERE:
                return StoreRefused(f"{said} is no Storage: put the project's own URL into SUPABASE_URL")
            case No.TOO_LARGE | No.CONTENT_TYPE | No.NAME | No.RANGE | No.BROKEN:
                return RequestBroken(f"{said} does not understand what it was told: a bug, report it")
            case _:
                assert_never(self.no)


def meaning_of(status: int, meant: int | None, codes: tuple[str, ...]) -> No:
    """What an answer that is not "done" means: a pure decision.

    Args:
        status: HTTP's.
        meant: The status that the body holds; ``None`` where it holds none.
        codes: Names of errors that the body holds.
    """
    for code in codes:
        if (no := _BY_CODE.get(code.lower().replace(" ", "").replace("_", ""))) is not None:
            return no
    if (meant or status) == 404:  # a 404 that is not Storage's is its gateway's, which knows no Storage
        return No.NO_OBJECT if meant is not None or codes else No.ELSEWHERE
    for number in (meant, status):
        if number is not None and (no := _BY_STATUS.get(number)) is not None:
            return no
        if number is not None and number >= 500:
            return No.AWAY
    return No.ELSEWHERE if status < 400 else No.BROKEN


def refusal_of(response: httpx.Response) -> Refusal | None:
    """What an answer means that is not "done"; ``None`` for one that is.

    Args:
        response: The answer, read where it is an error.
    """
    status = response.status_code
    if 200 <= status < 300:
        return None
    body = _body_of(response)
    said = body.get("statusCode")
    meant = int(said) if isinstance(said, str | int) and str(said) in _STATUSES else None
    codes = tuple(code for code in (body.get("code"), body.get("error")) if isinstance(code, str))
    return Refusal(meaning_of(status, meant, codes), status, meant)


_STATUSES: Final = frozenset(map(str, range(400, 600)))


def _body_of(response: httpx.Response) -> Mapping[str, Any]:
    try:
        body: object = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}
