"""Messages that Telegram has under an id that nobody knows: it said "already sent", and nothing told the id.

Nobody waits for that id but the application, which cannot refer to the message. So it is looked for behind
the sends, under the strict rule of `tgworker.messaging.doubts`, and a few times only.
"""

from functools import partial

import trio

from tgworker.messaging.bounded import Outage
from tgworker.messaging.desk import Desk
from tgworker.messaging.doubts import look_for
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, Attempt, Copy
from tgworker.messaging.outcomes import Deferred, Refused, Sent
from tgworker.messaging.planning import FilePart, Format, parts_of
from tgworker.messaging.ports import Connection, Pulse
from tgworker.messaging.store_ports import DoubtStore


async def run_naming(
    pulse: Pulse,
    *,
    account_id: AccountId,
    desk: Desk,
    connection: Connection,
    store: DoubtStore,
    limits: Limits,
    outage: Outage,
    format_text: Format,
) -> None:
    """Find out the ids of what was sent, when there is something to find out; returns never.

    Args:
        pulse: The account's.
        account_id: Whose messages they are.
        desk: Says when there is something.
        connection: The account's line.
        store: Knows which messages have no id.
        limits: ``name_after_s``, ``name_again_s`` and the deadlines.
        outage: Waits while the store is away.
        format_text: Reads markup.

    Cancellation: what was found and not stored is found again.
    """
    pause_s = limits.name_after_s  # at first, for what an earlier process has left
    while True:
        await trio.sleep(pause_s)
        news = desk.unnamed_news
        attempts = await outage.insist(
            "database.unnamed", limits.database_s, partial(store.unnamed, account_id)
        )
        for attempt in attempts:
            await _name(pulse, attempt, connection, store, limits, outage, format_text)
        pause_s = limits.name_again_s
        if not attempts:
            await news.wait()
            pause_s = limits.name_after_s


async def _name(
    pulse: Pulse,
    attempt: Attempt,
    connection: Connection,
    store: DoubtStore,
    limits: Limits,
    outage: Outage,
    format_text: Format,
) -> None:
    parts = parts_of(attempt, format_text)
    peer = attempt.peer
    if peer is None or isinstance(parts, Refused) or attempt.part >= len(parts):
        return  # the application has written something else there since
    part = parts[attempt.part]
    if isinstance(part, FilePart):
        return  # what of a file can be looked for is known to who prepares it, and to nobody here
    ask = partial(connection.look_for, peer, part.text, entities=part.entities)
    outcome = await look_for(
        pulse, attempt, peer, lambda above: ask(above=above), "it was sent", store=store, limits=limits
    )
    if isinstance(outcome, Sent) and outcome.telegram_id is not None and outcome.sent_at is not None:
        copy = Copy(outcome.telegram_id, outcome.sent_at)
        await outage.insist(
            "database.name", limits.database_s, partial(store.name, attempt, peer.chat_id, copy)
        )
    elif isinstance(outcome, Deferred):
        await trio.sleep(outcome.retry_after_s)
