"""Which messages a person decides about, and what came of it."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import trio

from tgworker.app.books import Books
from tgworker.cli._errors import Usage
from tgworker.messaging.models import MessageId
from tgworker.messaging.records import CancelAnswer, OutboxRecord, OutboxState

MOST_ROWS = 1_000_000
"""So many rows of the outbox one command handles."""

AT_ONCE = 500

CANCELLABLE = (
    OutboxState.WAITING,
    OutboxState.RESOLVING,
    OutboxState.DEFERRED,
    OutboxState.HELD,
    OutboxState.DEAD,
)
RETRIABLE = (
    OutboxState.HELD,
    OutboxState.UNSURE,
    OutboxState.DEAD,
    OutboxState.CANCELLED,
    OutboxState.EXPIRED,
)

ANSWER_WITHIN_S = 15.0
"""So long a worker that has a message in hand is waited for. It looks at least every few seconds."""

LOOK_EVERY_S = 0.1

_MESSAGE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of one message.

    Attributes:
        before: The row as it was.
        after: The row as it is now.
        done: Whether what was asked for is done.
    """

    before: OutboxRecord
    after: OutboxRecord
    done: bool


async def chosen(
    books: Books,
    ids: Sequence[str],
    *,
    every: bool,
    states: Sequence[OutboxState],
    allowed: Sequence[OutboxState],
) -> Sequence[OutboxRecord]:
    """The messages that a command line names, oldest first.

    Raises:
        Usage: It names none, or some that are not there, or in a way that makes no sense.
    """
    if every == bool(ids):
        raise Usage("say which messages: their ids (outbox list shows them), or --all with a --state")
    if every != bool(states):
        raise Usage("--all and --state go together: every message in this state")
    for state in states:
        if state not in allowed:
            raise Usage(f"--state {state} is none of {', '.join(allowed)}")
    if every:
        return await books.outbox.list_outbox(states, limit=MOST_ROWS)
    wanted = [MessageId(one.strip().lower()) for one in ids]
    for one in wanted:
        if not _MESSAGE_ID.fullmatch(one):
            raise Usage(f"{one[:60]!r} is no message id: outbox list shows them")
    found = await _records(books, wanted)
    for one in wanted:
        if one not in found:
            raise Usage(f"the outbox has no message {one}: outbox list shows what it has")
    return sorted(found.values(), key=lambda record: record.seq)


async def cancel(books: Books, records: Sequence[OutboxRecord]) -> Sequence[Decided]:
    """Cancel messages, and wait a while for workers that have some of them in hand."""
    answers: dict[MessageId, CancelAnswer] = {}
    for some in _chunks(records):
        answers.update(await books.outbox.cancel(some))
    asked = [one for one, answer in answers.items() if answer is CancelAnswer.ASKED]
    with trio.move_on_after(ANSWER_WITHIN_S):
        while asked:
            await trio.sleep(LOOK_EVERY_S)
            rows = await _records(books, asked)
            asked = [one for one in asked if one in rows and rows[one].state is OutboxState.SENDING]
    after = await _records(books, [record.message_id for record in records])
    unsent = (OutboxState.CANCELLED, OutboxState.EXPIRED)
    return [
        Decided(record, after[record.message_id], after[record.message_id].state in unsent)
        for record in records
        if record.message_id in after
    ]


async def retry(books: Books, records: Sequence[OutboxRecord]) -> Sequence[Decided]:
    """Send messages again, or after all."""
    states: dict[MessageId, OutboxState] = {}
    for some in _chunks(records):
        states.update(await books.outbox.retry(some))
    after = await _records(books, [record.message_id for record in records])
    return [
        Decided(
            record,
            after[record.message_id],
            record.state in RETRIABLE and states.get(record.message_id) is OutboxState.WAITING,
        )
        for record in records
        if record.message_id in after
    ]


def why_not_cancelled(row: OutboxRecord) -> str:
    """Why a message was not cancelled, for people."""
    match row.state:
        case OutboxState.SENT:
            return f"too late: it was sent, as Telegram's message {row.telegram_id or '(id not known yet)'}"
        case OutboxState.UNSURE:
            return f"too late: {row.error}"
        case OutboxState.SENDING:
            return "too late, perhaps: a worker has it in hand and does not say what comes of it"
        case _ if row.part:
            return f"too late: {row.part} of its {row.parts} parts were sent, and the rest follows"
        case _:
            return f"too late: nobody knows whether Telegram has it ({row.error}); it is found out"


def why_not_retried(decided: Decided) -> str:
    """Why a message is not sent again, for people."""
    row = decided.before
    match row.state:
        case OutboxState.SENT:
            return "it was sent"
        case OutboxState.DEFERRED if row.not_before is not None:
            return f"it is sent by itself, not before {row.not_before.isoformat(sep=' ', timespec='seconds')}"
        case _ if row.state in RETRIABLE:
            return "the application has deleted its message, or given it to somebody else"
        case _:
            return "it is sent by itself"


async def _records(books: Books, ids: Collection[MessageId]) -> Mapping[MessageId, OutboxRecord]:
    return await books.outbox.outcomes(ids)


def _chunks(records: Sequence[OutboxRecord]) -> Sequence[Sequence[MessageId]]:
    ids = [record.message_id for record in records]
    return [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]
