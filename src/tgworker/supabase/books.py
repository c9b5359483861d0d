"""The outbox as the commands fill and list it."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from tgworker.messaging.books import one_caption
from tgworker.messaging.media import FileKind, OutgoingFile
from tgworker.messaging.models import AccountId, ConversationId, MessageId
from tgworker.messaging.records import CancelAnswer, OutboxRecord, OutboxState
from tgworker.messaging.values import new_id, storable
from tgworker.supabase.insisting import insist
from tgworker.supabase.raised import raised_for
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import Row, files_json, utc

LINES_AT_ONCE = 500
"""How many messages one call inserts, and how many ids one asks for."""

ROWS_AT_ONCE = 1000
"""How many rows of the outbox one call lists: a page of PostgREST's own would end there, too."""


class _Enqueued(Row):
    conversation_id: ConversationId


class _Outbox(Row):
    message_id: MessageId
    conversation_id: ConversationId
    account: AccountId | None
    seq: int
    state: OutboxState
    attempts: int
    created_at: datetime
    not_before: datetime | None
    expires_at: datetime | None
    error: str | None
    telegram_id: int | None
    part: int
    parts: int | None
    cancel_asked_at: datetime | None
    files: int
    bytes_done: int | None
    bytes_total: int | None

    def record(self) -> OutboxRecord:
        return OutboxRecord(
            message_id=self.message_id,
            conversation_id=self.conversation_id,
            account_id=self.account,
            seq=self.seq,
            state=self.state,
            attempts=self.attempts,
            created_at=self.created_at.astimezone(UTC),
            not_before=utc(self.not_before),
            expires_at=utc(self.expires_at),
            telegram_id=self.telegram_id,
            error=self.error,
            part=self.part,
            parts=self.parts,
            cancel_asked_at=utc(self.cancel_asked_at),
            files=self.files,
            bytes_done=self.bytes_done,
            bytes_total=self.bytes_total,
        )


class _Cancelled(Row):
    message_id: MessageId
    answer: CancelAnswer


class _Retried(Row):
    message_id: MessageId
    state: OutboxState


class Outbox:
    """Fills `tgworker.messaging.books.OutboxBook`. Every method raises as `Rest`.

    Args:
        rest: The project's REST API.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def enqueue(
        self,
        account_id: AccountId,
        to: str,
        texts: Sequence[str],
        *,
        files: Sequence[OutgoingFile] = (),
        kind: FileKind = FileKind.DOCUMENT,
        ids: Sequence[MessageId] | None = None,
    ) -> Sequence[MessageId]:
        """See the book.

        Args:
            account_id: The account.
            to: The recipient.
            texts: The messages.
            files: What the one message carries.
            kind: What it calls itself then.
            ids: Theirs, one each: a call without an answer may be repeated with the same ones.

        Raises:
            RecipientUnknown: ``to`` is malformed, or no conversation of this owner.
            AccountGone: There is no such account.

        Where nobody answers the same rows are given a few times: who calls this again makes new ones.

        Cancellation: what was inserted before stays.
        """
        more: dict[str, object] = {}
        if files:
            texts = [one_caption(texts, files)]
            more = {"message_type": kind.value, "files": files_json(files)}
        if ids is None:
            ids = [MessageId(new_id()) for _ in texts]
        rows = [{"id": row, "text": storable(text), **more} for row, text in zip(ids, texts, strict=True)]
        with raised_for(None, None):
            for start in range(0, len(rows), LINES_AT_ONCE):
                some = rows[start : start + LINES_AT_ONCE]
                arguments = {"p_account": account_id, "p_to": storable(to), "p_messages": some}
                await insist(self._rest, "tgworker_enqueue", arguments, _Enqueued)
        return ids

    async def outcomes(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, OutboxRecord]:
        """See the book."""
        records: dict[MessageId, OutboxRecord] = {}
        ids = list(message_ids)
        for start in range(0, len(ids), LINES_AT_ONCE):
            rows = await self._rest.call(
                "tgworker_outcomes", {"p_ids": ids[start : start + LINES_AT_ONCE]}, list[_Outbox]
            )
            records.update((row.message_id, row.record()) for row in rows)
        return records

    async def list_outbox(
        self, states: Collection[OutboxState] | None = None, *, limit: int = 100
    ) -> Sequence[OutboxRecord]:
        """See the book."""
        wanted = None if states is None else sorted(state.value for state in states)
        records: list[OutboxRecord] = []
        while (left := limit - len(records)) > 0:
            page = await self._rest.call(
                "tgworker_list_outbox",
                {
                    "p_states": wanted,
                    "p_limit": min(left, ROWS_AT_ONCE),
                    "p_after": records[-1].seq if records else None,
                },
                list[_Outbox],
            )
            records += [row.record() for row in page]
            if len(page) < min(left, ROWS_AT_ONCE):
                break
        return records

    async def cancel(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, CancelAnswer]:
        """See the book."""
        answers: dict[MessageId, CancelAnswer] = {}
        for some in _chunks(message_ids):
            rows = await self._rest.call("tgworker_cancel", {"p_ids": some}, list[_Cancelled])
            answers.update((row.message_id, row.answer) for row in rows)
        return answers

    async def retry(self, message_ids: Collection[MessageId]) -> Mapping[MessageId, OutboxState]:
        """See the book."""
        states: dict[MessageId, OutboxState] = {}
        for some in _chunks(message_ids):
            rows = await self._rest.call("tgworker_retry", {"p_ids": some}, list[_Retried])
            states.update((row.message_id, row.state) for row in rows)
        return states

    async def transcript(
        self, account_id: AccountId, *, direction: Literal["inbound", "outbound"]
    ) -> Sequence[tuple[int, str]]:
        """``(chat_id, text)`` of what Telegram and the store agree on, in the order of Telegram's ids.

        For the demo and the tests, which count on both sides; it reads everything.
        """
        arguments = {"p_account": account_id, "p_direction": direction}
        return await self._rest.call("tgworker_transcript", arguments, list[tuple[int, str]])


def _chunks(message_ids: Collection[MessageId]) -> Iterator[Sequence[MessageId]]:
    """What can be a message's id, some at a time."""
    ids = [one for one in message_ids if _UUID.fullmatch(one)]
    return (ids[start : start + LINES_AT_ONCE] for start in range(0, len(ids), LINES_AT_ONCE))


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
