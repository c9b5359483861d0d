"""``tgworker outbox``: what is waiting to be sent, and what was not sent."""

from typing import Annotated

import trio
from cyclopts import App, Parameter

from tgworker.app.books import open_books
from tgworker.cli._errors import Usage
from tgworker.cli._options import Json, settings_for
from tgworker.cli._output import Output, complain
from tgworker.messaging.records import OutboxState

MOST_ROWS = 1_000_000

outbox = App(name="outbox", help="Messages that wait to be sent, and those that were not sent.")


@outbox.command(name="list")
def list_outbox(
    *,
    state: Annotated[tuple[OutboxState, ...], Parameter(negative="")] = (),
    limit: int = 100,
    json: Json = False,
) -> int:
    """List the outbox, oldest first; without --state everything that is not sent.

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
                }
                for row in await books.outbox.list_outbox(state or None, limit=limit + 1)
            ]
        Output(json=json).listing(
            rows[:limit],
            columns=("message_id", "state", "attempts", "created_at", "not_before", "error"),
            empty="nothing is waiting" if not state else "no message is in this state",
        )
        if len(rows) > limit:
            complain(f"there are more than {limit}: give a higher --limit to see them")

    trio.run(run)
    return 0
