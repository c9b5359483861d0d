"""The nouns of the inbox, as frozen values.

Ids of rows (accounts, conversations, messages) are UUIDs in text form, as the application's tables hold them.
``chat_id`` is Telegram's *marked* id: a user's id as it is, ``-id`` for a basic group, ``-100…id`` for a
channel or supergroup, so that one integer names the chat and its kind
(https://core.telegram.org/api/bots/ids).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NewType

from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.media import DEFAULT_CAPTION_LIMIT, FileFacts, OutgoingFile

AccountId = NewType("AccountId", str)
"""``integration_accounts.id``."""

ConversationId = NewType("ConversationId", str)
"""``conversations.id``."""

MessageId = NewType("MessageId", str)
"""``messages.id``: the application's id of a message, not Telegram's."""

DEFAULT_TEXT_LIMIT = 4096
"""UTF-16 code units in one message, while the server has not said otherwise
(https://core.telegram.org/constructor/config, ``message_length_max``)."""


CHANNEL_IDS_BELOW = -1_000_000_000_000
"""Marked ids of channels and supergroups are below it: there Telegram counts messages by channel, elsewhere
by account."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A string that shows itself to nobody: not in ``repr``, ``str``, logs or tracebacks."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        return "Secret(…)"


class AccountState(StrEnum):
    """What an account is doing, as ``tgworker_accounts.state`` stores it."""

    CONNECTING = "connecting"
    ONLINE = "online"
    WAITING = "waiting"
    RECONNECTING = "reconnecting"
    NEEDS_LOGIN = "needs_login"
    BANNED = "banned"
    DISABLED = "disabled"
    ELSEWHERE = "elsewhere"


CONFIG_UNREADABLE: Final = "tgworker.unreadable"
"""The one key of an account's ``config`` where its column holds no JSON object. Such an account is not
connected: it may be meant to have a proxy."""


@dataclass(frozen=True, slots=True)
class Account:
    """A Telegram account that this worker should hold online.

    Attributes:
        id: The row's id.
        owner_id: The person in the application whose account it is.
        workspace_id: The owner's workspace, if the application has workspaces.
        name: What ``login --name`` called it; for people, unique where it is set.
        secrets_encrypted: A Fernet token of the session string, as the table holds it.
        config: The account's own settings (``proxy``, device identity), as the table holds them.
        kind: Whether it is a person's or a bot, as the table says.
    """

    id: AccountId
    owner_id: str
    workspace_id: str | None
    name: str | None
    secrets_encrypted: str = field(repr=False)
    config: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    kind: AccountKind = AccountKind.USER


class PeerKind(StrEnum):
    """The three address spaces of Telegram (https://core.telegram.org/api/peers)."""

    USER = "user"
    CHAT = "chat"
    CHANNEL = "channel"


@dataclass(frozen=True, slots=True)
class Peer:
    """A chat as one account may address it.

    Attributes:
        chat_id: The marked id.
        kind: Which address space the id belongs to.
        access_hash: Telegram's permission for *this account* to address the peer; ``None`` for basic groups,
            which need none.
        first_name: Of a user.
        last_name: Of a user.
        title: Of a group or channel.
        username: Without the ``@``, in Telegram's spelling.
        phone: Of a user whose phone number the account may see, digits only.
        is_self: Whether the peer is the account's own user.
        is_contact: Whether the peer stands in the account's address book at Telegram.
        photo_id: Telegram's id of its photo; ``None``: it has none, or Telegram did not say.
        is_min: Whether Telegram told only some of it (https://core.telegram.org/api/min): nobody can be
            addressed by that, and whatever is known otherwise counts more.
    """

    chat_id: int
    kind: PeerKind
    access_hash: int | None = field(default=None, repr=False)
    first_name: str | None = field(default=None, repr=False)
    last_name: str | None = field(default=None, repr=False)
    title: str | None = field(default=None, repr=False)
    username: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    is_self: bool = False
    is_contact: bool = False
    photo_id: int | None = None
    is_min: bool = False


def latest_peers(peers: Iterable[Peer]) -> tuple[Peer, ...]:
    """Each peer once, as it was told last; as it was told in part only where there is nothing else."""
    known: dict[int, Peer] = {}
    for peer in peers:
        if not peer.is_min or known.get(peer.chat_id, peer).is_min:
            known[peer.chat_id] = peer
    return tuple(known.values())


@dataclass(frozen=True, slots=True)
class Doubt:
    """That an earlier attempt may have gone through, and nobody knows.

    Attributes:
        age_s: Seconds since the first such attempt, by the store's clock.
        top_id: The newest message of the chat that the store knew at that attempt; 0 if it knew none.
        expired: Whether the row's time ran out meanwhile: it may be looked for, and not be repeated.
    """

    age_s: float
    top_id: int
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One claimed outbox row: the claim *is* the stored attempt, committed before any byte leaves.

    Attributes:
        message_id: The ``messages`` row.
        account_id: The account that sends it.
        conversation_id: The lane: at most one attempt of a conversation exists at a time.
        to: Whom the conversation is with: a marked id in decimal, ``@username``, or ``+`` and a phone number.
        peer: The chat as this account may address it, if the store knows it.
        text: The whole message, as the application wrote it. Empty text is refused by the worker, not by
            Telegram.
        part: Which part of it is to be sent, from 0: see `tgworker.messaging.planning`.
        random_id: Telegram's idempotency key: a function of message and part, the same in every attempt
            (https://core.telegram.org/api/errors, ``RANDOM_ID_DUPLICATE``).
        number: Which attempt this is, from 1.
        fence: The fencing token of the claim; a settle with an older one changes nothing.
        parse_mode: How ``text`` is marked up, as the application says; ``None``: not at all.
        text_limit: How long one part may be, in UTF-16 code units. Committed with the first claim, as are the
            text and its markup if it takes more than one: an attempt that is repeated has the same parts.
        parts: How many parts there are; ``None`` for a long text whose parts nobody has counted yet.
        known_id: Telegram's id of this very part, which an update has told already: there is nothing to send.
        doubt: What is left open by earlier attempts; ``None`` if nothing is.
        expires_in_s: So long after the claim it may begin to be sent; ``None``: for ever, or it has begun.
        message_type: What the application calls it: ``text``, ``voice``, …; a hint for what files are sent
            as.
        files: What the message carries, in order; committed with the first claim, like its text. Each is a
            part, from part 0 on; the text is the caption of the first, and what does not fit there follows
            the files.
        caption_limit: How long a caption may be, in UTF-16 code units; committed with the first claim.
        more_random_ids: Of the files that follow this part's, which may be sent together with it.
    """

    message_id: MessageId
    account_id: AccountId
    conversation_id: ConversationId
    to: str = field(repr=False)
    peer: Peer | None
    text: str = field(repr=False)
    part: int
    random_id: int
    number: int
    fence: int
    parse_mode: str | None = None
    text_limit: int = DEFAULT_TEXT_LIMIT
    parts: int | None = None
    known_id: int | None = None
    doubt: Doubt | None = None
    expires_in_s: float | None = None
    message_type: str | None = None
    files: tuple[OutgoingFile, ...] = ()
    caption_limit: int = DEFAULT_CAPTION_LIMIT
    more_random_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Sought:
    """A recipient that rows wait for in state ``resolving``.

    Attributes:
        to: Whom they are for, as in `Attempt`, in lower case.
        left_s: Telegram is not to be asked before so many seconds.
    """

    to: str = field(repr=False)
    left_s: float = 0


@dataclass(frozen=True, slots=True)
class Recipients:
    """What a store knows of whom an account writes to.

    Attributes:
        introduced: Whether the account's contacts and chats were read once, to the end.
        sought: Whom rows wait for, those of the oldest rows first.
    """

    introduced: bool
    sought: tuple[Sought, ...]


@dataclass(frozen=True, slots=True)
class Met:
    """What a page of an account's contacts or chats showed.

    Attributes:
        peers: Whom the account may address.
        is_all: Whether the lists are at their end, or as far as they are read.
    """

    peers: tuple[Peer, ...]
    is_all: bool


@dataclass(frozen=True, slots=True)
class Copy:
    """A message in a chat's history that may be the one that an attempt made.

    Attributes:
        telegram_id: Its id.
        sent_at: Telegram's time of sending, aware, UTC.
        more: ``(random_id, telegram_id)`` of the messages that follow it in an album, which was looked for.
    """

    telegram_id: int
    sent_at: datetime
    more: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """What a look into a chat's history showed.

    Attributes:
        copies: The account's own messages with the text and formatting that were looked for, newest first.
        whole: Whether everything above the id from which it was looked for has been seen.
    """

    copies: tuple[Copy, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class Owned:
    """What the store knows about messages that were found.

    Attributes:
        ids: Those that stand for another row already.
        rivals: Whether another row of that chat, with the same text, could be one of them, too.
    """

    ids: frozenset[int]
    rivals: bool


@dataclass(frozen=True, slots=True)
class Position:
    """How far an account has read its update log (https://core.telegram.org/api/updates).

    Attributes:
        pts: Of the account's own messages (private chats and basic groups).
        qts: Of secret chats and bot events.
        date: Telegram's time of the state, in seconds since 1970.
        seq: Of updates without a ``pts``.
        channels: The ``pts`` of each channel by its bare id.
        user_id: Whose log it is: the account's Telegram user when it was online last; ``None``: nobody knows.
    """

    pts: int
    qts: int
    date: int
    seq: int
    channels: Mapping[int, int] = field(default_factory=dict[int, int])
    user_id: int | None = field(default=None, compare=False)


@dataclass(
    slots=True
)  # not frozen: histories make tens of thousands a second, and a frozen one takes 7 times as long
class ChatMessage:
    """A message as Telegram delivered it, either direction. Nobody changes one.

    Attributes:
        chat_id: The chat it stands in.
        telegram_id: Telegram's message id: per account in private chats and basic groups, per channel else.
        sender_id: Marked id of who wrote it; ``None`` where Telegram does not say.
        outgoing: Whether the account's owner wrote it, here or on another device.
        text: The text, or the caption.
        message_type: ``text``, or what else it is (``photo``, ``voice``, ``service_…``).
        sent_at: Telegram's time of sending, aware, UTC.
        raw_payload: What else the application may want, JSON-ready.
        file: What is to be fetched and kept with it; ``None``: nothing.
    """

    chat_id: int
    telegram_id: int
    sender_id: int | None
    outgoing: bool
    text: str = field(repr=False)
    message_type: str
    sent_at: datetime
    raw_payload: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    file: FileFacts | None = None


JobId = NewType("JobId", str)
"""``sync_history_jobs.id`` or ``message_jobs.id``."""


WHOLE_ACCOUNT = "all"
"""What stands in ``telegram_id`` of a history job in a chat's place: every chat of the account."""


@dataclass(frozen=True, slots=True)
class AccountHistory:
    """How far a history job for a whole account has come.

    It reads nothing itself: it files a job of its own for each chat in the account's list, and ends when
    they have ended.

    Attributes:
        cursor: Where the list of chats goes on, as `ChatList` had it; ``None``: it begins.
        is_listed: Whether the list was read to its end.
        failed: How many of its chats' jobs have failed so far.
        is_ended: The application has ended the job, or removed it: only its takeout session is left.
    """

    cursor: str | None = None
    is_listed: bool = False
    failed: int = 0
    is_ended: bool = False


@dataclass(frozen=True, slots=True)
class HistoryJob:
    """A claimed row of ``sync_history_jobs``: fetch what a chat held before we saw it.

    Attributes:
        id: The row's id.
        account_id: The account that fetches.
        to: Whom the chat is with, as in `Attempt`.
        peer: The chat as this account may address it, if the store knows it.
        is_group: Whether the application takes it for a group.
        limit_messages: So many messages are asked for; the worker grants no more than its settings say.
        messages_synced: So many were new so far (a job that is handed over again has some).
        fills_gap: The worker filed it, because the update log did not tell all that was missed here: it reads
            back, whatever its limit says, until it meets what is known.
        known_top: Of a job that fills a gap: the newest message of this chat that the update log had told of
            when the gap was found; ``None`` if there was none.
        below: The history was read down to this id; 0: nothing was read yet.
        seen: So many messages were read so far.
        tries: So often it was claimed again since its last page was stored.
        whole: Of a job for a whole account: how far it is.
        part_of: Of a job that such a one has filed: that one.
        takeout: The takeout session that it is read through, encrypted; ``None``: none.
    """

    id: JobId
    account_id: AccountId
    to: str = field(repr=False)
    peer: Peer | None
    is_group: bool
    limit_messages: int
    messages_synced: int
    fills_gap: bool = False
    known_top: int | None = None
    below: int = 0
    seen: int = 0
    tries: int = 0
    whole: AccountHistory | None = None
    part_of: JobId | None = None
    takeout: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ChatList:
    """A page of the list of an account's chats.

    Attributes:
        chat_ids: Marked ids, the chat with the newest message first.
        peers: The users and chats that came with it.
        cursor: Where the list goes on, for whoever listed it; ``None``: this is its end.
    """

    chat_ids: tuple[int, ...]
    peers: tuple[Peer, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some consecutive messages of a chat's history.

    Attributes:
        messages: Oldest first.
        peers: The users and chats that came with it, with their access hashes.
        lowest_id: Of everything on the page, deleted messages included; ``None`` if there was nothing.
        highest_id: The same, of the newest; 0 if there was nothing.
        is_last: Whether what comes before it is not wanted.
        total: How many messages the chat has, if Telegram said so.
    """

    messages: tuple[ChatMessage, ...]
    peers: tuple[Peer, ...]
    lowest_id: int | None
    highest_id: int
    is_last: bool = False
    total: int | None = None

    def with_older(self, older: "HistoryPage") -> "HistoryPage":
        """This page and the one before it in the chat as one: a peer of both is as this one has it."""
        return HistoryPage(
            messages=(*older.messages, *self.messages),
            peers=latest_peers((*older.peers, *self.peers)),
            lowest_id=self.lowest_id if older.lowest_id is None else older.lowest_id,
            highest_id=max(self.highest_id, older.highest_id),
            is_last=older.is_last,
            total=self.total if older.total is None else older.total,
        )

    def younger_than(self, oldest: datetime) -> "HistoryPage":
        """The page without what is older; it is the last one if there was any."""
        kept = tuple(message for message in self.messages if message.sent_at >= oldest)
        return replace(self, messages=kept, is_last=self.is_last or len(kept) < len(self.messages))


@dataclass(frozen=True, slots=True)
class JobMessage:
    """The message that a `MessageJob` is about, as the store knows it.

    Attributes:
        type: What the application calls it: ``text``, ``photo``, …
        state: Its state in the outbox; ``None`` if it is not there: it came in, was written on another
            device, or was sent long ago.
        error: Why it ended as it did, if it did not go well.
        parts: How many messages of Telegram it is, as far as that is known.
        files: How many of them, the first ones, carry a file.
    """

    type: str
    state: str | None = None
    error: str | None = None
    parts: int = 1
    files: int = 0


@dataclass(frozen=True, slots=True)
class MessageJob:
    """A claimed row of ``message_jobs``: something to be done about a message or its chat.

    Attributes:
        id: The row's id.
        account_id: The account that does it.
        action: What is to be done, as the row says; what nobody knows is refused by the worker.
        payload: What the action needs, as the table holds it; ``None``: it is no JSON object, or too large.
        to: Whom the chat is with, as in `Attempt`; ``None``: nobody of Telegram's.
        peer: The chat as this account may address it, if the store knows it.
        telegram_ids: Telegram's ids of the message, one for each part, in order; empty while it has none.
        attempt: Which attempt this is, from 1.
        message: What is known of the message; ``None``: the job is about a chat.
        target: With whom the conversation is that the payload names beside a message, as ``to``.
    """

    id: JobId
    account_id: AccountId
    action: str
    payload: Mapping[str, Any] | None = field(repr=False)
    to: str | None = field(repr=False)
    peer: Peer | None
    telegram_ids: tuple[int, ...]
    attempt: int = 1
    message: JobMessage | None = None
    target: str | None = field(default=None, repr=False)


class WorkerStatus(StrEnum):
    """``worker_heartbeats.status``."""

    STARTING = "starting"
    ONLINE = "online"
    DEGRADED = "degraded"
    STALLED = "stalled"
    FROZEN = "frozen"
    RESTARTING = "restarting"
    FAILED = "failed"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class LoopStatus:
    """One loop in ``worker_heartbeats.loops_status``.

    Attributes:
        last_ping_ago: Seconds since the loop's last beat.
        alive: Whether an incarnation of the loop runs.
        restarts: How often it was restarted since the worker started.
        operation: What it is waiting for just now, if it said so.
        verdict: How its last incarnation ended; ``None`` while none has.
    """

    last_ping_ago: float
    alive: bool
    restarts: int
    operation: str | None
    verdict: str | None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One write of the worker's heartbeat row.

    Attributes:
        worker_id: The row's key.
        status: What the worker is.
        loops: The plan's four loops: ``sync``, ``outbound``, ``history``, ``jobs``.
        incarnation: Grows with every start of the worker.
        seq: Grows with every write of an incarnation: with it, an older write never overwrites a newer one.
    """

    worker_id: str
    status: WorkerStatus
    loops: Mapping[str, LoopStatus]
    incarnation: int
    seq: int
