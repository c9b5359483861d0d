"""The keeper of the leases: renews them, and ends what holds an account before its lease runs out.

One account may be online in one place only: Telegram destroys a session that it meets in two. So an account
whose lease was lost, or cannot be renewed because the store is away, is disconnected in time; the account
sync starts it again as soon as the store gives the lease back.
"""

from collections.abc import Collection, Mapping

import trio

from tgworker.messaging.bounded import Delays, Outage, within
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import AccountChanged, Report
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, AccountState
from tgworker.messaging.ports import AccountChildren, Leases, Pulse

LOOK_AGAIN_S = 1.0
"""How often it is looked whether an account has started whose lease has to be watched."""

LOST = "another worker holds the account"
RUN_OUT = "its lease cannot be renewed: the store is away"


class Nudge:
    """Wakes the account sync before its time, and tells when it has looked."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._asked = self._looked = 0
        self._has_looked = trio.Event()

    def ring(self) -> None:
        """Wake it."""
        self._event.set()

    async def wait(self) -> None:
        """Wait to be woken; a ring that came since the last wait counts."""
        await self._event.wait()
        self._event = trio.Event()

    @property
    def asked(self) -> int:
        """How many have asked for a look; for the account sync, before it reads the table."""
        return self._asked

    def looked(self, asked: int) -> None:
        """Tell those who had asked by then that the table was read, and followed."""
        if asked > self._looked:
            self._looked = asked
            self._has_looked.set()
            self._has_looked = trio.Event()

    async def wait_looked(self) -> None:
        """Wake the account sync, and wait until it has followed what the table says from now on.

        Accounts that are to stop are dead then; while the store is away it takes until it is back.
        """
        self._asked += 1
        mine = self._asked
        self.ring()
        while self._looked < mine:
            await self._has_looked.wait()


class NoLeases:
    """A store that only one worker can have open: every account is ours for as long as that lasts."""

    async def acquire(self, account_ids: Collection[AccountId]) -> Mapping[AccountId, float]:  # noqa: ARG002
        """Nothing is refused."""
        await trio.lowlevel.checkpoint()
        return {}

    async def renew(self) -> None:
        """Nothing runs out."""
        await trio.lowlevel.checkpoint()

    async def release(self, account_ids: Collection[AccountId]) -> None:  # noqa: ARG002
        """Nobody waits for it."""
        await trio.lowlevel.checkpoint()

    def left_s(self, account_id: AccountId) -> float:  # noqa: ARG002
        """For ever."""
        return float("inf")

    def held(self) -> Collection[AccountId]:
        """Nothing that has to be given back."""
        return ()

    async def wait_lost(self) -> Collection[AccountId]:
        """Nothing is lost."""
        await trio.sleep_forever()
        raise AssertionError("unreachable")


async def run_leases(
    pulse: Pulse,
    *,
    leases: Leases,
    children: AccountChildren,
    nudge: Nudge,
    limits: Limits,
    delays: Delays,
    report: Report,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Keep the leases of the accounts that run; returns never.

    Args:
        pulse: This loop's sign of life: of its renewals.
        leases: The leases.
        children: What holds the accounts.
        nudge: Wakes the account sync when an account was ended.
        limits: ``lease_renew_s`` between renewals, ``lease_margin_s`` before the end of a lease.
        delays: Backoff while the store is away.
        report: Hears of outages, and of accounts that were ended.
        task_status: Started at once.

    Cancellation: leases run on; a new incarnation of this loop goes on with them.
    """
    task_status.started()
    outage = Outage(pulse, report, delays)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_guard, leases, children, nudge, limits, report, name="leases.guard")
        while True:
            pulse.beat()
            try:
                with pulse.cycle(limits.cycle_s):
                    await within(pulse, "database.leases", limits.database_s, leases.renew)
            except StoreAway as error:
                await outage.wait("leases", error)
                continue
            outage.over("leases")
            pulse.expect(limits.lease_renew_s)
            await trio.sleep(limits.lease_renew_s)


async def _guard(
    leases: Leases, children: AccountChildren, nudge: Nudge, limits: Limits, report: Report
) -> None:
    """End accounts whose lease is lost, or about to run out."""
    while True:
        running = children.running()
        margins = {account: leases.left_s(account) - limits.lease_margin_s for account in running}
        over = [account for account, left_s in margins.items() if left_s <= 0]
        if over:
            async with trio.open_nursery() as nursery:
                for account in over:
                    reason = RUN_OUT if account in leases.held() else LOST
                    nursery.start_soon(_end, account, reason, children, report)
            nudge.ring()
            continue
        # At most so long: the machine may sleep meanwhile, and leases run out with it.
        with trio.move_on_after(min([LOOK_AGAIN_S, *margins.values()])):
            if not set(await leases.wait_lost()) & running.keys():
                await trio.sleep(LOOK_AGAIN_S)


async def _end(account: AccountId, reason: str, children: AccountChildren, report: Report) -> None:
    await children.stop(account)
    state = AccountState.WAITING if reason == RUN_OUT else AccountState.ELSEWHERE
    report(AccountChanged(account, state, reason))
