"""A turn of the outbound loop: what became of attempts is stored, and what is sent next is claimed."""

from collections.abc import Collection, Mapping, Sequence

from tgworker.messaging.errors import LeaseLost
from tgworker.messaging.models import AccountId, Attempt, ConversationId, Doubt, MessageId
from tgworker.messaging.outcomes import Settled
from tgworker.messaging.store_ports import Turn
from tgworker.supabase.errors import refusal_by
from tgworker.supabase.leases import SupabaseLeases
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import FileRow, PeerRow, Row
from tgworker.supabase.settling import settled_json

MOST_ITEMS = 500
"""So much is settled in one call, so that it stays far below its deadline."""

MOST_PAGES = 20
"""So often one turn asks again where the application has written more than one call takes in."""

TICK = "tgworker_tick"


class _Doubt(Row):
    age_s: float
    top_id: int
    expired: bool

    def doubt(self) -> Doubt:
        return Doubt(self.age_s, self.top_id, self.expired)


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
    parse_mode: str | None
    text_limit: int
    parts: int | None
    known_id: int | None
    doubt: _Doubt | None
    expires_in_s: float | None
    message_type: str | None
    files: list[FileRow]
    caption_limit: int
    more_random_ids: list[int]

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
            parse_mode=self.parse_mode,
            text_limit=self.text_limit,
            parts=self.parts,
            known_id=self.known_id,
            doubt=None if self.doubt is None else self.doubt.doubt(),
            expires_in_s=self.expires_in_s,
            message_type=self.message_type,
            files=tuple(file.file() for file in self.files),
            caption_limit=self.caption_limit,
            more_random_ids=tuple(self.more_random_ids),
        )


class _Claimed(Row):
    attempts: list[_Attempt]
    withdrawn: list[MessageId]
    lost: list[AccountId]
    more: bool


class _Error(Row):
    code: str


class _Ticked(Row):
    claim: _Claimed | None
    error: _Error | None


async def turn(
    rest: Rest,
    leases: SupabaseLeases,
    settled: Sequence[Settled],
    slots: Mapping[AccountId, int],
    known: Collection[MessageId],
    text_limit: int,
    caption_limit: int,
    attachments_wait_s: float,
) -> Turn:
    """Settle, then claim; see `tgworker.messaging.store_ports.OutboxStore.turn`. Raises: as `Rest`.

    One transaction, unless there is more to settle than `MOST_ITEMS`, or to take in than one claim does.

    Raises:
        LeaseLost: None of the accounts with free slots is ours any more; everything is settled.
    """
    items = [settled_json(one) for one in settled]
    attempts: list[Attempt] = []
    withdrawn: set[MessageId] = set()
    free = {account: count for account, count in slots.items() if count > 0}
    pages = MOST_PAGES
    while pages:
        some, items = items[:MOST_ITEMS], items[MOST_ITEMS:]
        fences = {} if items else leases.fences(free)
        asks = bool(fences) or (bool(known) and not items and pages == MOST_PAGES)
        if not (some or asks):
            break
        arguments: dict[str, object] = {"p_holder": leases.holder}
        if some:
            arguments["p_settled"] = some
        if asks:
            pages -= 1
            arguments["p_slots"] = [
                {"account": account, "fence": fence, "free": free[account]}
                for account, fence in fences.items()
            ]
            arguments["p_known"] = sorted({*known, *(attempt.message_id for attempt in attempts)})
            arguments["p_text_limit"] = text_limit
            arguments["p_caption_limit"] = caption_limit
            arguments["p_attachments_wait_s"] = attachments_wait_s
        answer = await rest.call(TICK, arguments, _Ticked)
        if answer.error is not None:
            raise refusal_by(answer.error.code).error(f"Supabase ({TICK})")
        claimed = answer.claim
        if claimed is None:
            continue
        leases.lose(claimed.lost)
        withdrawn.update(claimed.withdrawn)
        for row in claimed.attempts:
            attempts.append(row.attempt())
            free[row.account] -= 1
        free = {account: count for account, count in free.items() if count > 0}
        if not claimed.more:
            break
    if free and not attempts and not leases.fences(free):
        raise LeaseLost(f"{len(free)} accounts belong to a newer worker, or to nobody")
    return Turn(attempts, withdrawn)
