"""``tgworker send``: enqueue as the application does, and perhaps wait for what comes of it."""

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import trio
from cyclopts import Parameter

from tgworker.app.books import Books, open_books
from tgworker.cli._accounts import named_account
from tgworker.cli._errors import EXIT_NO, Usage
from tgworker.cli._input import is_text, lines_of, standard_input
from tgworker.cli._options import Json, Text, settings_for
from tgworker.cli._output import Output, complain
from tgworker.embedded import DataFolder
from tgworker.messaging.account_states import FOR_A_PERSON
from tgworker.messaging.models import AccountId, MessageId
from tgworker.messaging.records import AccountRecord, OutboxRecord, OutboxState

AT_ONCE = 500
"""So many lines are enqueued in one transaction."""

LOOK_EVERY_S = 0.05
LOOK_AT_MOST = 500
"""So many messages are asked about at a time while waiting."""


def send(
    *,
    account: str,
    to: Text,
    text: Text | None = None,
    lines: Annotated[bool, Parameter(negative="")] = False,
    wait: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Put a message into the outbox, as the application does; a running worker sends it.

    Args:
        account: Who sends: an account's uuid, phone number or name.
        to: To whom: a Telegram id, @username, + and a phone number, or a conversation's uuid.
        text: What to send.
        lines: One message for each line of standard input, UTF-8; empty lines are left out.
        wait: Wait until each message is sent or refused.
        json: Print one JSON object as the last line.
    """
    if lines == (text is not None):
        raise Usage("say what to send: either --text TEXT, or --lines to read standard input")
    if text is not None and not text.strip():
        raise Usage("--text is empty: Telegram sends no empty messages")
    if text is not None and not is_text(text):
        raise Usage("--text is not UTF-8 text: convert it")
    settings = settings_for()
    chunks = lines_of(standard_input(), at_once=AT_ONCE) if lines else [[text or ""]]
    output = Output(json=json)

    async def run() -> int:
        async with open_books(settings) as books:
            sender = await named_account(books, account)
            ids: list[MessageId] = []
            for chunk in chunks:
                ids += await books.outbox.enqueue(sender.account.id, to, chunk)
            if not wait:
                output.result(
                    {"enqueued": len(ids), "message_ids": ids if len(ids) <= LOOK_AT_MOST else None},
                    f"{len(ids)} enqueued: a running worker sends them",
                )
                return 0
            if ids:
                _say_what_is_in_the_way(sender, DataFolder(settings.data_dir))
            return await _wait(books, sender.account.id, ids, output)

    return trio.run(run)


def _say_what_is_in_the_way(sender: AccountRecord, folder: DataFolder) -> None:
    """Whoever waits should know what for; the messages stay in the outbox all the same."""
    if folder.holder() is None:
        complain(f"no worker runs on {folder.path} yet: 'tgworker run' sends what waits")
    elif sender.state in FOR_A_PERSON:
        complain(f"account {sender.account.name or sender.account.id} is {sender.state}: {sender.last_error}")


async def _wait(books: Books, account: AccountId, ids: Sequence[MessageId], output: Output) -> int:
    """Follow the messages until all of them are settled."""
    open_ids = list(ids)
    ended: dict[MessageId, OutboxRecord] = {}
    told_at = trio.current_time()
    while open_ids:
        rows = await books.outbox.outcomes(open_ids[:LOOK_AT_MOST])
        settled = {key: row for key, row in rows.items() if row.state.settled}
        ended.update(settled)
        gone = {key for key in open_ids[:LOOK_AT_MOST] if key not in rows}
        open_ids = [key for key in open_ids if key not in settled and key not in gone]
        if not settled and open_ids:
            await trio.sleep(LOOK_EVERY_S)
        if trio.current_time() - told_at > 2 and open_ids:
            told_at = trio.current_time()
            output.line(f"{len(ended)} of {len(ids)} settled")
    sent = [row for row in ended.values() if row.state is OutboxState.SENT]
    unsent = [row for row in ended.values() if row.state is not OutboxState.SENT]
    for row in unsent[:20]:
        output.line(f"{row.message_id}: {row.state.value}: {row.error}")
    result = {
        "account_id": account,
        "enqueued": len(ids),
        "sent": len(sent),
        "not_sent": len(ids) - len(sent),
        "messages": [
            {
                "message_id": row.message_id,
                "state": row.state.value,
                "telegram_id": row.telegram_id,
                "error": row.error,
            }
            for row in islice(ended.values(), LOOK_AT_MOST)
        ],
    }
    output.result(result, f"{len(sent)} of {len(ids)} sent")
    return 0 if len(sent) == len(ids) else EXIT_NO
