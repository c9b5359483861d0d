"""What contract tests know of a store: its ports, a calendar, another worker, the application beside it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, cast

from tgworker.messaging.books import AccountBook, HistoryBook, OutboxBook
from tgworker.messaging.changes import Change
from tgworker.messaging.login_ports import LoginStore
from tgworker.messaging.media_ports import MediaStore, OutgoingMediaStore
from tgworker.messaging.models import (
    AccountId,
    Attempt,
    ChatMessage,
    ConversationId,
    MessageId,
    Peer,
    PeerKind,
    Position,
)
from tgworker.messaging.outcomes import Sent, Settled
from tgworker.messaging.store_ports import (
    AccountStore,
    DoubtStore,
    HistoryQueue,
    HistoryStore,
    InboundStore,
    JobStore,
    OutboxStore,
    PresenceStore,
    RecipientStore,
    Sweeper,
    WaitStore,
)
from tgworker.messaging.update_batches import Gap, UpdateBatch

OWNER = "0f000000-0000-4000-8000-000000000001"
OTHER_OWNER = "0f000000-0000-4000-8000-000000000002"
NOBODY = "0f000000-0000-4000-8000-00000000dead"
START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class WholeStore(
    AccountStore,
    OutboxStore,
    InboundStore,
    DoubtStore,
    RecipientStore,
    PresenceStore,
    WaitStore,
    HistoryQueue,
    HistoryStore,
    JobStore,
    LoginStore,
    Sweeper,
    AccountBook,
    OutboxBook,
    HistoryBook,
    Protocol,
):
    """Everything that a store can do."""


class Calendar:
    """A calendar that moves when it is told to."""

    def __init__(self) -> None:
        self.today = START

    def __call__(self) -> datetime:
        return self.today

    def advance(self, seconds: float) -> None:
        self.today += timedelta(seconds=seconds)


class Application(Protocol):
    """The application beside the worker: plain inserts into its own tables, over a connection of its own."""

    def insert(self, table: str, **columns: Any) -> str:
        """Insert a row into one of the application's tables; returns its id."""
        ...

    def update(self, table: str, row_id: str, **columns: Any) -> None: ...

    def delete(self, table: str, row_id: str) -> None: ...

    def row(self, table: str, row_id: str) -> Mapping[str, Any] | None: ...

    def rows(self, table: str, **where: Any) -> Sequence[Mapping[str, Any]]:
        """Rows in the order of their insertion."""
        ...


class StoreKit(Protocol):
    """One store under test."""

    @property
    def store(self) -> WholeStore: ...

    @property
    def calendar(self) -> Calendar: ...

    @property
    def app(self) -> Application: ...

    def take_over(self) -> WholeStore:
        """Another worker opens the store; the first one was killed and closed nothing."""
        ...


class Inbox:
    """An account and its application, ready for tests."""

    def __init__(self, kit: StoreKit, account: AccountId) -> None:
        self.kit = kit
        self.account = account

    @property
    def store(self) -> WholeStore:
        return self.kit.store

    async def claim(self, slots: int = 10, known: Sequence[MessageId] = ()) -> list[Attempt]:
        return list((await self.store.turn((), {self.account: slots}, known=known)).attempts)

    async def claim_one(self) -> Attempt:
        (attempt,) = await self.claim(1)
        return attempt

    async def send(self, attempt: Attempt, telegram_id: int) -> None:
        await self.store.turn([Settled(attempt, Sent(telegram_id, self.kit.calendar.today))], {}, known=())

    def write(self, conversation: str, text: str, **columns: Any) -> MessageId:
        """Insert an outbound row as the application does."""
        row = {"integration_account_id": self.account, "external_message_id": f"local-{text}", **columns}
        return MessageId(
            self.kit.app.insert(
                "messages",
                owner_id=OWNER,
                conversation_id=conversation,
                channel="telegram",
                direction="outbound",
                text=text,
                **row,
            )
        )

    def attach(self, message: MessageId, path: str = "a.jpg", **columns: Any) -> str:
        """Link a file to a message as the application does; returns the attachment's id."""
        row = {"owner_id": OWNER, "storage_bucket": "media", "storage_path": path, **columns}
        return self.kit.app.insert("attachments", message_id=message, **row)

    def chat(self, value: str) -> ConversationId:
        """A conversation with a contact, as the application makes it."""
        identity = self.kit.app.insert(
            "contact_identities", owner_id=OWNER, type="telegram_user", value=value
        )
        return ConversationId(
            self.kit.app.insert("conversations", owner_id=OWNER, primary_identity_id=identity)
        )

    @property
    def media(self) -> MediaStore:
        return cast("MediaStore", self.kit.store)

    @property
    def outgoing_media(self) -> OutgoingMediaStore:
        return cast("OutgoingMediaStore", self.kit.store)

    def message(self, message_id: MessageId) -> Mapping[str, Any]:
        row = self.kit.app.row("messages", message_id)
        assert row is not None
        return row


def user(chat_id: int, name: str = "Ada", **more: Any) -> Peer:
    return Peer(chat_id=chat_id, kind=PeerKind.USER, access_hash=chat_id * 7, first_name=name, **more)


def inbound(chat_id: int, telegram_id: int, text: str = "hello", **more: Any) -> ChatMessage:
    values: dict[str, Any] = {"sender_id": chat_id, "sent_at": START, "message_type": "text", **more}
    return ChatMessage(chat_id=chat_id, telegram_id=telegram_id, outgoing=False, text=text, **values)


def outgoing(chat_id: int, telegram_id: int, text: str = "hello", **more: Any) -> ChatMessage:
    values: dict[str, Any] = {"sender_id": 1, "sent_at": START, "message_type": "text", **more}
    return ChatMessage(chat_id=chat_id, telegram_id=telegram_id, outgoing=True, text=text, **values)


def batch(
    *messages: ChatMessage,
    peers: Sequence[Peer] = (),
    sent_ids: Sequence[tuple[int, int]] = (),
    position: Position | None = None,
    gaps: Sequence[Gap] = (),
    changes: Sequence[Change] = (),
) -> UpdateBatch:
    return UpdateBatch(tuple(messages), tuple(peers), tuple(sent_ids), position, tuple(gaps), tuple(changes))
