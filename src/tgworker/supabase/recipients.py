"""Rows that wait until somebody knows whom their recipient names: state ``resolving``."""

from collections.abc import Collection, Mapping
from typing import assert_never

from tgworker.messaging.models import AccountId, Peer, Recipients, Sought
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.messaging.values import storable
from tgworker.supabase.leases import SupabaseLeases
from tgworker.supabase.raised import raised_for
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import Row, peers_json


class _Sought(Row):
    to: str
    left_s: float


class _Recipients(Row):
    introduced: bool
    sought: list[_Sought]


class _Recorded(Row):
    left: list[str]


class AccountRecipients:
    """Fills `tgworker.messaging.store_ports.RecipientStore`.

    Every method raises as `Rest`; those that write also `LeaseLost` where the account is no more ours.

    Args:
        rest: The project's REST API.
        leases: Whose tokens are written with.
    """

    def __init__(self, rest: Rest, leases: SupabaseLeases) -> None:
        self._rest = rest
        self._leases = leases

    async def recipients(self, account_id: AccountId, *, limit: int) -> Recipients:
        """See the port."""
        row = await self._rest.call(
            "tgworker_recipients", {"p_account": account_id, "p_limit": limit}, _Recipients
        )
        return Recipients(row.introduced, tuple(Sought(one.to, one.left_s) for one in row.sought))

    async def record_introduced(self, account_id: AccountId) -> None:
        """See the port."""
        fence = self._leases.fence(account_id)
        with raised_for(self._leases, account_id):
            await self._rest.do("tgworker_record_introduced", {"p_account": account_id, "p_fence": fence})

    async def record_recipients(
        self, account_id: AccountId, found: Mapping[str, Peer | Refused | Deferred]
    ) -> Collection[str]:
        """See the port."""
        fence = self._leases.fence(account_id)
        items = [_item(to, answer) for to, answer in found.items()]
        with raised_for(self._leases, account_id):
            answer = await self._rest.call(
                "tgworker_record_recipients",
                {"p_account": account_id, "p_fence": fence, "p_found": items},
                _Recorded,
            )
        return answer.left


def _item(to: str, answer: Peer | Refused | Deferred) -> Mapping[str, object]:
    match answer:
        case Peer():
            (peer,) = peers_json([answer])
            return {"to": to, "outcome": "found", "peer": peer}
        case Refused():
            return {"to": to, "outcome": "refused", "reason": storable(answer.reason)}
        case Deferred():
            reason = storable(answer.reason)
            return {"to": to, "outcome": "deferred", "retry_after_s": answer.retry_after_s, "reason": reason}
        case _:
            assert_never(answer)
