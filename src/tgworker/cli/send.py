"""``tgworker send``: enqueue as the application does, and perhaps wait for what comes of it."""

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import trio
from cyclopts import Parameter

from tgworker.app.books import Books, open_books, open_file_store
from tgworker.cli._accounts import named_account
from tgworker.cli._attachments import LocalFile, kind_of_files, local_files
from tgworker.cli._errors import EXIT_NO, Usage
from tgworker.cli._in_the_way import say_what_is_in_the_way
from tgworker.cli._input import is_text, lines_of, standard_input
from tgworker.cli._options import Json, Text, settings_for
from tgworker.cli._output import Output
from tgworker.cli._posting import Letter, post
from tgworker.cli._progress import Progress
from tgworker.cli._sizes import done_of
from tgworker.messaging.media import MOST_IN_ALBUM, FileKind
from tgworker.messaging.models import AccountId, MessageId
from tgworker.messaging.records import OutboxRecord, OutboxState

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
    file: Annotated[tuple[str, ...], Parameter(negative="", allow_leading_hyphen=True)] = (),
    kind: Annotated[FileKind | None, Parameter(name="--as")] = None,
    wait: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Put a message into the outbox, as the application does; a running worker sends it.

    Args:
        account: Who sends: an account's uuid, phone number or name.
        to: To whom: a Telegram id, @username, + and a phone number, or a conversation's uuid.
        text: What to send; with --file what stands under the first file.
        lines: One message for each line of standard input, UTF-8; empty lines are left out.
        file: A file to send; may be given several times: they go in one message, in their order.
        kind: What Telegram is to take the files for; without it, what their names and first bytes say.
        wait: Wait until each message is sent or refused.
        json: Print one JSON object as the last line.
    """
    files = _checked(text, file, lines=lines, kind=kind)
    as_ = kind_of_files(files, kind) if files else FileKind.DOCUMENT
    settings = settings_for()
    chunks = lines_of(standard_input(), at_once=AT_ONCE) if lines else [[text or ""]]
    output = Output(json=json)

    async def run() -> int:
        with Progress(quiet=json) as progress:
            return await enqueued(progress)

    async def enqueued(progress: Progress) -> int:
        async with open_books(settings) as books:
            sender = await named_account(books, account)
            ids: list[MessageId] = []
            if files:
                letter = Letter(to, text or "", files, as_)
                async with open_file_store(settings) as store:
                    ids += await post(
                        letter, sender.account, books, store, settings.attachments_bucket, progress
                    )
                if len(files) > MOST_IN_ALBUM:
                    output.line(
                        f"{len(files)} files come as several messages: Telegram shows {MOST_IN_ALBUM} "
                        "together at most"
                    )
            else:
                for chunk in chunks:
                    ids += await books.outbox.enqueue(sender.account.id, to, chunk)
            if not wait:
                output.result(
                    {
                        "enqueued": len(ids),
                        "message_ids": ids if len(ids) <= LOOK_AT_MOST else None,
                        "files": len(files),
                        "bytes": sum(one.size for one in files),
                    },
                    f"{len(ids)} enqueued: a running worker sends them",
                )
                return 0
            if ids:
                say_what_is_in_the_way(sender, settings, work="sends what waits")
            return await _wait(books, sender.account.id, ids, output, progress)

    # With files, so that what was stored is removed again. (Nobody could interrupt standard input like that.)
    return trio.run(run, restrict_keyboard_interrupt_to_checkpoints=bool(files))


def _checked(
    text: str | None, paths: Sequence[str], *, lines: bool, kind: FileKind | None
) -> Sequence[LocalFile]:
    """What is to be sent can be sent: the files of it.

    Raises:
        Usage: It cannot.
    """
    if paths and lines:
        raise Usage("--file does not go with --lines: give what stands under the files with --text")
    if kind is not None and not paths:
        raise Usage("--as says what files are sent as: give one with --file, or leave it out")
    if lines == (text is not None) and not paths:
        raise Usage("say what to send: either --text TEXT, or --lines to read standard input, or --file PATH")
    if text is not None and not text.strip():
        raise Usage(
            "--text is empty: leave it out, and the files go without a caption"
            if paths
            else "--text is empty: Telegram sends no empty messages"
        )
    if text is not None and not is_text(text):
        raise Usage("--text is not UTF-8 text: convert it")
    return local_files(paths)


async def _wait(
    books: Books, account: AccountId, ids: Sequence[MessageId], output: Output, progress: Progress
) -> int:
    """Follow the messages until all of them are settled."""
    open_ids = list(ids)
    ended: dict[MessageId, OutboxRecord] = {}
    told_at = trio.current_time()
    while open_ids:
        rows = await books.outbox.outcomes(open_ids[:LOOK_AT_MOST])
        settled = {key: row for key, row in rows.items() if row.state.settled}
        ended.update(settled)
        gone = {key for key in open_ids[:LOOK_AT_MOST] if key not in rows}
        for row in rows.values():
            if (size := done_of(row.bytes_done, row.bytes_total)) is not None:
                progress.show(f"{size} sent")
        open_ids = [key for key in open_ids if key not in settled and key not in gone]
        if not settled and open_ids:
            await trio.sleep(LOOK_EVERY_S)
        if trio.current_time() - told_at > 2 and open_ids:
            told_at = trio.current_time()
            if len(ids) > 1:
                output.line(f"{len(ended)} of {len(ids)} settled")
    progress.clear()
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
                "files": row.files,
                "bytes_done": row.bytes_done,
                "bytes_total": row.bytes_total,
            }
            for row in islice(ended.values(), LOOK_AT_MOST)
        ],
    }
    output.result(result, f"{len(sent)} of {len(ids)} sent")
    return 0 if len(sent) == len(ids) else EXIT_NO
