"""What a worker says about itself: pure translations of supervision's snapshot, and the accounts' states."""

import math
from collections.abc import Mapping

from tgworker.messaging.account_states import AWAY
from tgworker.messaging.events import AccountChanged, Event, StoreBack, StoreUnavailable
from tgworker.messaging.models import AccountId, AccountState, LoopStatus
from tgworker.supervision import ChildSnapshot, Snapshot

PLAN_NAMES: Mapping[str, str] = {
    "sync": "accounts",
    "outbound": "outbound",
    "history": "history",
    "jobs": "jobs",
}
"""The plan's names in ``worker_heartbeats.loops_status``, and the children that they stand for."""

NEXT_TRY_S = 1.0
"""How late, seconds, a loop may be with its next try."""


class AccountStates:
    """The last reported state of each account. Its `note` is an observer of messaging events."""

    def __init__(self) -> None:
        self._last: dict[AccountId, AccountChanged] = {}

    def note(self, event: Event) -> None:
        """Remember what an account said."""
        if isinstance(event, AccountChanged):
            self._last[event.account] = event

    def forget(self, account_id: AccountId) -> None:
        """The account is no longer ours."""
        self._last.pop(account_id, None)

    def away(self) -> int:
        """How many accounts should be online and are not."""
        return sum(1 for last in self._last.values() if last.state in AWAY)

    def online(self) -> int:
        """How many accounts are online."""
        return self.count(AccountState.ONLINE)

    def count(self, state: AccountState) -> int:
        """How many accounts are in a state."""
        return sum(1 for last in self._last.values() if last.state is state)

    def last(self, account_id: AccountId) -> AccountChanged | None:
        """What an account last said."""
        return self._last.get(account_id)


class StoreState:
    """Whether the store answers, as far as the loops have said. Its `note` hears messaging events.

    A loop that asks in vain says so at each try, but one that was restarted meanwhile does not say that it is
    over: so what was said holds until the next try must have been made.

    Args:
        limit_s: What one try may take, seconds.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._away_until_s = -math.inf

    def note(self, event: Event, now_s: float) -> None:
        """Remember what was said of the store."""
        if isinstance(event, StoreUnavailable):
            self._away_until_s = now_s + event.retry_in_s + self._limit_s + NEXT_TRY_S
        elif isinstance(event, StoreBack):
            self._away_until_s = -math.inf

    def away(self, now_s: float) -> bool:
        """Whether it did not answer when it was asked last."""
        return now_s < self._away_until_s


def loops_of(snapshot: Snapshot) -> dict[str, LoopStatus]:
    """The plan's four loops, from the root's snapshot."""
    children = {child.id: child for child in snapshot.children}
    return {
        name: _loop(children[child], snapshot.at_s) for name, child in PLAN_NAMES.items() if child in children
    }


def _loop(child: ChildSnapshot, now_s: float) -> LoopStatus:
    if child.beat_age_s is not None:
        silent_s = child.beat_age_s
    elif child.last is not None:
        silent_s = now_s - child.last.ended_at_s
    else:
        silent_s = math.inf
    return LoopStatus(
        last_ping_ago=round(silent_s, 3) if silent_s < math.inf else -1,
        alive=child.alive,
        restarts=child.restarts,
        operation=child.operation,
        verdict=child.verdict.value if child.verdict is not None else None,
    )
