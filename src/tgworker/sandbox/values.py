"""What the sandbox tells about itself."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from tgworker.sandbox.formatting import Formatting

Revocation = Literal[
    "SESSION_REVOKED",
    "SESSION_EXPIRED",
    "AUTH_KEY_UNREGISTERED",
    "AUTH_KEY_DUPLICATED",
    "USER_DEACTIVATED",
    "USER_DEACTIVATED_BAN",
]
"""How a user's keys may die: somebody ends his sessions, the keys are lost or used twice, he is banned."""


@dataclass(frozen=True, slots=True)
class SandboxUser:
    """A user of a sandbox.

    Attributes:
        id: Telegram's user id.
        phone: Digits, without a plus.
        username: Without an at sign.
        session: A ``StringSession`` that is logged in as this user. A key like any other: use it in one
            connection at a time.
        login_code: The code that he gets when somebody logs in with his number.
        password: His two-step password; ``None``: he has none.
    """

    id: int
    phone: str = field(repr=False)
    username: str
    session: str = field(repr=False)
    login_code: str = field(default="", repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SandboxBot:
    """A bot of a sandbox.

    Attributes:
        id: Telegram's user id.
        username: Without an at sign.
        token: What logs in as it, as @BotFather gives it out.
        session: A ``StringSession`` that is logged in as it. A key like any other: use it in one connection
            at a time.
    """

    id: int
    username: str
    token: str = field(repr=False)
    session: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChatLine:
    """A message as one side of a chat holds it.

    Attributes:
        id: Its id in this user's mailbox.
        outgoing: Whether this user wrote it.
        text: Its text.
        date: When the server got it, in UTC and whole seconds.
        author: Who wrote it.
        entities: Its formatting.
        reactions: Who chose which, oldest first; a custom one by its number.
        pinned: Whether it is pinned.
        forwarded_from: Whose it was first, as a marked id, if it was forwarded.
    """

    id: int
    outgoing: bool
    text: str = field(repr=False)
    date: datetime
    author: int
    entities: tuple[Formatting, ...] = field(default=(), repr=False)
    reactions: tuple[tuple[int, str | int], ...] = ()
    pinned: bool = False
    forwarded_from: int | None = None


@dataclass(frozen=True, slots=True)
class ChatSummary:
    """A chat in a user's list of chats.

    Attributes:
        peer: The other side's id; the marked id of a group or channel.
        messages: How many messages it holds, service messages included.
        unread: How many of them this user has not read.
        last_id: The id of the newest.
    """

    peer: int
    messages: int
    unread: int
    last_id: int


@dataclass(frozen=True, slots=True)
class SentText:
    """What a text became.

    Attributes:
        sender_message_id: Its id in the sender's mailbox.
        recipient_message_id: Its id in the recipient's; the same in a chat with oneself and in a channel; 0
            in a group, where each member has his own.
    """

    sender_message_id: int
    recipient_message_id: int


@dataclass(frozen=True, slots=True)
class SandboxRoom:
    """A group or channel of a sandbox.

    Attributes:
        peer: Its marked id: ``-5001`` for a basic group, ``-1002000000001`` for a channel or supergroup.
        kind: What it is.
        title: What it is called.
        members: Who is in it.
        pts: Where a channel's log stands; 0 for a group, which has none.
        username: Under which anybody finds a channel; empty: nobody does.
        migrated_to: The supergroup that a basic group has become, as a marked id.
    """

    peer: int
    kind: Literal["group", "supergroup", "channel"]
    title: str
    members: tuple[int, ...]
    pts: int = 0
    username: str = ""
    migrated_to: int | None = None


@dataclass(frozen=True, slots=True)
class TakeoutSession:
    """An export of what a user's account holds.

    Attributes:
        parts: What it was asked for, by Telegram's names: ``message_users``, ``files``…
        file_max_size: How large a file may be, bytes; ``None``: it was not said.
        state: What became of it: still ``open``, finished as a ``success`` or a ``failure``, or ``replaced``
            by another one.
        requests: How many requests came in it.
    """

    parts: tuple[str, ...]
    file_max_size: int | None
    state: Literal["open", "success", "failure", "replaced"]
    requests: int
