"""The account sync: which accounts should be ours, compared with which are."""

import math
import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import trio

from tgworker.messaging.bounded import Delays, Outage, within
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import AccountChanged, Report
from tgworker.messaging.leases import LOST, NoLeases, Nudge
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import Account, AccountId, AccountState
from tgworker.messaging.ports import AccountChildren, Leases, Pulse
from tgworker.messaging.same_account import Same
from tgworker.messaging.store_ports import AccountStore

ASK_AGAIN_S = 1.0
"""A lease that another worker has is asked for again when it runs out, but never more often than this."""

NO_LEASES = NoLeases()


@dataclass(frozen=True, slots=True)
class Hold:
    """An account that may not start yet.

    Attributes:
        until_s: Trio's clock.
        reason: For people, the account's ``last_error`` until then; ``None`` for one that only starts after
            the others.
    """

    until_s: float
    reason: str | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What the account sync has to do: first stop, then start."""

    stop: tuple[AccountId, ...]
    start: tuple[Account, ...]


def changes(
    active: Sequence[Account], running: Mapping[AccountId, Account], same: Same = operator.eq
) -> Changes:
    """Compare what should run with what was started: a pure decision.

    An account whose row changed (a new login, another proxy) is stopped and started anew. One whose child has
    ended by itself because Telegram refused it counts as running: only a changed row gives it another chance.

    Args:
        active: As the table has them.
        running: As they were started.
        same: Whether a child may go on although its row changed.
    """
    kept = {
        account.id
        for account in active
        if (was := running.get(account.id)) is not None and same(was, account)
    }
    stop = tuple(account_id for account_id in running if account_id not in kept)
    start = tuple(account for account in active if account.id not in kept)
    return Changes(stop, start)


async def run_accounts(
    pulse: Pulse,
    *,
    store: AccountStore,
    children: AccountChildren,
    dispatch: Dispatch,
    limits: Limits,
    delays: Delays,
    report: Report,
    synced: trio.Event,
    holds: Mapping[AccountId, Hold] = MappingProxyType({}),
    leases: Leases = NO_LEASES,
    nudge: Nudge | None = None,
    same: Same = operator.eq,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Keep one child for each account that should be ours; returns never.

    Args:
        pulse: This loop's sign of life.
        store: Says which accounts are active; is told which are online.
        children: Starts and stops the account children.
        dispatch: Knows which accounts are online.
        limits: ``accounts_every_s`` and the deadlines.
        delays: Backoff while the store is away; accounts that run go on meanwhile.
        report: Hears of outages.
        synced: Set once the accounts were read and their children started.
        holds: Accounts that may not start yet: each is started at its time.
        leases: An account is started once its lease is ours, and its lease given back once it is dead.
        nudge: Wakes this loop before its time, and hears when it has looked.
        same: Whether a child may go on although its account's row changed.
        task_status: Started at once.

    Cancellation: children that were started go on; a new incarnation of this loop finds them in ``children``.
    """
    task_status.started()
    outage = Outage(pulse, report, delays)
    told: set[AccountId] = set()
    elsewhere: set[AccountId] = set()
    nudge = Nudge() if nudge is None else nudge
    while True:
        pulse.beat()
        now_s = trio.current_time()
        asked = nudge.asked
        held = {account_id: hold for account_id, hold in holds.items() if hold.until_s > now_s}
        try:
            with pulse.cycle(limits.cycle_s):
                active, refused = await _compare(pulse, store, children, leases, limits, held, same)
                synced.set()
                nudge.looked(asked)
                for account_id in (told | elsewhere) - active:
                    await children.stop(account_id)  # nothing runs; but it is to be forgotten
                told &= active
                for account_id in refused.keys() - elsewhere:
                    report(AccountChanged(account_id, AccountState.ELSEWHERE, LOST))
                elsewhere = set(refused)
                for account_id in active & held.keys() - told:
                    await _tell(pulse, store, account_id, held[account_id], limits, report)
                    told.add(account_id)
                await _record_online(pulse, store, dispatch, limits)
        except StoreAway as error:
            await outage.wait("accounts", error)
            continue
        outage.over("accounts")
        now_s = trio.current_time()
        # Asked again when it runs out, or a little earlier: it may be given back before.
        again_s = (
            now_s + min(max(wait_s, ASK_AGAIN_S), limits.lease_renew_s)
            for wait_s in refused.values()
            if wait_s < math.inf
        )
        next_s = min([now_s + limits.accounts_every_s, *(hold.until_s for hold in held.values()), *again_s])
        pulse.expect(max(0, next_s - now_s))
        with trio.move_on_at(next_s):
            await nudge.wait()


async def _compare(
    pulse: Pulse,
    store: AccountStore,
    children: AccountChildren,
    leases: Leases,
    limits: Limits,
    held: Collection[AccountId],
    same: Same,
) -> tuple[set[AccountId], Mapping[AccountId, float]]:
    """Start and stop children as the table says.

    Returns:
        Which accounts the table names, held ones included, and those of them that are refused a lease, with
        the time after which to ask again.
    """
    active = await within(pulse, "database.active_accounts", limits.database_s, store.active_accounts)
    startable = [account for account in active if account.id not in held]
    missing = [account.id for account in startable if leases.left_s(account.id) <= limits.lease_margin_s]
    refused: Mapping[AccountId, float] = {}
    if missing:
        refused = await within(pulse, "database.leases", limits.database_s, lambda: leases.acquire(missing))
    todo = changes([account for account in startable if account.id not in refused], children.running(), same)
    for account_id in todo.stop:
        await children.stop(account_id)
        pulse.beat()
    idle = set(leases.held()) - {account.id for account in startable}
    if idle:
        await within(pulse, "database.leases", limits.database_s, lambda: leases.release(idle))
    for account in todo.start:
        children.start(account)
    return {account.id for account in active}, refused


async def _tell(
    pulse: Pulse, store: AccountStore, account_id: AccountId, hold: Hold, limits: Limits, report: Report
) -> None:
    """Say why an account does not start."""
    await within(
        pulse,
        "database.record_account",
        limits.database_s,
        partial(store.record_account, account_id, AccountState.WAITING, last_error=hold.reason),
    )
    report(AccountChanged(account_id, AccountState.WAITING, hold.reason))


async def _record_online(pulse: Pulse, store: AccountStore, dispatch: Dispatch, limits: Limits) -> None:
    online = dispatch.online()
    if online:
        await within(pulse, "database.record_synced", limits.database_s, lambda: store.record_synced(online))
