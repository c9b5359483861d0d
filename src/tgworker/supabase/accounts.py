"""Accounts: the application's rows, and what the worker and the commands say of them."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.errors import LeaseLost
from tgworker.messaging.models import Account, AccountId, AccountState
from tgworker.messaging.records import AccountRecord, Replacement
from tgworker.messaging.values import new_id, storable
from tgworker.supabase.leases import SupabaseLeases
from tgworker.supabase.raised import raised_for
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import Row, fences_json, utc


class _Account(Row):
    id: AccountId
    owner_id: str
    workspace_id: str | None
    name: str | None
    kind: AccountKind
    secrets_encrypted: str
    config: dict[str, Any]

    def account(self) -> Account:
        return Account(
            id=self.id,
            owner_id=self.owner_id,
            workspace_id=self.workspace_id,
            name=self.name,
            secrets_encrypted=self.secrets_encrypted,
            config=self.config,
            kind=self.kind,
        )


class _Record(_Account):
    is_active: bool
    state: str
    user_id: int | None
    phone: str | None
    last_sync_at: datetime | None
    last_error: str | None
    stage: str

    def record(self) -> AccountRecord:
        return AccountRecord(
            account=self.account(),
            is_active=self.is_active,
            state=_state(self.state),
            user_id=self.user_id,
            phone=self.phone,
            last_sync_at=utc(self.last_sync_at),
            last_error=self.last_error,
            is_ours=self.stage in _OURS,
        )


_OURS: Final = ("ours", "releasing")
"""Stages of an account that a worker of ours may hold; see ``tgworker_is_ours``."""


class _Synced(Row):
    lost: list[AccountId]


class _Added(Row):
    id: AccountId


class _Switched(Row):
    switched: bool


class _Held(Row):
    for_s: float


class _Replaced(Row):
    answer: Replacement


class _Removed(Row):
    removed: bool


class Accounts:
    """Fills `tgworker.messaging.store_ports.AccountStore` and `tgworker.messaging.books.AccountBook`.

    Every method raises as `Rest`.

    Args:
        rest: The project's REST API.
        leases: Whose tokens are written with.
    """

    def __init__(self, rest: Rest, leases: SupabaseLeases) -> None:
        self._rest = rest
        self._leases = leases

    async def active_accounts(self) -> Sequence[Account]:
        """See the port."""
        rows = await self._rest.call("tgworker_active_accounts", {}, list[_Account])
        return [row.account() for row in rows]

    async def record_account(
        self,
        account_id: AccountId,
        state: AccountState,
        *,
        last_error: str | None,
        user_id: int | None = None,
    ) -> None:
        """See the port.

        Raises:
            LeaseLost: Another worker holds the account.
        """
        fence = None  # nobody may hold it, then
        with suppress(LeaseLost):
            fence = self._leases.fence(account_id)
        with raised_for(self._leases, account_id):
            await self._rest.do(
                "tgworker_record_account",
                {
                    "p_account": account_id,
                    "p_fence": fence,
                    "p_state": state.value,
                    "p_last_error": None if last_error is None else storable(last_error),
                    "p_user_id": user_id,
                },
            )

    async def record_synced(self, account_ids: Collection[AccountId]) -> None:
        """See the port."""
        fences = self._leases.fences(account_ids)
        if fences:
            answer = await self._rest.call(
                "tgworker_record_synced", {"p_accounts": fences_json(fences)}, _Synced
            )
            self._leases.lose(answer.lost)

    async def add_account(
        self,
        name: str | None,
        owner_id: str,
        secrets_encrypted: str,
        *,
        user_id: int,
        phone: str | None = None,
        kind: AccountKind = AccountKind.USER,
        config: Mapping[str, Any] | None = None,
    ) -> AccountId:
        """See the book.

        Raises:
            AccountNameTaken: Another account has the name.
            StoreFault: The account is the old worker's: it has to be adopted first.
        """
        fresh = new_id()
        with raised_for(None, None):
            answer = await self._rest.call(
                "tgworker_add_account",
                {
                    "p_id": fresh,
                    "p_name": None if name is None else storable(name),
                    "p_owner": owner_id,
                    "p_secrets": secrets_encrypted,
                    "p_user_id": user_id,
                    "p_phone": phone,
                    "p_kind": kind.value,
                    "p_config": config,
                },
                _Added,
            )
        return answer.id

    async def find_account(self, text: str) -> AccountRecord | None:
        """See the book."""
        row = await self._rest.find("tgworker_find_account", {"p_text": storable(text)}, _Record)
        return None if row is None else row.record()

    async def list_accounts(self) -> Sequence[AccountRecord]:
        """See the book."""
        return [row.record() for row in await self._rest.call("tgworker_list_accounts", {}, list[_Record])]

    async def switch_account(self, account_id: AccountId, *, active: bool) -> bool:
        """See the book.

        Raises:
            AccountGone: There is no such account.
            StoreFault: The application's old worker has it.
        """
        with raised_for(None, None):
            answer = await self._rest.call(
                "tgworker_switch_account", {"p_account": account_id, "p_active": active}, _Switched
            )
        return answer.switched

    async def held_s(self, account_id: AccountId) -> float:
        """See the book."""
        return (await self._rest.call("tgworker_held", {"p_account": account_id}, _Held)).for_s

    async def replace_session(self, account_id: AccountId, read: str, sealed: str) -> Replacement:
        """See the book."""
        arguments = {"p_account": account_id, "p_read": read, "p_sealed": sealed}
        return (await self._rest.call("tgworker_replace_session", arguments, _Replaced)).answer

    async def remove_account(self, account_id: AccountId) -> bool:
        """See the book.

        Raises:
            StoreFault: The application's old worker has it.
        """
        with raised_for(None, None):
            answer = await self._rest.call("tgworker_remove_account", {"p_account": account_id}, _Removed)
        return answer.removed


def _state(value: str) -> AccountState:
    """What an account was doing; of one that says what only a newer worker knows, that it waits."""
    try:
        return AccountState(value)
    except ValueError:
        return AccountState.WAITING
