"""What the loops ask of the outside, stores (`tgworker.messaging.store_ports`) excepted, as small Protocols.

Adapters fill them without knowing each other. Every method of a connection may raise `TelegramAway`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from enum import Flag, auto
from typing import Protocol

import trio

from tgworker.messaging.formatted import Entity, FormattedText
from tgworker.messaging.hearing import Heard, Told
from tgworker.messaging.job_ports import JobConnection
from tgworker.messaging.media_ports import MediaConnection
from tgworker.messaging.models import (
    Account,
    AccountId,
    ChatList,
    HistoryPage,
    Look,
    Met,
    Peer,
    Position,
    Secret,
)
from tgworker.messaging.outcomes import Deferred, NotYetAllowed, Outcome, Refused
from tgworker.messaging.presence import Presence
from tgworker.messaging.update_batches import UpdateBatch


class Deadline(Protocol):
    """An open `Pulse.deadline`; the code after the block asks it what happened."""

    @property
    def expired(self) -> bool:
        """Whether the block was cut off at its deadline. Meaningful after the block."""
        ...


class Pulse(Protocol):
    """A loop's sign of life, as supervision hands it to each child."""

    def beat(self) -> None:
        """Say "alive". Costs next to nothing."""
        ...

    def deadline(self, operation: str, seconds: float) -> AbstractContextManager[Deadline, bool]:
        """Run the block for at most ``seconds``; an expiry raises nothing, is recorded, and can be asked."""
        ...

    def cycle(self, seconds: float) -> AbstractContextManager[None]:
        """Run one turn of a loop; a turn that takes longer ends the child with the verdict ``deadline``."""
        ...

    def expect(self, within_s: float) -> None:
        """Announce silence: no beat need come before ``within_s`` from now."""
        ...


class Leases(Protocol):
    """Which accounts only this worker may hold online, and for how long.

    Times are seconds of a clock that goes on while the machine sleeps.
    """

    async def acquire(self, account_ids: Collection[AccountId]) -> Mapping[AccountId, float]:
        """Take accounts, or keep them; returns those that are refused, and when to ask again (seconds).

        Infinity: not before somebody has changed the account.
        """
        ...

    async def renew(self) -> None:
        """Renew everything that is held; what was lost is known to `wait_lost` afterwards."""
        ...

    async def release(self, account_ids: Collection[AccountId]) -> None:
        """Give accounts back that are offline: whoever asks next gets them at once."""
        ...

    def left_s(self, account_id: AccountId) -> float:
        """How long the account is certainly still ours; 0 for one that is not."""
        ...

    def held(self) -> Collection[AccountId]:
        """Every account that was acquired, and neither lost nor released."""
        ...

    async def wait_lost(self) -> Collection[AccountId]:
        """Wait until something is lost; returns all that was and is neither acquired nor released since."""
        ...


class Work(Flag):
    """What there may be to claim."""

    NOTHING = 0
    MESSAGES = auto()
    JOBS = auto()


class WakeUp(Protocol):
    """Where work appears. Only a hint: what it says may be late, wrong, or lost."""

    async def wait(self, account_ids: Collection[AccountId], *, jobs_of: Collection[AccountId]) -> Work:
        """Wait, a bounded time, until there may be something to claim; returns what.

        Args:
            account_ids: Who takes messages to send; nobody: none are waited for.
            jobs_of: Who takes jobs.
        """
        ...


class Vault(Protocol):
    """Encrypts and decrypts session strings and the like."""

    def decrypt(self, token: str) -> Secret:
        """The session string in ``token``; raises `SessionUnreadable`."""
        ...

    def encrypt(self, session: str | Secret) -> str:
        """A token of a secret, as `decrypt` takes it."""
        ...


class Connection(MediaConnection, JobConnection, Protocol):
    """One account's line to Telegram. Disposable: after any doubt, close it and open a new one."""

    async def connect(self, position: Position | None, peers: Sequence[Peer]) -> Peer:
        """Make the line and catch up from ``position``; returns the account's own user.

        Raises `TelegramAway` when there is no line, `AccountRefused` when Telegram will not have the account.
        If it is cancelled or raises, the connection is of no more use.
        """
        ...

    async def send_text(
        self, peer: Peer, text: str, *, random_id: int, entities: Sequence[Entity] = ()
    ) -> Outcome:
        """One attempt, no private retries. A line that breaks under it is `Unknown`, not an exception.

        `Released` says that Telegram certainly does not have the message: the line was gone before any byte
        left, or the account itself was refused (`wait_lost` then raises). If it is cancelled, Telegram may or
        may not have the message; it is never delivered later by a reconnect ("ghost send").
        """
        ...

    async def look_for(
        self, peer: Peer, text: str, *, above: int, entities: Sequence[Entity] = ()
    ) -> Look | Deferred | Refused:
        """Look into a chat's history for what `send_text` would have made there, under ids above ``above``.

        `Refused` says that Telegram does not let the account read that history.
        """
        ...

    @property
    def text_limit(self) -> int:
        """How long one message may be, in UTF-16 code units, as the server says."""
        ...

    @property
    def caption_limit(self) -> int:
        """How long what stands under a file may be, in UTF-16 code units, as the server says."""
        ...

    async def history(
        self, peer: Peer, *, below: int, limit: int, ahead: int = 0, takeout: int | None = None
    ) -> HistoryPage | Refused | Deferred:
        """Read a history backwards: at most ``limit`` messages under the id ``below``; 0: the newest.

        So many as ``ahead`` of those below them may be asked for already: that is kept for the next call.
        Within a ``takeout`` session Telegram is more patient with who reads much.
        """
        ...

    async def open_takeout(self) -> int | NotYetAllowed | Refused | Deferred:
        """Begin a takeout session for the messages of all chats; returns its id.

        One that the account has already ends with it.
        """
        ...

    async def close_takeout(self, takeout: int, *, success: bool) -> Refused | Deferred | None:
        """End a takeout session; one that is over already is no error."""
        ...

    async def chats(self, cursor: str | None, *, takeout: int | None = None) -> ChatList | Refused | Deferred:
        """Read the list of the account's chats, the archive included, from ``cursor`` on; ``None``: all."""
        ...

    async def resolve(self, to: str) -> Peer | Refused | Deferred:
        """Find whom ``to`` names: a marked id in decimal, ``@username``, or ``+`` and a phone number."""
        ...

    async def meet(self, seen: int) -> Met | Refused | Deferred:
        """Read one page on in the account's contacts and chats, unless they are at their end.

        Returns:
            Whom it met there since it was connected, without the first ``seen`` of them.
        """
        ...

    async def ping(self) -> None:
        """Ask the line whether it lives; returns when Telegram has answered."""
        ...

    async def compare(self) -> Told:
        """Ask Telegram where its update logs stand; nothing where it will not say now."""
        ...

    def heard(self) -> Heard:
        """How far the update logs were heard, whether that is stored or not."""
        ...

    def catch_up(self, logs: Collection[int]) -> None:
        """Ask Telegram for what was missed in these logs; it arrives like any other update."""
        ...

    @property
    def updates(self) -> trio.MemoryReceiveChannel[UpdateBatch]:
        """What arrives, in order; bounded, so that a slow store slows Telegram down.

        Ends when the connection is left. An account that was never seen (no position) gets a first batch that
        holds nothing but the position it starts from: store it, and nothing after it can be missed.
        """
        ...

    def hear_presence(self, hear: Callable[[Presence], None]) -> None:
        """Tell ``hear`` from now on which of the known people come online, go, or type.

        It is told at once, whatever waits among `updates`, and must neither wait nor raise.
        """
        ...

    @property
    def last_heard_at(self) -> float:
        """Time on trio's clock at which the last packet came in."""
        ...

    async def wait_lost(self) -> str:
        """Wait until the line is no more; returns why. Never returns while the line lives.

        Raises `AccountRefused` when it was Telegram's final no to the account that ended it, and
        `TelegramFloods` when Telegram will not be asked again for minutes.
        """
        ...


class Telegram(Protocol):
    """Opens lines to Telegram."""

    def open(self, account: Account, session: Secret) -> AbstractAsyncContextManager[Connection]:
        """Prepare a line for one account; nothing is sent before `Connection.connect`.

        Leaving the context closes it at once (milliseconds), whatever state it is in.
        """
        ...

    def format_text(self, text: str, parse_mode: str) -> FormattedText | Refused:
        """Read marked-up text (``markdown``, ``html``); a pure function, it never raises."""
        ...


class AccountChildren(Protocol):
    """The account children that run under the supervisor."""

    def running(self) -> Mapping[AccountId, Account]:
        """What was started and not stopped, with the account as it was at its start."""
        ...

    def start(self, account: Account) -> None:
        """Start a child for the account; it is restarted on failure until it is stopped."""
        ...

    async def stop(self, account_id: AccountId) -> None:
        """Stop the child in order, if it runs, and forget it; returns once it is dead."""
        ...
