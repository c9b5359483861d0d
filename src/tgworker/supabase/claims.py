"""Claiming: which messages are sent next."""

from collections.abc import Collection, Mapping

from tgworker.messaging.errors import LeaseLost
from tgworker.messaging.models import AccountId, Attempt, ConversationId, MessageId
from tgworker.supabase.leases import SupabaseLeases
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import PeerRow, Row

MOST_PAGES = 20
"""So often one claim asks again where the application has written more than one call takes in."""


class _Attempt(Row):
    message_id: MessageId
    account: AccountId
    conversation_id: ConversationId
    to: str
    peer: PeerRow | None
    text: str
    part: int
    random_id: int
    number: int
    claim: int

    def attempt(self) -> Attempt:
        return Attempt(
            message_id=self.message_id,
            account_id=self.account,
            conversation_id=self.conversation_id,
            to=self.to,
            peer=None if self.peer is None else self.peer.peer(),
            text=self.text,
            part=self.part,
            random_id=self.random_id,
            number=self.number,
            # The token of this very claim: finer than the lease's, which the database checks as well.
            fence=self.claim,
        )


class _Claimed(Row):
    attempts: list[_Attempt]
    lost: list[AccountId]
    more: bool


async def claim(
    rest: Rest, leases: SupabaseLeases, slots: Mapping[AccountId, int], known: Collection[MessageId]
) -> list[Attempt]:
    """Claim what is due; see `tgworker.messaging.ports.OutboxStore.claim`. Raises: as `Rest`.

    Raises:
        LeaseLost: None of the accounts with free slots is ours any more.
    """
    attempts: list[Attempt] = []
    free = {account: count for account, count in slots.items() if count > 0}
    for _ in range(MOST_PAGES):
        fences = leases.fences(free)
        if not fences:
            break
        answer = await rest.call(
            "tgworker_claim",
            {
                "p_holder": leases.holder,
                "p_slots": [
                    {"account": account, "fence": fence, "free": free[account]}
                    for account, fence in fences.items()
                ],
                "p_known": sorted({*known, *(attempt.message_id for attempt in attempts)}),
            },
            _Claimed,
        )
        leases.lose(answer.lost)
        for row in answer.attempts:
            attempts.append(row.attempt())
            free[row.account] -= 1
        free = {account: count for account, count in free.items() if count > 0}
        if not answer.more:
            break
    if free and not attempts and not leases.fences(free):
        raise LeaseLost(f"{len(free)} accounts belong to a newer worker, or to nobody")
    return attempts
