"""What arrives: updates and history, peers, and the position after them."""

from collections.abc import Collection, Mapping, Sequence
from itertools import count

from tgworker.messaging.models import AccountId, ChatMessage, HistoryJob, MessageId, Peer, Position
from tgworker.messaging.update_batches import UpdateBatch
from tgworker.supabase.changes import changes_json
from tgworker.supabase.leases import SupabaseLeases
from tgworker.supabase.raised import raised_for
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import (
    PeerRow,
    PositionRow,
    Row,
    messages_json,
    peers_json,
    position_json,
)

PEERS_AT_ONCE = 10_000
"""On one page of `Inbox.peers`."""


class _Stored(Row):
    new: int


class _More(Row):
    more: bool


class _Found(Row):
    chat_id: int
    telegram_id: int
    message_id: MessageId


class Inbox:
    """Where what arrives is kept; fills `tgworker.messaging.store_ports.InboundStore`.

    Every method raises as `Rest`, `LeaseLost` where the account is no more ours, and `AccountGone` where it
    was removed.

    Args:
        rest: The project's REST API.
        leases: Whose tokens are written with.
    """

    def __init__(self, rest: Rest, leases: SupabaseLeases) -> None:
        self._rest = rest
        self._leases = leases
        # Under one token a position with a smaller number never replaces one with a larger: a request that
        # was cut off may still be carried out, after the ones that followed it.
        self._numbers = count(1)

    async def position(self, account_id: AccountId) -> Position | None:
        """See the port."""
        row = await self._rest.find("tgworker_position", {"p_account": account_id}, PositionRow)
        return None if row is None else row.position()

    async def peers(self, account_id: AccountId) -> Sequence[Peer]:
        """See the port."""
        peers: list[Peer] = []
        while True:
            page = await self._rest.call(
                "tgworker_peers_of",
                {
                    "p_account": account_id,
                    "p_after": peers[-1].chat_id if peers else None,
                    "p_limit": PEERS_AT_ONCE,
                },
                list[PeerRow],
            )
            peers += [row.peer() for row in page]
            if len(page) < PEERS_AT_ONCE:
                return peers

    async def save_peers(self, account_id: AccountId, peers: Sequence[Peer]) -> None:
        """See the port."""
        fence = self._leases.fence(account_id)
        with raised_for(self._leases, account_id):
            await self._rest.do(
                "tgworker_save_peers",
                {"p_account": account_id, "p_fence": fence, "p_peers": peers_json(peers)},
            )

    async def forget_user(self, account_id: AccountId, user_id: int) -> None:
        """See the port. A call for every 20,000 keys, of which the last takes the position."""
        fence = self._leases.fence(account_id)
        asked = {"p_account": account_id, "p_fence": fence, "p_user_id": user_id}
        with raised_for(self._leases, account_id):
            while (await self._rest.call("tgworker_forget_user", asked, _More)).more:
                pass

    async def find_messages(
        self, account_id: AccountId, telegram_ids: Collection[int], *, chat_id: int | None
    ) -> Mapping[tuple[int, int], MessageId]:
        """See the port."""
        found = await self._rest.call(
            "tgworker_find_messages",
            {"p_account": account_id, "p_ids": sorted(set(telegram_ids)), "p_chat": chat_id},
            list[_Found],
        )
        return {(row.chat_id, row.telegram_id): row.message_id for row in found}

    async def ingest(self, account_id: AccountId, batch: UpdateBatch) -> int:
        """See the port."""
        fence = self._leases.fence(account_id)
        with raised_for(self._leases, account_id):
            answer = await self._rest.call(
                "tgworker_ingest",
                {
                    "p_account": account_id,
                    "p_fence": fence,
                    "p_number": next(self._numbers),
                    "p_batch": {
                        "messages": messages_json(batch.messages),
                        "peers": peers_json(batch.peers),
                        "sent_ids": batch.sent_ids,
                        "position": position_json(batch.position),
                        "gaps": [[gap.chat_id, gap.top_id] for gap in batch.gaps],
                        # (Hardly any batch has them: what is not there is not read there.)
                        **({"changes": changes_json(batch.changes)} if batch.changes else {}),
                    },
                },
                _Stored,
            )
        return answer.new

    async def save_history(
        self,
        job: HistoryJob,
        messages: Sequence[ChatMessage],
        peers: Sequence[Peer],
        *,
        below: int = 0,
        seen: int = 0,
        total: int | None = None,
    ) -> int:
        """See `tgworker.messaging.store_ports.HistoryStore`."""
        fence = self._leases.fence(job.account_id)
        with raised_for(self._leases, job.account_id):
            answer = await self._rest.call(
                "tgworker_save_history",
                {
                    "p_account": job.account_id,
                    "p_fence": fence,
                    "p_job": job.id,
                    "p_messages": messages_json(messages),
                    "p_peers": peers_json(peers),
                    "p_below": below,
                    "p_seen": seen,
                    "p_total": total,
                },
                _Stored,
            )
        return answer.new
