"""The account sync: which accounts should be ours, compared with which are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import trio

from tgworker.messaging.bounded import Delays, Outage, within
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import AccountChanged, Report
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import Account, AccountId, AccountState
from tgworker.messaging.ports import AccountChildren, AccountStore, Pulse


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


def changes(active: Sequence[Account], running: Mapping[AccountId, Account]) -> Changes:
    """Compare what should run with what was started: a pure decision.

    An account whose row changed (a new login, another proxy) is stopped and started anew. One whose child has
    ended by itself because Telegram refused it counts as running: only a changed row gives it another chance.
    """
    wanted = {account.id: account for account in active}
    stop = tuple(account_id for account_id, account in running.items() if wanted.get(account_id) != account)
    start = tuple(account for account in active if running.get(account.id) != account)
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
        task_status: Started at once.

    Cancellation: children that were started go on; a new incarnation of this loop finds them in ``children``.
    """
    task_status.started()
    outage = Outage(pulse, report, delays)
    told: set[AccountId] = set()
    while True:
        pulse.beat()
        now_s = trio.current_time()
        held = {account_id: hold for account_id, hold in holds.items() if hold.until_s > now_s}
        try:
            with pulse.cycle(limits.cycle_s):
                active = await _compare(pulse, store, children, limits, held)
                synced.set()
                for account_id in active & held.keys() - told:
                    await _tell(pulse, store, account_id, held[account_id], limits, report)
                    told.add(account_id)
                await _record_online(pulse, store, dispatch, limits)
        except StoreAway as error:
            await outage.wait("accounts", error)
            continue
        outage.over("accounts")
        now_s = trio.current_time()
        next_s = min([now_s + limits.accounts_every_s, *(hold.until_s for hold in held.values())])
        pulse.expect(max(0, next_s - now_s))
        await trio.sleep_until(next_s)


async def _compare(
    pulse: Pulse,
    store: AccountStore,
    children: AccountChildren,
    limits: Limits,
    held: Collection[AccountId],
) -> set[AccountId]:
    """Start and stop children as the table says; returns which accounts it names, held ones included."""
    active = await within(pulse, "database.active_accounts", limits.database_s, store.active_accounts)
    todo = changes([account for account in active if account.id not in held], children.running())
    for account_id in todo.stop:
        await children.stop(account_id)
        pulse.beat()
    for account in todo.start:
        children.start(account)
    return {account.id for account in active}


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
