"""What a worker is made of, as values and ports: settings chose them, tests and the demo bring their own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol

import trio

from tgworker.messaging.accounts import Hold
from tgworker.messaging.events import Report
from tgworker.messaging.file_store import FileStore
from tgworker.messaging.limits import Limits
from tgworker.messaging.login_ports import LoginStore
from tgworker.messaging.login_requests import LoginDoor, Sealer
from tgworker.messaging.media_rules import MediaRules
from tgworker.messaging.models import AccountId
from tgworker.messaging.pace import PaceLimits
from tgworker.messaging.pacing import PUBLISHED, Rates
from tgworker.messaging.ports import (
    Leases,
    Telegram,
    Vault,
    WakeUp,
)
from tgworker.messaging.store_ports import (
    AccountChildStore,
    HeartbeatWriter,
    HistoryQueue,
    JobStore,
    OutboxStore,
    PresenceStore,
    Sweeper,
)
from tgworker.messaging.transcoding import Transcoder
from tgworker.supervision import (
    Backoff,
    Canary,
    ChildSpec,
    Dump,
    Observer,
    StartFunction,
    Wedged,
    task_stacks,
)
from tgworker.supervision.systemd import Systemd
from tgworker.transcoding.transcoder import PyAvTranscoder

LINE_BACKOFF = Backoff(initial_s=0.5, factor=2, cap_s=60)
"""Between two lines of one account: Telegram floods whoever knocks too often."""

FLOOD_BACKOFF = Backoff(initial_s=60, factor=2, cap_s=900)
"""While Telegram takes no connections from here (-429)."""

LINE_EVERY_S = 0.05
"""Between the beginnings of two lines, whoever's: a line takes the event loop for 5 to 10 ms."""

STORE_BACKOFF = Backoff(initial_s=0.1, factor=2, cap_s=0.5)
"""While the store is away: its return is noticed within a second."""

RESTART_BACKOFF = Backoff()
"""Between two incarnations of a child: supervision's own."""


CONVERTERS = 2
"""Files that are looked into at a time, each in a process of its own."""

NO_SYSTEMD = Systemd()
"""Nobody is told when the worker is ready, well, or stopping."""


class Store(AccountChildStore, OutboxStore, PresenceStore, HistoryQueue, JobStore, LoginStore, Protocol):
    """Everything that the tree asks of a store."""


class TelegramAccess(Telegram, LoginDoor, Protocol):
    """Opens lines of accounts, and logins."""


class SessionVault(Vault, Sealer, Protocol):
    """Decrypts and encrypts sessions."""


@dataclass(frozen=True, slots=True)
class OpenStore:
    """A store that is open, and what it asks of the worker.

    Attributes:
        store: The ports.
        files: Where attachments and avatars are kept.
        incarnation: Grows with every worker that opens the store.
        limits: The deadlines, and how often the store wants to be asked.
        heartbeats: Where heartbeats go.
        leases: Of a store that several workers share; ``None``: it is open here alone.
        wakeup: Where work appears, where that can be watched.
        pace: How often the outbox is asked; every ``limits.outbound_every_s`` if nothing is said.
        sweeper: What has to be swept, if anything.
    """

    store: Store
    files: FileStore
    incarnation: int
    limits: Limits
    heartbeats: Sequence[HeartbeatWriter] = ()
    leases: Leases | None = None
    wakeup: WakeUp | None = None
    pace: PaceLimits | None = None
    sweeper: Sweeper | None = None

    def may_write(self, account_id: AccountId) -> bool:
        """Whether an account's line may still be written to: asked before every write to its socket."""
        return self.leases is None or self.leases.left_s(account_id) > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a worker is made of.

    Attributes:
        worker_id: The key of its heartbeat row.
        incarnation: Grows with every start; the first half of a heartbeat's order.
        data_dir: Where its status socket is; it exists.
        limits: The deadlines.
        stall_after_s: Silence after which a loop counts as hung, seconds.
        store: Accounts, outbox, inbox.
        files: Where attachments and avatars are kept.
        attachments_bucket: The bucket of files that arrive, and of attachments whose row names none.
        avatars_bucket: The bucket of photos of people and groups.
        media: Which files that arrive are fetched.
        transcoder: Looks into files, and makes voice notes.
        telegram: Opens lines, and logins.
        vault: Decrypts and encrypts sessions.
        heartbeats: Where heartbeats go.
        seq: At least so much is a heartbeat's number: a clock, where another process may write the row, too.
        holds: Accounts that may not start yet.
        systemd: What systemd told this process, if the worker is to speak with it.
        leases: Of a store that several workers share; ``None``: it is open here alone.
        wakeup: Where work appears in the store, where that can be watched.
        pace: How often the outbox is asked; every ``limits.outbound_every_s`` if nothing is said.
        sweeper: What has to be swept, if anything.
        rng: All randomness: backoff and jitter.
        report: Hears what the loops do.
        observers: Hear what supervision does.
        adjust: The last word on every child's spec; the demo's saboteur comes in here.
        line_backoff: Between two lines of one account.
        flood_backoff: The same while Telegram takes no connections from here.
        line_every_s: Between the beginnings of two lines, whoever's, seconds.
        rates: How fast an account may send.
        restart_backoff: Between two incarnations of a child.
        dump: Evidence of a hung child.
        canary: Says how late the event loop is; ``None``: nobody does.
        services: What else runs in the tree, each with its id: what the process needs, not the worker.
        line_stacks: What an account's asyncio tasks are doing; ``None`` where it has no line.
        updates_waiting: How much of what came in waits in memory for the store.
        renew: Asks for a new process for the sake of a deaf account; whether there will be one.
        on_wedged: Ends the process: a task that does not die cannot be waited for.
    """

    worker_id: str
    incarnation: int
    data_dir: Path
    limits: Limits
    stall_after_s: float
    store: Store
    files: FileStore
    telegram: TelegramAccess
    vault: SessionVault
    heartbeats: Sequence[HeartbeatWriter]
    rng: Random
    report: Report
    attachments_bucket: str = "attachments"
    avatars_bucket: str = "avatars"
    media: MediaRules = field(default_factory=MediaRules)
    transcoder: Transcoder = field(default_factory=lambda: PyAvTranscoder(trio.CapacityLimiter(CONVERTERS)))
    leases: Leases | None = None
    wakeup: WakeUp | None = None
    pace: PaceLimits | None = None
    sweeper: Sweeper | None = None
    seq: Callable[[], int] = lambda: 0
    holds: Mapping[AccountId, Hold] = field(default_factory=dict[AccountId, Hold])
    systemd: Systemd = NO_SYSTEMD
    observers: Sequence[Observer] = ()
    adjust: Callable[[ChildSpec], ChildSpec] = lambda spec: spec
    line_backoff: Backoff = LINE_BACKOFF
    flood_backoff: Backoff = FLOOD_BACKOFF
    line_every_s: float = LINE_EVERY_S
    rates: Rates = PUBLISHED
    restart_backoff: Backoff = RESTART_BACKOFF
    dump: Dump | None = task_stacks
    line_stacks: Callable[[AccountId], str | None] = lambda _account_id: None
    canary: Canary | None = None
    services: Sequence[tuple[str, StartFunction]] = ()
    updates_waiting: Callable[[], int] = lambda: 0
    renew: Callable[[AccountId], bool] = lambda _account_id: False
    on_wedged: Callable[[Wedged], object] | None = None
