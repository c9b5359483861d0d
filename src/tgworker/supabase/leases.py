"""Leases: which accounts only this process may hold online, and until when.

The database gives a lease with a token, and every write carries the token; a write with an old one is refused
there. But Telegram asks nobody: so this side must know by itself when a lease has run out, also when the
database does not answer. It reckons from the moment *before* it asked, on a clock that goes on while the
machine sleeps: here a lease never lasts longer than there.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

import trio

from tgworker.messaging.errors import LeaseLost
from tgworker.messaging.models import AccountId
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import FenceRow, Row, fences_json

TTL_S = 60
"""How long a lease lasts. Longer than the outages that one should not notice at Telegram, and no longer than
another machine should wait for this one's accounts."""


class _Elsewhere(Row):
    account: AccountId
    for_s: float


class _Acquired(Row):
    leases: list[FenceRow]
    elsewhere: list[_Elsewhere]
    not_ours: list[AccountId]


class _Renewed(Row):
    leases: list[FenceRow]
    lost: list[AccountId]


class _Released(Row):
    released: list[AccountId]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds leases.

    Attributes:
        id: Of whoever restarts the worker: a process of the same holder takes over at once.
        incarnation: Grows with every process of the holder.
        worker_id: For people.
    """

    id: UUID
    incarnation: int
    worker_id: str


@dataclass(frozen=True, slots=True)
class _Held:
    fence: int
    until_s: float


class SupabaseLeases:
    """This process's leases; fills `tgworker.messaging.ports.Leases`.

    Args:
        rest: The project's REST API.
        holder: Whose they are.
        clock: Seconds, growing also while the machine sleeps.
        ttl_s: How long a lease lasts.
    """

    def __init__(self, rest: Rest, holder: Holder, *, clock: Callable[[], float], ttl_s: int = TTL_S) -> None:
        self._rest = rest
        self._holder = holder
        self._clock = clock
        self._ttl_s = ttl_s
        self._held: dict[AccountId, _Held] = {}
        self._giving: dict[AccountId, int] = {}
        self._lost: set[AccountId] = set()
        self._loss = trio.Event()

    # ---------------------------------------------------------------- the port

    async def acquire(self, account_ids: Collection[AccountId]) -> Mapping[AccountId, float]:
        """See `tgworker.messaging.ports.Leases`. Raises and cancellation: as `Rest`."""
        if not account_ids:
            return {}
        asked_at_s = self._clock()
        answer = await self._rest.call(
            "tgworker_acquire_leases",
            {
                "p_holder": self._holder.id,
                "p_incarnation": self._holder.incarnation,
                "p_worker": self._holder.worker_id,
                "p_accounts": sorted(account_ids),
                "p_ttl_s": self._ttl_s,
            },
            _Acquired,
        )
        self._keep(answer.leases, asked_at_s)
        away = {row.account: max(row.for_s, 0.0) for row in answer.elsewhere}
        return {**away, **dict.fromkeys(answer.not_ours, math.inf)}

    async def renew(self) -> None:
        """See `tgworker.messaging.ports.Leases`. Raises and cancellation: as `Rest`."""
        held = {account: lease.fence for account, lease in self._held.items()}
        if not held:
            return
        asked_at_s = self._clock()
        answer = await self._rest.call(
            "tgworker_renew_leases",
            {"p_holder": self._holder.id, "p_leases": fences_json(held), "p_ttl_s": self._ttl_s},
            _Renewed,
        )
        # (What was acquired anew or released while this was on its way is not this answer's business.)
        same = [row for row in answer.leases if self._is(row.account, row.fence)]
        self._keep(same, asked_at_s)
        self.lose(account for account in answer.lost if self._is(account, held[account]))

    async def release(self, account_ids: Collection[AccountId]) -> None:
        """See `tgworker.messaging.ports.Leases`. Raises and cancellation: as `Rest`.

        Whatever the database answers, or not: from now on these are not ours; `held` names them until it has.
        """
        for account in account_ids:
            self._lost.discard(account)
            if (lease := self._held.pop(account, None)) is not None:
                self._giving[account] = lease.fence
        fences = {account: self._giving[account] for account in account_ids if account in self._giving}
        if fences:
            await self._rest.call(
                "tgworker_release_leases",
                {"p_holder": self._holder.id, "p_leases": fences_json(fences)},
                _Released,
            )
            for account, fence in fences.items():
                if self._giving.get(account) == fence:
                    del self._giving[account]

    def left_s(self, account_id: AccountId) -> float:
        """See `tgworker.messaging.ports.Leases`."""
        lease = self._held.get(account_id)
        return 0.0 if lease is None else max(0.0, lease.until_s - self._clock())

    def held(self) -> Collection[AccountId]:
        """See `tgworker.messaging.ports.Leases`."""
        return (*self._held, *self._giving)

    async def wait_lost(self) -> Collection[AccountId]:
        """See `tgworker.messaging.ports.Leases`."""
        while not self._lost:
            await self._loss.wait()
        return tuple(self._lost)

    # ---------------------------------------------------------------- for the store

    @property
    def holder(self) -> UUID:
        """Whose they are."""
        return self._holder.id

    def fence(self, account_id: AccountId) -> int:
        """The token to write with.

        Raises:
            LeaseLost: There is no lease.
        """
        lease = self._held.get(account_id)
        if lease is None:
            raise LeaseLost(f"the account {account_id} belongs to a newer worker, or to nobody")
        return lease.fence

    def fences(self, account_ids: Collection[AccountId]) -> Mapping[AccountId, int]:
        """The tokens of those that are held."""
        return {account: self._held[account].fence for account in account_ids if account in self._held}

    def lose(self, account_ids: Iterable[AccountId]) -> None:
        """The database said that these are not ours any more."""
        gone = [account for account in account_ids if self._held.pop(account, None) is not None]
        if gone:
            self._lost.update(gone)
            self._loss.set()
            self._loss = trio.Event()

    def _is(self, account: AccountId, fence: int) -> bool:
        lease = self._held.get(account)
        return lease is not None and lease.fence == fence

    def _keep(self, rows: Collection[FenceRow], asked_at_s: float) -> None:
        for row in rows:
            self._lost.discard(row.account)
            self._giving.pop(row.account, None)
            self._held[row.account] = _Held(row.fence, asked_at_s + self._ttl_s)
