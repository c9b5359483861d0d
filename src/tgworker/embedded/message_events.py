"""Events of messages: what the application's ``message_events`` says of what became of them."""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

from tgworker.embedded.values import iso, to_json

_ADD = """
insert into message_events (id, owner_id, message_id, type, occurred_at, payload)
select json_extract(e.value, '$[0]'), m.owner_id, m.id, json_extract(e.value, '$[2]'),
    json_extract(e.value, '$[3]'), json_extract(e.value, '$[4]')
from json_each(?) e cross join messages m on m.id = json_extract(e.value, '$[1]')
where true
on conflict do nothing
"""


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """A row to be.

    Attributes:
        id: Its id: `event_id` for what can happen once, else a new one.
        message_id: The message.
        type: ``edit``, ``delete``, ``read``, ``reaction``, ``pin`` or ``unpin``.
        occurred_at: When it happened, as far as Telegram says; else when it was heard of.
        payload: What else is to be said, JSON-ready.
    """

    id: str
    message_id: str
    type: str
    occurred_at: datetime
    payload: Mapping[str, Any]


def event_id(message_id: str, what: str) -> str:
    """The id of an event that can happen once: a UUID of version 8 (RFC 9562)."""
    digits = blake2b(f"{message_id}:{what}".encode(), digest_size=16, person=b"tgworker-event").hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def add_events(connection: sqlite3.Connection, events: Iterable[MessageEvent]) -> None:
    """Add events; those that are there already stay as they are."""
    rows = [
        (event.id, event.message_id, event.type, iso(event.occurred_at), to_json(event.payload))
        for event in events
    ]
    if rows:
        connection.execute(_ADD, (to_json(rows),))
