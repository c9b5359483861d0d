"""The account children: a supervisor of their own, to which the account sync adds and removes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import trio

from tgworker.messaging.account import run_account
from tgworker.messaging.account_context import AccountContext
from tgworker.messaging.models import Account, AccountId
from tgworker.supervision import (
    ChildSpec,
    Intensity,
    Pulse,
    Restart,
    StartFunction,
    StopOrder,
    Supervisor,
    SupervisorSpec,
    open_nested,
)


class SupervisedAccounts:
    """Fills `tgworker.messaging.ports.AccountChildren` with a supervisor below the root.

    The supervisor is a child of the root beside the account sync, not inside it: a sync that hangs and is
    restarted disturbs no account.

    Args:
        context: What all accounts share.
        child: Makes a child's spec of its id and what it runs: the limits that all children share.
        forgotten: Told which account is no longer ours.
    """

    def __init__(
        self,
        context: AccountContext,
        *,
        child: Callable[[str, StartFunction], ChildSpec],
        forgotten: Callable[[AccountId], None],
    ) -> None:
        self._context = context
        self._child = child
        self._forgotten = forgotten
        self._supervisor: Supervisor | None = None
        self._started: dict[AccountId, Account] = {}

    async def hold(self, pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        """The child of the root that contains the accounts' supervisor; returns never."""
        # Never gives up: whatever is wrong with one account is retried at the longest backoff.
        spec = SupervisorSpec("account", intensity=Intensity.unlimited(), stop=StopOrder.TOGETHER)
        async with open_nested(spec, pulse) as supervisor:
            self._supervisor = supervisor
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._supervisor = None
                self._started.clear()

    def running(self) -> Mapping[AccountId, Account]:
        """What was started and not stopped; children that ended by themselves included."""
        return dict(self._started)

    def start(self, account: Account) -> None:
        """Start the account's child; nothing happens while the accounts' supervisor itself is away."""
        if self._supervisor is None:
            return
        spec = self._child(account.id, partial(run_account, account=account, context=self._context))
        # Transient: it returns when a person must act, and then it has done its work.
        self._supervisor.start_child(replace(spec, restart=Restart.TRANSIENT))
        self._started[account.id] = account

    async def stop(self, account_id: AccountId) -> None:
        """Stop the account's child and wait until it is dead; its line is closed then."""
        if self._supervisor is not None and account_id in self._supervisor:
            await self._supervisor.stop_child(account_id)
        self._started.pop(account_id, None)
        self._forgotten(account_id)
