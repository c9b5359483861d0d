"""How values stand in SQLite's columns: times, JSON, and the ids that we make up."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec

from tgworker.messaging.models import CONFIG_UNREADABLE, MessageId
from tgworker.messaging.values import iso as iso
from tgworker.messaging.values import new_id as new_id
from tgworker.messaging.values import new_ids as new_ids
from tgworker.messaging.values import storable as storable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def from_iso(text: str | None) -> datetime | None:
    """The time in one of the application's columns, aware; ``None`` for what is no time."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def whole(value: object, otherwise: int) -> int:
    """What a column of whole numbers holds: SQLite lets an application write anything there."""
    return value if isinstance(value, int) else otherwise


def is_key(value: object) -> bool:
    """Whether a column holds an id by which its row is found again: text, and not what bytes were read as."""
    return isinstance(value, str) and "\ufffd" not in value


def seconds(moment: datetime) -> float:
    """A time as our own columns hold it: seconds since 1970."""
    return (moment - _EPOCH).total_seconds()


def from_seconds(value: float | None) -> datetime | None:
    """The time in one of our own columns, aware, UTC; ``None`` for one that no calendar has."""
    if value is None or not math.isfinite(value):
        return None
    try:
        return _EPOCH + timedelta(seconds=value)
    except OverflowError:
        return None


def to_json(value: object) -> str:
    """Plain values as JSON text."""
    return msgspec.json.encode(value).decode()


def json_object(text: str | None) -> Mapping[str, Any]:
    """A JSON object that the application wrote; empty where there is none or it is something else."""
    return json_object_or_none(text) or {}


def config_of(value: object) -> Mapping[str, Any]:
    """An account's config: empty where there is none, `CONFIG_UNREADABLE` where it is no JSON object."""
    if value is None or value in ("", "null"):
        return {}
    found = json_object_or_none(value)
    return {CONFIG_UNREADABLE: True} if found is None else found


def json_object_or_none(text: object) -> Mapping[str, Any] | None:
    """A JSON object that the application wrote; ``None`` for anything else."""
    if not isinstance(text, str) or not text:
        return None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def random_id(message_id: MessageId, part: int) -> int:
    """Telegram's idempotency key of one part of a message: a function of both, the same in every attempt.

    Returns:
        A signed 64-bit integer, as ``random_id`` of ``messages.sendMessage`` is one.
    """
    digest = blake2b(f"{message_id}:{part}".encode(), digest_size=8, person=b"tgworker").digest()
    return int.from_bytes(digest, "big", signed=True)
