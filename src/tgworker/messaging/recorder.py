"""What an account is, on its way into the store: it gets there however long that takes, and delays nobody."""

from dataclasses import dataclass

import trio

from tgworker.messaging.bounded import Outage
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, AccountState
from tgworker.messaging.store_ports import AccountStore


@dataclass(frozen=True, slots=True)
class _Standing:
    state: AccountState
    last_error: str | None
    user_id: int | None


class StateRecorder:
    """Stores the latest state of one account; one that was overtaken before it was stored is left out.

    Args:
        account_id: The account.
        store: Where states are kept.
        limits: The database deadline.
        outage: This recorder's view of the store.
    """

    def __init__(self, account_id: AccountId, *, store: AccountStore, limits: Limits, outage: Outage) -> None:
        self._account_id = account_id
        self._store = store
        self._limits = limits
        self._outage = outage
        self._latest: _Standing | None = None
        self._stored: _Standing | None = None
        self._news = trio.Event()

    def record(self, state: AccountState, last_error: str | None, *, user_id: int | None = None) -> None:
        """Say what the account is now. Returns at once; `run` stores it.

        Args:
            state: The new state.
            last_error: Why it is not well; ``None`` clears what stands there.
            user_id: The account's own Telegram id, once it is known; it stays known.
        """
        if user_id is None and self._latest is not None:
            user_id = self._latest.user_id
        self._latest = _Standing(state, last_error, user_id)
        self._news.set()

    async def run(self) -> None:
        """Store what is said; returns never. Cancellation: a state that was not stored yet is forgotten."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            if self._stored is not self._latest:
                await self._outage.insist(
                    "database.record_account", self._limits.database_s, self._store_latest
                )

    async def _store_latest(self) -> None:
        latest = self._latest
        assert latest is not None
        await self._store.record_account(
            self._account_id, latest.state, last_error=latest.last_error, user_id=latest.user_id
        )
        self._stored = latest
