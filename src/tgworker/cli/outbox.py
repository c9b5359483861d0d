"""``tgworker outbox``: what is waiting to be sent, what was not sent, and what a person decides about it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import trio
from cyclopts import App, Parameter

from tgworker.app.books import Books, open_books
from tgworker.cli import _deciding
from tgworker.cli._deciding import CANCELLABLE, MOST_ROWS, RETRIABLE, Decided
from tgworker.cli._errors import EXIT_NO, Usage
from tgworker.cli._options import Json, settings_for
from tgworker.cli._output import Output, complain
from tgworker.cli._sizes import done_of
from tgworker.messaging.records import OutboxRecord, OutboxState

SHOWN = 20
"""So many messages people are told of one by one."""

States = Annotated[tuple[OutboxState, ...], Parameter(name="--state", negative="")]
Every = Annotated[bool, Parameter(name="--all", negative="")]

outbox = App(name="outbox", help="Messages that wait to be sent, and those that were not sent.")


@outbox.command(name="list")
def list_outbox(
    *,
    state: Annotated[tuple[OutboxState, ...], Parameter(negative="")] = (),
    limit: int = 100,
    json: Json = False,
) -> int:
    """List the outbox, oldest first.

    Without --state everything that is not sent, and what went without an attachment that was linked too late.

    Args:
        state: Only rows in this state; may be given several times.
        limit: At most so many rows.
        json: Print one JSON array.
    """
    if not 1 <= limit <= MOST_ROWS:
        raise Usage(f"--limit must be between 1 and {MOST_ROWS}, not {limit}")
    settings = settings_for()

    async def run() -> None:
        async with open_books(settings) as books:
            records = await books.outbox.list_outbox(state or None, limit=limit + 1)
        rows = [
            {
                "message_id": row.message_id,
                "seq": row.seq,
                "account_id": row.account_id,
                "conversation_id": row.conversation_id,
                "state": row.state.value,
                "attempts": row.attempts,
                "created_at": row.created_at,
                "not_before": row.not_before,
                "expires_at": row.expires_at,
                "telegram_id": row.telegram_id,
                "error": row.error,
                "part": row.part,
                "parts": row.parts,
                "cancel_asked_at": row.cancel_asked_at,
                "files": row.files,
                "bytes_done": row.bytes_done,
                "bytes_total": row.bytes_total,
            }
            for row in records
        ]
        sizes = [done_of(row.bytes_done, row.bytes_total) for row in records]
        shown = rows if json else [{**row, "bytes": size} for row, size in zip(rows, sizes, strict=True)]
        Output(json=json).listing(
            shown[:limit],
            columns=(
                *("message_id", "state", "attempts", "created_at", "not_before"),
                *(("bytes",) if any(sizes) else ()),
                "error",
            ),
            empty="nothing is waiting" if not state else "no message is in this state",
        )
        if len(rows) > limit:
            complain(f"there are more than {limit}: give a higher --limit to see them")

    trio.run(run)
    return 0


@outbox.command
def retry(*message_ids: str, every: Every = False, states: States = (), json: Json = False) -> int:
    """Send messages again, or after all: held, unsure, dead, cancelled or expired ones.

    Parts that were sent are not sent again. Telegram recognises a repeat for a while; one that is unsure may
    arrive twice, if it got through then and Telegram has forgotten it.

    Args:
        message_ids: Which ones, as outbox list shows them.
        every: All of them that are in a --state.
        states: With --all: held, unsure, dead, cancelled or expired; may be given several times.
        json: Print one JSON object as the last line.
    """
    decided = _decide(_deciding.retry, message_ids, every=every, states=states, allowed=RETRIABLE)
    unsure = [one for one in decided if one.done and one.before.state is OutboxState.UNSURE]
    if unsure:
        complain(
            f"{len(unsure)} may arrive twice: nobody knows whether Telegram has it already, "
            "and Telegram may no longer recognise a repeat"
        )
    lines = [
        (one, "is sent again" if one.done else f"is not sent again: {_deciding.why_not_retried(one)}")
        for one in decided
    ]
    return _tell(Output(json=json), lines, done="retried", verb="are sent again by a running worker")


@outbox.command
def cancel(*message_ids: str, every: Every = False, states: States = (), json: Json = False) -> int:
    """Take messages back of which nothing has left, and close dead-lettered ones.

    Exit code 1: it was too late for some. What a worker has in hand is waited for, for 15 s.

    Args:
        message_ids: Which ones, as outbox list shows them.
        every: All of them that are in a --state.
        states: With --all: waiting, resolving, deferred, held or dead; may be given several times.
        json: Print one JSON object as the last line.
    """
    decided = _decide(_deciding.cancel, message_ids, every=every, states=states, allowed=CANCELLABLE)
    lines = [
        (one, "is cancelled" if one.done else f"is not cancelled: {_deciding.why_not_cancelled(one.after)}")
        for one in decided
    ]
    return _tell(Output(json=json), lines, done="cancelled", verb="are cancelled")


def _decide(
    act: Callable[[Books, Sequence[OutboxRecord]], Awaitable[Sequence[Decided]]],
    message_ids: Sequence[str],
    *,
    every: bool,
    states: States,
    allowed: Sequence[OutboxState],
) -> Sequence[Decided]:
    """Do something about the messages that were chosen."""
    settings = settings_for()

    async def run() -> Sequence[Decided]:
        async with open_books(settings) as books:
            return await act(
                books, await _deciding.chosen(books, message_ids, every=every, states=states, allowed=allowed)
            )

    return trio.run(run)


def _tell(output: Output, lines: Sequence[tuple[Decided, str]], *, done: str, verb: str) -> int:
    """Say what came of each message; returns the exit code."""
    for one, words in [line for line in lines if not line[0].done or len(lines) <= SHOWN][:SHOWN]:
        output.line(f"{one.before.message_id} {words}")
    count = sum(one.done for one, _ in lines)
    messages = [
        {
            "message_id": one.before.message_id,
            "done": one.done,
            "before": one.before.state.value,
            "state": one.after.state.value,
            "telegram_id": one.after.telegram_id,
            "error": one.after.error,
        }
        for one, _ in lines
    ]
    result = {done: count, f"not_{done}": len(lines) - count, "messages": messages}
    output.result(result, f"{count} of {len(lines)} {verb}")
    return 0 if count == len(lines) else EXIT_NO
