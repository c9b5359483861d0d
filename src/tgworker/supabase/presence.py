"""Who of an owner's contacts is online, and who types."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from tgworker.messaging.models import AccountId
from tgworker.messaging.presence import Presence
from tgworker.supabase.leases import SupabaseLeases
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import Row


class _Written(Row):
    lost: list[AccountId]


class _Shown(Row):
    account: AccountId
    chat_id: int
    is_online: bool
    is_typing: bool
    last_seen_at: datetime | None


class AccountPresence:
    """Fills `tgworker.messaging.store_ports.PresenceStore`.

    Every method raises as `Rest`.

    Args:
        rest: The project's REST API.
        leases: Whose tokens are written with.
    """

    def __init__(self, rest: Rest, leases: SupabaseLeases) -> None:
        self._rest = rest
        self._leases = leases

    async def record_presence(self, items: Mapping[AccountId, Sequence[Presence]]) -> None:
        """See the port."""
        fences = self._leases.fences([account for account, some in items.items() if some])
        if not fences:
            return
        told = [
            {"account": account, "fence": fence, "items": [_item(item) for item in items[account]]}
            for account, fence in fences.items()
        ]
        answer = await self._rest.call("tgworker_presence", {"p_accounts": told}, _Written)
        self._leases.lose(answer.lost)

    async def shown(self, account_ids: Collection[AccountId]) -> Mapping[AccountId, Sequence[Presence]]:
        """See the port."""
        found: dict[AccountId, list[Presence]] = {}
        asked = {"p_accounts": list(account_ids)}
        for row in await self._rest.call("tgworker_shown_presence", asked, list[_Shown]):
            item = Presence(row.chat_id, row.is_online, row.last_seen_at, is_typing=row.is_typing)
            found.setdefault(row.account, []).append(item)
        return found


def _item(item: Presence) -> Mapping[str, object]:
    return {
        "chat_id": item.chat_id,
        "is_online": item.is_online,
        "last_seen_at": item.last_seen_at,
        "is_typing": item.is_typing,
        "typing_for_s": item.typing_for_s,
        "typing_in": item.typing_in,
    }
