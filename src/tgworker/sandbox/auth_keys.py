"""Authorization keys: what a client's session file is worth."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import trio
from telethon.crypto import AuthKey

from tgworker.sandbox.errors import RequestRefused

SESSIONS_KEPT = 32
"""MTProto sessions remembered for each key; clients make one for every connection."""

STRANGERS_KEPT = 1000
"""Keys nobody has logged in with; the oldest are forgotten."""


class KeyUser(Protocol):
    """A connection that uses a key, as far as its rivals are concerned.

    Attributes:
        session_id: Its MTProto session.
        gone: Set when it is over.
    """

    session_id: int | None
    gone: trio.Event

    def push_to_guest(self, body: bytes) -> None:
        """Send an update to a client that nobody is logged in with. Never blocks."""
        ...


@dataclass(frozen=True, slots=True)
class SentCode:
    """A login code that is on its way.

    Attributes:
        phone: The digits of the number that it was sent to.
        hash: What the client names it by.
        until_s: When it is worth nothing any more, as the cloud's clock counts.
        again: Whether it was sent a second time.
    """

    phone: str = field(repr=False)
    hash: str = field(repr=False)
    until_s: float
    again: bool = False


@dataclass(eq=False, slots=True)
class Session:
    """One MTProto session: a client's numbering of messages, over any number of connections.

    Attributes:
        id: The client's number for it.
        seen: Ids of the client's last messages: none is executed twice.
        last_msg_id: The last id that the server gave to a message.
        content_sent: How many messages with content the server has sent: the base of its sequence numbers.
    """

    id: int
    seen: OrderedDict[int, None] = field(default_factory=OrderedDict[int, None], repr=False)
    last_msg_id: int = 0
    content_sent: int = 0


@dataclass(eq=False, slots=True)
class KeyRecord:
    """One authorization key.

    Attributes:
        key: The key, 256 bytes.
        id: Its id, on every packet.
        dc_id: The data centre that it was made with: others do not know it.
        born: When it was made, as `Faults.moment` counts.
        user_id: Who is logged in with it.
        half_user_id: Who would be, were it not for his two-step password.
        code: The login code that was asked for with it.
        refusal: Why nothing works with it any more.
        user: The connection that last sent requests with it.
        sessions: The sessions under it, by id.
    """

    key: bytes = field(repr=False)
    id: int
    dc_id: int
    born: int = 0
    user_id: int | None = None
    half_user_id: int | None = None
    code: SentCode | None = field(default=None, repr=False)
    refusal: RequestRefused | None = None
    user: KeyUser | None = field(default=None, repr=False)
    sessions: OrderedDict[int, Session] = field(default_factory=OrderedDict[int, Session], repr=False)

    def open_session(self, session_id: int) -> Session:
        """The session with an id; a new one if the client has not used it before."""
        session = self.sessions.get(session_id)
        if session is None:
            session = self.sessions[session_id] = Session(session_id)
            if len(self.sessions) > SESSIONS_KEPT:
                self.sessions.popitem(last=False)
        else:
            self.sessions.move_to_end(session_id)
        return session


class KeyRing:
    """All authorization keys of a sandbox."""

    def __init__(self) -> None:
        self._records: OrderedDict[int, KeyRecord] = OrderedDict()

    def __iter__(self) -> Iterator[KeyRecord]:
        return iter(self._records.values())

    def add(self, key: bytes, user_id: int | None = None, *, dc_id: int = 0, born: int = 0) -> KeyRecord:
        """Take a key in, as one that ``user_id`` is logged in with."""
        key_id: Any = AuthKey(key).key_id
        record = KeyRecord(key, key_id, dc_id, born, user_id)
        self._records[record.id] = record
        strangers = [each.id for each in self if each.user_id is None and each.refusal is None]
        for oldest in strangers[:-STRANGERS_KEPT]:
            del self._records[oldest]
        return record

    def get(self, key_id: int) -> KeyRecord | None:
        """The key with an id."""
        return self._records.get(key_id)

    def forget(self, key_id: int) -> bool:
        """Destroy a key; returns whether it was there."""
        return self._records.pop(key_id, None) is not None

    def of_user(self, user_id: int) -> list[KeyRecord]:
        """The keys that a user is logged in with."""
        return [each for each in self if each.user_id == user_id]
