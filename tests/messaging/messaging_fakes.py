"""What the loops of `tgworker.messaging` lean on, scripted and recorded: no Telegram, no database."""

import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self, TypeVar

import trio

from file_fakes import NoFiles
from job_fakes import ScriptedJobs
from tgworker.messaging.bounded import Outage
from tgworker.messaging.errors import (
    AccountRefused,
    SessionUnreadable,
    StoreAway,
    TelegramAway,
    TelegramFloods,
)
from tgworker.messaging.events import Event, Report
from tgworker.messaging.formatted import Entity, EntityKind, FormattedText
from tgworker.messaging.gate import Gate, Standing
from tgworker.messaging.hearing import Heard, Told
from tgworker.messaging.incoming_files import FetchOutcome, IncomingFile, WantedAvatar
from tgworker.messaging.limits import Limits
from tgworker.messaging.media import DEFAULT_CAPTION_LIMIT
from tgworker.messaging.models import (
    DEFAULT_TEXT_LIMIT,
    Account,
    AccountId,
    AccountState,
    Attempt,
    ChatList,
    ChatMessage,
    ConversationId,
    Copy,
    Doubt,
    HistoryJob,
    HistoryPage,
    JobId,
    Look,
    MessageId,
    Met,
    Owned,
    Peer,
    PeerKind,
    Position,
    Recipients,
    Secret,
)
from tgworker.messaging.outcomes import (
    Deferred,
    NotYetAllowed,
    Outcome,
    Refused,
    Sent,
    Settled,
    Unresolved,
    Unsure,
)
from tgworker.messaging.pacing import PUBLISHED, UNPACED, Rates, StoredWait
from tgworker.messaging.presence import Presence
from tgworker.messaging.store_ports import Turn
from tgworker.messaging.update_batches import UpdateBatch

ANNA = AccountId("anna")
BERT = AccountId("bert")
PEER = Peer(77, PeerKind.USER, access_hash=5)
ME = Peer(1, PeerKind.USER, is_self=True)
SENT = Sent(100)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)

E = TypeVar("E")


# ---------------------------------------------------------------- values


def account(account_id: AccountId = ANNA, *, token: str = "sealed") -> Account:
    return Account(account_id, "owner", None, None, token)


def attempt(
    name: str,
    account_id: AccountId = ANNA,
    *,
    peer: Peer | None = PEER,
    to: str = "77",
    text: str = "hello",
    chat: str | None = None,
    number: int = 1,
    doubt: Doubt | None = None,
) -> Attempt:
    """An attempt to send a message, each in a conversation of its own unless ``chat`` says otherwise."""
    return Attempt(
        MessageId(name),
        account_id,
        ConversationId(chat or name),
        to,
        peer,
        text,
        0,
        len(name),
        number,
        1,
        parts=1,
        doubt=doubt,
    )


def message(telegram_id: int) -> ChatMessage:
    return ChatMessage(77, telegram_id, 77, False, "hi", "text", datetime(2026, 11, 1, tzinfo=UTC))


def batch(*telegram_ids: int, pts: int | None = None, peers: Sequence[Peer] = ()) -> UpdateBatch:
    position = None if pts is None else Position(pts, 0, 0, 0)
    return UpdateBatch(tuple(map(message, telegram_ids)), tuple(peers), (), position)


def growing(attempts: int) -> float:
    """A backoff that is easy to add up: 1, 2, 3, … seconds."""
    return float(attempts)


def no_delay(attempts: int) -> float:
    return 0.0


# ---------------------------------------------------------------- what is heard


class Reports:
    """Keeps what the loops report, with the time."""

    def __init__(self) -> None:
        self.at: list[tuple[float, Event]] = []

    def __call__(self, event: Event) -> None:
        self.at.append((trio.current_time(), event))

    def of(self, kind: type[E]) -> list[E]:
        return [event for _, event in self.at if isinstance(event, kind)]


class Operation:
    """Fills `ports.Deadline` with a plain `trio.CancelScope`."""

    def __init__(self, pulse: "RecordingPulse", name: str, limit_s: float) -> None:
        self._pulse = pulse
        self._scope = trio.CancelScope()
        self.name = name
        self.limit_s = limit_s
        self.opened_at = self.closed_at = math.nan
        self.expired = False

    def __enter__(self) -> Self:
        self.opened_at = self._pulse.beat_at = trio.current_time()
        self._scope.deadline = self.opened_at + self.limit_s
        self._scope.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self.closed_at = self._pulse.beat_at = trio.current_time()
        swallow = self._scope.__exit__(exc_type, exc, traceback)
        self.expired = self._scope.cancelled_caught
        return swallow


@dataclass
class RecordingPulse:
    """Fills `ports.Pulse` over plain `trio.move_on_after`; silence is counted as supervision counts it."""

    beat_at: float = field(default_factory=trio.current_time)
    announced_until: float = -math.inf
    operations: list[Operation] = field(default_factory=list[Operation])
    cycles: list[float] = field(default_factory=list[float])

    def beat(self) -> None:
        self.beat_at = trio.current_time()
        self.announced_until = -math.inf

    def expect(self, within_s: float) -> None:
        self.beat_at = trio.current_time()
        self.announced_until = self.beat_at + within_s

    def deadline(self, operation: str, seconds: float) -> Operation:
        self.operations.append(Operation(self, operation, seconds))
        return self.operations[-1]

    @contextmanager
    def cycle(self, seconds: float) -> Generator[None]:
        self.cycles.append(seconds)
        yield

    def named(self, operation: str) -> list[Operation]:
        return [one for one in self.operations if one.name == operation]

    def silent_since(self) -> float:
        running = [one.opened_at + one.limit_s for one in self.operations if math.isnan(one.closed_at)]
        return max(self.beat_at, self.announced_until, *running)

    async def watch(self, stall_after_s: float = 60) -> None:
        """Fail the test as soon as the loop is silent for so long; returns never."""
        while True:
            due = self.silent_since() + stall_after_s
            if due <= trio.current_time():
                raise AssertionError(f"silent since {self.silent_since():g}, now {trio.current_time():g}")
            await trio.sleep_until(min(due, trio.current_time() + stall_after_s))


# ---------------------------------------------------------------- a store


class Weather:
    """Whether calls are answered: each operation has a script of what happens to its next calls."""

    def __init__(self) -> None:
        self._scripts: dict[str, deque[str]] = {}
        self.calls: list[tuple[float, str]] = []

    def will(self, operation: str, *happenings: str) -> None:
        """``ok``, ``away`` (at once), ``hang`` (no answer), ``slow`` (20 s), ``lost`` (done, unsaid)."""
        self._scripts.setdefault(operation, deque()).extend(happenings)

    def times(self, operation: str) -> list[float]:
        return [at for at, name in self.calls if name == operation]

    async def face(self, operation: str, work: Callable[[], E]) -> E:
        self.calls.append((trio.current_time(), operation))
        script = self._scripts.get(operation)
        match script.popleft() if script else "ok":
            case "away":
                await trio.lowlevel.checkpoint()
                raise StoreAway("it is away")
            case "hang":
                await trio.sleep_forever()
            case "slow":
                await trio.sleep(20)
            case "lost":
                work()
                await trio.sleep_forever()
            case _:
                await trio.lowlevel.checkpoint()
        return work()


@dataclass
class Row:
    """A message to be sent, as a store keeps it."""

    attempt: Attempt
    state: str = "waiting"
    outcomes: list[Outcome] = field(default_factory=list[Outcome])


@dataclass(frozen=True)
class Claim:
    """What was asked of `FakeOutbox.turn`, where it was to claim."""

    at: float
    slots: Mapping[AccountId, int]
    known: frozenset[MessageId]


class FakeOutbox:
    """Fills `store_ports.OutboxStore` in memory, with the rules of the port."""

    def __init__(self, *attempts: Attempt) -> None:
        self.weather = Weather()
        self.rows: dict[MessageId, Row] = {}
        self.claims: list[Claim] = []
        self.settles: list[tuple[float, tuple[Settled, ...]]] = []
        self.text_limits: list[int] = []
        self.caption_limits: list[int] = []
        self.asked_at: list[float] = []
        self.cancelled: set[MessageId] = set()
        self.add(*attempts)

    def add(self, *attempts: Attempt) -> None:
        for one in attempts:
            self.rows[one.message_id] = Row(replace(one, number=one.number - 1))

    def states(self) -> dict[str, str]:
        return {message_id: row.state for message_id, row in self.rows.items()}

    async def turn(
        self,
        settled: Sequence[Settled],
        slots: Mapping[AccountId, int],
        *,
        known: Collection[MessageId],
        text_limit: int = DEFAULT_TEXT_LIMIT,
        caption_limit: int = DEFAULT_CAPTION_LIMIT,
    ) -> Turn:
        now = trio.current_time()
        self.text_limits.append(text_limit)
        self.caption_limits.append(caption_limit)
        asked = Claim(now, dict(slots), frozenset(known))
        if settled:
            self.settles.append((now, tuple(settled)))
        if slots:
            self.claims.append(asked)
        self.asked_at.append(now)
        return await self.weather.face("turn", lambda: self._turn(tuple(settled), asked))

    def _turn(self, settled: tuple[Settled, ...], asked: Claim) -> Turn:
        self._settle(settled)
        return Turn(self._claim(asked), asked.known & self.cancelled)

    def _claim(self, asked: Claim) -> list[Attempt]:
        free = dict(asked.slots)
        busy = {row.attempt.conversation_id for row in self.rows.values() if row.state == "sending"}
        claimed: list[Attempt] = []
        for row in self.rows.values():
            one = row.attempt
            lost = row.state == "sending" and one.message_id not in asked.known
            head = row.state == "waiting" and one.conversation_id not in busy
            if (lost or head) and free.get(one.account_id, 0) > 0:
                free[one.account_id] -= 1
                busy.add(one.conversation_id)
                row.state = "sending"
                row.attempt = replace(one, number=one.number + 1)
                claimed.append(row.attempt)
        return claimed

    def _settle(self, settled: tuple[Settled, ...]) -> None:
        for item in settled:
            row = self.rows[item.attempt.message_id]
            if row.state == "sending" and row.attempt.number == item.attempt.number:
                row.outcomes.append(item.outcome)
                match item.outcome:
                    case Sent() | Refused() | Unsure():
                        row.state = "done"
                    case Deferred():
                        row.state = "deferred"
                    case Unresolved():
                        row.state = "resolving"
                    case _:
                        row.state = "done" if item.attempt.message_id in self.cancelled else "waiting"


class FakeStore:
    """Fills `store_ports.AccountChildStore` in memory."""

    def __init__(self, *accounts: Account) -> None:
        self.weather = Weather()
        self.accounts = list(accounts)
        self.states: list[tuple[AccountState, str | None, int | None]] = []
        self.synced: list[tuple[float, frozenset[AccountId]]] = []
        self.stored_position: Position | None = None
        self.batches: list[UpdateBatch] = []
        self.saved_peers: list[Peer] = []
        self.history: dict[int, ChatMessage] = {}
        self.saves: list[tuple[int, int]] = []
        self.finished: list[tuple[JobId, str | None]] = []
        self.filed: list[tuple[JobId, tuple[int, ...], str | None]] = []
        self.takeouts: list[tuple[JobId, str | None]] = []
        self.put_off: list[tuple[JobId, float, str]] = []
        self.stored_waits: list[StoredWait] = []
        self.saved_waits: list[tuple[StoredWait, ...]] = []
        self.acquainted: set[ConversationId] = set()
        self.belongings = Owned(frozenset(), rivals=False)
        self.without_id: list[Sequence[Attempt]] = []
        self.named: list[tuple[float, MessageId, int, int]] = []
        self.progress: list[tuple[float, int, int]] = []
        self.files: dict[MessageId, IncomingFile] = {}
        self.fetched: list[tuple[float, MessageId, FetchOutcome]] = []
        self.avatars: dict[int, WantedAvatar] = {}
        self.pictured: list[tuple[int, FetchOutcome, str | None]] = []

        self.whom = Recipients(introduced=True, sought=())
        self.introduced_at: list[float] = []
        self.recorded: list[tuple[float, dict[str, Peer | Refused | Deferred]]] = []
        self.left: deque[list[str]] = deque()

    def ingested(self) -> list[int]:
        return [one.telegram_id for each in self.batches for one in each.messages]

    async def active_accounts(self) -> Sequence[Account]:
        return await self.weather.face("active_accounts", lambda: list(self.accounts))

    async def record_account(
        self,
        account_id: AccountId,
        state: AccountState,
        *,
        last_error: str | None,
        user_id: int | None = None,
    ) -> None:
        await self.weather.face("record_account", lambda: self.states.append((state, last_error, user_id)))

    async def record_synced(self, account_ids: Collection[AccountId]) -> None:
        now = trio.current_time()
        await self.weather.face("record_synced", lambda: self.synced.append((now, frozenset(account_ids))))

    async def position(self, account_id: AccountId) -> Position | None:
        return await self.weather.face("position", lambda: self.stored_position)

    async def peers(self, account_id: AccountId) -> Sequence[Peer]:
        return await self.weather.face("peers", lambda: tuple(self.saved_peers))

    async def save_peers(self, account_id: AccountId, peers: Sequence[Peer]) -> None:
        await self.weather.face("save_peers", lambda: self.saved_peers.extend(peers))

    async def owned(self, attempt: Attempt, chat_id: int, telegram_ids: Collection[int]) -> Owned:
        return await self.weather.face("owned", lambda: self.belongings)

    async def unnamed(self, account_id: AccountId) -> Sequence[Attempt]:
        return await self.weather.face("unnamed", lambda: self.without_id.pop(0) if self.without_id else ())

    async def name(self, attempt: Attempt, chat_id: int, copy: Copy) -> None:
        named = (trio.current_time(), attempt.message_id, chat_id, copy.telegram_id)
        await self.weather.face("name", lambda: self.named.append(named))

    async def recipients(self, account_id: AccountId, *, limit: int = 1000) -> Recipients:
        return await self.weather.face(
            "recipients", lambda: replace(self.whom, sought=self.whom.sought[:limit])
        )

    async def record_introduced(self, account_id: AccountId) -> None:
        await self.weather.face("record_introduced", lambda: self.introduced_at.append(trio.current_time()))

    async def record_recipients(
        self, account_id: AccountId, found: Mapping[str, Peer | Refused | Deferred]
    ) -> Collection[str]:
        def work() -> Collection[str]:
            self.recorded.append((trio.current_time(), dict(found)))
            return self.left.popleft() if self.left else []

        return await self.weather.face("record_recipients", work)

    async def record_progress(self, attempt: Attempt, done: int, total: int) -> None:
        now = trio.current_time()
        await self.weather.face("record_progress", lambda: self.progress.append((now, done, total)))

    async def wanted_files(self, account_id: AccountId, *, limit: int = 100) -> Sequence[IncomingFile]:
        return await self.weather.face("wanted_files", lambda: tuple(self.files.values())[:limit])

    async def finish_file(self, account_id: AccountId, file: IncomingFile, outcome: FetchOutcome) -> None:
        def work() -> None:
            self.fetched.append((trio.current_time(), file.message_id, outcome))
            self.files.pop(file.message_id, None)

        await self.weather.face("finish_file", work)

    async def wanted_avatars(self, account_id: AccountId, *, limit: int = 100) -> Sequence[WantedAvatar]:
        return await self.weather.face("wanted_avatars", lambda: tuple(self.avatars.values())[:limit])

    async def finish_avatar(
        self, account_id: AccountId, avatar: WantedAvatar, outcome: FetchOutcome, *, url: str | None = None
    ) -> None:
        def work() -> None:
            self.pictured.append((avatar.chat_id, outcome, url))
            self.avatars.pop(avatar.chat_id, None)

        await self.weather.face("finish_avatar", work)

    async def waits(self, account_id: AccountId) -> Sequence[StoredWait]:
        return await self.weather.face("waits", lambda: tuple(self.stored_waits))

    async def save_waits(self, account_id: AccountId, waits: Sequence[StoredWait]) -> None:
        await self.weather.face("save_waits", lambda: self.saved_waits.append(tuple(waits)))

    async def is_acquainted(self, account_id: AccountId, conversation_id: ConversationId) -> bool:
        return await self.weather.face("is_acquainted", lambda: conversation_id in self.acquainted)

    async def forget_user(self, account_id: AccountId, user_id: int) -> None:
        def forget() -> None:
            self.stored_position = None
            self.saved_peers.clear()

        await self.weather.face("forget_user", forget)

    async def find_messages(
        self, account_id: AccountId, telegram_ids: Collection[int], *, chat_id: int | None
    ) -> Mapping[tuple[int, int], MessageId]:
        known = {(one.chat_id, one.telegram_id) for each in self.batches for one in each.messages}
        return await self.weather.face(
            "find_messages",
            lambda: {key: MessageId(str(key)) for key in known if key[1] in telegram_ids},
        )

    async def ingest(self, account_id: AccountId, batch: UpdateBatch) -> int:
        return await self.weather.face("ingest", lambda: self._ingest(batch))

    async def save_history(
        self,
        job: HistoryJob,
        messages: Sequence[ChatMessage],
        peers: Sequence[Peer],
        *,
        below: int = 0,
        seen: int = 0,
        total: int | None = None,
    ) -> int:
        return await self.weather.face("save_history", lambda: self._save(messages, peers, below, seen))

    async def file_chats(
        self, job: HistoryJob, chat_ids: Sequence[int], peers: Sequence[Peer], *, cursor: str | None
    ) -> None:
        await self.weather.face("file_chats", lambda: self.filed.append((job.id, tuple(chat_ids), cursor)))

    async def keep_takeout(self, job: HistoryJob, takeout: str | None) -> None:
        await self.weather.face("keep_takeout", lambda: self.takeouts.append((job.id, takeout)))

    async def put_history_off(self, job: HistoryJob, *, seconds: float, note: str) -> None:
        await self.weather.face("put_history_off", lambda: self.put_off.append((job.id, seconds, note)))

    async def finish_history(self, job_id: JobId, *, error: str | None = None) -> None:
        await self.weather.face("finish_history", lambda: self.finished.append((job_id, error)))

    def _save(self, messages: Sequence[ChatMessage], peers: Sequence[Peer], below: int, seen: int) -> int:
        new = [each for each in messages if each.telegram_id not in self.history]
        self.history.update((each.telegram_id, each) for each in new)
        self.saves.append((below, seen))
        return len(new)

    def _ingest(self, batch: UpdateBatch) -> int:
        there = set(self.ingested())
        self.batches.append(batch)
        if batch.position is not None:
            self.stored_position = batch.position
        return len([one for one in batch.messages if one.telegram_id not in there])


def gate_of(
    store: FakeStore,
    report: Report,
    *,
    rates: Rates = PUBLISHED,
    tell: Callable[[Standing], None] = lambda standing: None,
) -> Gate:
    """An account's gate. Its calendar says noon when trio's clock says 0."""
    return Gate(
        ANNA,
        rates=rates,
        store=store,
        limits=Limits(),
        outage=Outage(RecordingPulse(), report, growing),
        report=report,
        tell=tell,
        now=lambda: NOON + timedelta(seconds=trio.current_time()),
    )


def unpaced_gate(store: FakeStore, report: Report) -> Gate:
    return gate_of(store, report, rates=UNPACED)


# ---------------------------------------------------------------- Telegram


class ScriptedConnection(NoFiles, ScriptedJobs):
    """Fills `ports.Connection`: answers at once unless told otherwise.

    Attributes:
        connects: What `connect` does: answer with the account's user, raise, or hang (``None``).
        sends: What becomes of the text of that name; what is not named is `SENT`. ``None`` hangs.
        resolves: What is found, raised, or ``None``: it hangs.
        resolve_script: What becomes of the next questions, before that.
        meets: The pages of contacts and chats, one after the other; raised, refused, put off, or ``None``: it
            hangs.
        looks: What a look into a history shows.
        silent: The line is a black hole.
        told: What Telegram says of its logs; raised, or ``None``: it hangs.
        hears: What was heard of them.
        chat: What the history of a chat holds, oldest first.
        page_script: What becomes of the next questions for it, before they are answered. ``None`` hangs.
    """

    def __init__(self, *, connects: Peer | Exception | None = ME) -> None:
        ScriptedJobs.__init__(self)
        self.connects = connects
        self.sends: dict[str, Outcome | Exception | None] = {}
        self.resolves: Peer | Refused | Deferred | Exception | None = PEER
        self.resolve_script: deque[Peer | Refused | Deferred | Exception | None] = deque()
        self.resolved: list[tuple[float, str]] = []
        self.meets: deque[Sequence[Peer] | Refused | Deferred | Exception | None] = deque()
        self.met: list[Peer] = []
        self.met_at: list[float] = []
        self.looks: Look | Deferred | Refused | Exception | None = Look((), whole=True)
        self.looked: list[tuple[float, int, str, int]] = []
        self.silent = False
        self.told: Told | Exception | None = Told({})
        self.hears = Heard({})
        self.compared: list[float] = []
        self.caught_up: list[tuple[float, list[int]]] = []
        self.last_heard_at = trio.current_time()
        self.asked: list[tuple[Position | None, tuple[Peer, ...]]] = []
        self.pings: list[float] = []
        self.chat: list[ChatMessage] = []
        self.pages: list[tuple[float, int, int]] = []
        self.ahead: list[int] = []
        self.read_in: list[int | None] = []
        self.takeouts: list[tuple[float, str]] = []
        self.takeout_script: deque[int | NotYetAllowed | Refused | Deferred | Exception | None] = deque()
        self.listed: list[tuple[float, str | None, int | None]] = []
        self.list_script: deque[ChatList | Refused | Deferred | Exception | None] = deque()
        self.page_script: deque[HistoryPage | Refused | Deferred | Exception | None] = deque()
        self.sent: list[tuple[float, int, str, int]] = []
        self.entities: list[tuple[Entity, ...]] = []
        self.inbox, self.updates = trio.open_memory_channel[UpdateBatch](1000)
        self._lost = trio.Event()
        self._loss: str | AccountRefused | TelegramFloods = ""

    def lose(self, why: str | AccountRefused | TelegramFloods = "the line broke") -> None:
        self._loss = why
        self._lost.set()

    def hear_presence(self, hear: Callable[[Presence], None]) -> None:
        self.tell_presence = hear

    def hear(self) -> None:
        self.last_heard_at = trio.current_time()

    async def connect(self, position: Position | None, peers: Sequence[Peer]) -> Peer:
        self.asked.append((position, tuple(peers)))
        found = await _played(self.connects)
        self.hear()
        return found

    async def send_text(
        self, peer: Peer, text: str, *, random_id: int, entities: Sequence[Entity] = ()
    ) -> Outcome:
        self.sent.append((trio.current_time(), peer.chat_id, text, random_id))
        self.entities.append(tuple(entities))
        return await _played(self.sends.get(text, SENT))

    async def look_for(
        self, peer: Peer, text: str, *, above: int, entities: Sequence[Entity] = ()
    ) -> Look | Deferred | Refused:
        self.looked.append((trio.current_time(), peer.chat_id, text, above))
        return await _played(self.looks)

    @property
    def text_limit(self) -> int:
        return 4096

    @property
    def caption_limit(self) -> int:
        return 1024

    async def resolve(self, to: str) -> Peer | Refused | Deferred:
        self.resolved.append((trio.current_time(), to))
        return await _played(self.resolve_script.popleft() if self.resolve_script else self.resolves)

    async def meet(self, seen: int) -> Met | Refused | Deferred:
        self.met_at.append(trio.current_time())
        if self.meets:
            page: Sequence[Peer] | Refused | Deferred = await _played(self.meets.popleft())
            if isinstance(page, Refused | Deferred):
                return page
            self.met += page
        await trio.lowlevel.checkpoint()
        return Met(tuple(self.met[seen:]), not self.meets)

    async def history(
        self, peer: Peer, *, below: int, limit: int, ahead: int = 0, takeout: int | None = None
    ) -> HistoryPage | Refused | Deferred:
        self.pages.append((trio.current_time(), below, limit))
        self.ahead.append(ahead)
        self.read_in.append(takeout)
        if self.page_script:
            return await _played(self.page_script.popleft())
        there = (
            [each for each in self.chat if not below or each.telegram_id < below][-limit:] if limit else []
        )
        await trio.lowlevel.checkpoint()
        ids = [each.telegram_id for each in there]
        return HistoryPage(tuple(there), (), min(ids, default=None), max(ids, default=0))

    async def open_takeout(self) -> int | NotYetAllowed | Refused | Deferred:
        self.takeouts.append((trio.current_time(), "open"))
        return await _played(self.takeout_script.popleft() if self.takeout_script else 77)

    async def close_takeout(self, takeout: int, *, success: bool) -> Refused | Deferred | None:
        self.takeouts.append((trio.current_time(), f"close {takeout} {success}"))
        await trio.lowlevel.checkpoint()
        return None

    async def chats(self, cursor: str | None, *, takeout: int | None = None) -> ChatList | Refused | Deferred:
        self.listed.append((trio.current_time(), cursor, takeout))
        return await _played(self.list_script.popleft() if self.list_script else ChatList((), (), None))

    async def ping(self) -> None:
        self.pings.append(trio.current_time())
        if self.silent:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        if self._lost.is_set():
            raise TelegramAway("the line broke under the ping")
        self.hear()

    async def compare(self) -> Told:
        self.compared.append(trio.current_time())
        return await _played(self.told)

    def heard(self) -> Heard:
        return self.hears

    def catch_up(self, logs: Collection[int]) -> None:
        self.caught_up.append((trio.current_time(), sorted(logs)))

    async def wait_lost(self) -> str:
        await self._lost.wait()
        if isinstance(self._loss, AccountRefused | TelegramFloods):
            raise self._loss
        return self._loss


async def _played(what: E | Exception | None) -> E:
    if what is None:
        await trio.sleep_forever()
        raise AssertionError("unreachable")
    await trio.lowlevel.checkpoint()
    if isinstance(what, Exception):
        raise what
    return what


def format_text(text: str, parse_mode: str) -> FormattedText | Refused:
    """Knows one kind of markup: ``*`` at both ends makes bold."""
    if parse_mode != "stars":
        return Refused(f"parse_mode {parse_mode}")
    plain = text.strip("*")
    return FormattedText(plain, (Entity(EntityKind.BOLD, 0, len(plain)),))


class ScriptedTelegram:
    """Fills `ports.Telegram`: hands out the given lines one after the other, then makes well ones.

    Each line has a nursery of its own, as in the adapter: what is raised through it arrives in a group.
    """

    def __init__(self, *lines: ScriptedConnection | Exception) -> None:
        self._script = deque(lines)
        self.lines: list[ScriptedConnection] = []
        self.opened_at: list[float] = []
        self.sessions: list[Secret] = []
        self.open_now = 0

    def format_text(self, text: str, parse_mode: str) -> FormattedText | Refused:
        return format_text(text, parse_mode)

    @asynccontextmanager
    async def open(self, account: Account, session: Secret) -> AsyncGenerator[ScriptedConnection]:
        self.opened_at.append(trio.current_time())
        self.sessions.append(session)
        line = self._script.popleft() if self._script else ScriptedConnection()
        if isinstance(line, Exception):
            raise line
        line.hear()
        self.lines.append(line)
        self.open_now += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                yield line
                nursery.cancel_scope.cancel()
        finally:
            self.open_now -= 1


class FakeVault:
    """Fills `ports.Vault`: only ``sealed`` opens, and what it has encrypted itself."""

    def encrypt(self, session: str | Secret) -> str:
        return f"its {session}"

    def decrypt(self, token: str) -> Secret:
        if token.startswith("its "):
            return Secret(token.removeprefix("its "))
        if token != "sealed":
            raise SessionUnreadable("no key opens this session: set the right ENCRYPTION_KEY, or log in")
        return Secret("the session")
