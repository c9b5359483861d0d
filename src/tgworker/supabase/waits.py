"""What Telegram asked an account to wait for."""

from collections.abc import Sequence

from tgworker.messaging.models import AccountId, ConversationId
from tgworker.messaging.pacing import Scope, ScopeKind, StoredWait
from tgworker.messaging.values import storable
from tgworker.supabase.leases import SupabaseLeases
from tgworker.supabase.raised import raised_for
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import Row


class _Wait(Row):
    kind: ScopeKind
    key: str
    left_s: float
    reason: str


class AccountWaits:
    """Fills `tgworker.messaging.store_ports.WaitStore`. Every method raises as `Rest`.

    Args:
        rest: The project's REST API.
        leases: Whose tokens are written with.
    """

    def __init__(self, rest: Rest, leases: SupabaseLeases) -> None:
        self._rest = rest
        self._leases = leases

    async def waits(self, account_id: AccountId) -> Sequence[StoredWait]:
        """See the port."""
        rows = await self._rest.call("tgworker_waits_of", {"p_account": account_id}, list[_Wait])
        return [StoredWait(Scope(row.kind, row.key), row.left_s, row.reason) for row in rows]

    async def save_waits(self, account_id: AccountId, waits: Sequence[StoredWait]) -> None:
        """See the port.

        Raises:
            LeaseLost: The account is no more ours.
        """
        fence = self._leases.fence(account_id)
        items = [
            {
                "kind": wait.scope.kind.value,
                "key": wait.scope.key,
                "left_s": wait.left_s,
                "reason": storable(wait.reason),
            }
            for wait in waits
        ]
        with raised_for(self._leases, account_id):
            await self._rest.do(
                "tgworker_save_waits", {"p_account": account_id, "p_fence": fence, "p_waits": items}
            )

    async def is_acquainted(self, account_id: AccountId, conversation_id: ConversationId) -> bool:
        """See the port."""
        return await self._rest.call(
            "tgworker_is_acquainted", {"p_account": account_id, "p_conversation": conversation_id}, bool
        )
