"""``tgworker history``: ask for what a chat held before, as the application does, and watch it come."""

from typing import Annotated, Final

import trio
from cyclopts import App, Parameter

from tgworker.app.books import Books, open_books
from tgworker.cli._accounts import named_account
from tgworker.cli._errors import EXIT_NO, EXIT_STORE, Usage, is_interrupt
from tgworker.cli._in_the_way import say_what_is_in_the_way
from tgworker.cli._options import Json, Text, settings_for
from tgworker.cli._output import Output, complain
from tgworker.cli._progress import Progress
from tgworker.messaging.errors import StoreAway, StoreRefused
from tgworker.messaging.limits import HistoryLimits
from tgworker.messaging.models import WHOLE_ACCOUNT, JobId
from tgworker.messaging.records import HistoryRecord

LOOK_EVERY_S: Final = 0.2
MOST_ROWS: Final = 1000
DEFAULT_MESSAGES: Final = 100
"""What the application's table says where nobody says more."""

history = App(
    name="history", help="What chats held before the worker saw them: ask for it, and watch it come."
)


@history.default
def request(
    *,
    account: str,
    to: Text | None = None,
    whole: Annotated[bool, Parameter(name="--all", negative="")] = False,
    limit: int = DEFAULT_MESSAGES,
    no_wait: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Ask for a chat's history, or the whole account's, as the application does; a running worker reads it.

    Ctrl-C ends the watching, and so does a store that is away: the job goes on.

    Args:
        account: Who reads: an account's uuid, phone number or name.
        to: Which chat: a Telegram id, @username, + and a phone number, or a conversation's uuid.
        whole: Instead of --to: every chat of the account, through Telegram's export ("takeout").
        limit: So many messages at most, the newest; the worker grants TGWORKER_HISTORY_MAX_MESSAGES. With
            --all so many of each chat.
        no_wait: Only ask, and do not watch.
        json: Print one JSON object as the last line.
    """
    if not 1 <= limit < 2**31:
        raise Usage(f"--limit must be between 1 and {2**31 - 1}, not {limit}")
    if whole is (to is not None):
        raise Usage("give --to and a chat, or --all: every chat of the account")
    chat = WHOLE_ACCOUNT if to is None else to
    settings = settings_for()
    output = Output(json=json)
    granted = settings.limits.history
    job_id: JobId | None = None

    async def run() -> int:
        nonlocal job_id
        async with open_books(settings) as books:
            reader = await named_account(books, account)
            job_id = await books.histories.request_history(reader.account.id, chat, limit=limit)
            if no_wait:
                output.result(
                    {"job_id": job_id, "account_id": reader.account.id},
                    f"{job_id}: asked for; a running worker reads it",
                )
                return 0
            say_what_is_in_the_way(reader, settings, work="reads what is asked for")
            with Progress(quiet=json) as progress:
                ended = await _watch(books, job_id, granted, progress)
            return _told(job_id, ended, output, of_chats=whole)

    try:
        # (Ctrl-C at checkpoints alone: what was asked for is then said.)
        return trio.run(run, restrict_keyboard_interrupt_to_checkpoints=True)
    except StoreAway as error:
        if job_id is None:
            raise
        wrong = str(error) if isinstance(error, StoreRefused) else f"the store cannot be reached ({error})"
        complain(f"{wrong}: the job {job_id} goes on, and 'tgworker history list' shows it once that is over")
        return EXIT_STORE
    except BaseException as error:
        if job_id is None or not is_interrupt(error):
            raise
        raise KeyboardInterrupt(f"the job {job_id} goes on: 'tgworker history list' shows it") from None


@history.command(name="list")
def list_histories(
    *, chats: Annotated[bool, Parameter(negative="")] = False, limit: int = 100, json: Json = False
) -> int:
    """List the jobs that have not ended, the oldest first.

    Args:
        chats: Also the chats of whole accounts that wait to be read.
        limit: At most so many rows.
        json: Print one JSON array.
    """
    if not 1 <= limit < MOST_ROWS:
        raise Usage(f"--limit must be between 1 and {MOST_ROWS - 1}, not {limit}")
    settings = settings_for()

    async def run() -> None:
        async with open_books(settings) as books:
            records = await books.histories.histories(limit=limit + 1)
        # (They stand behind all others.)
        records = [each for each in records if chats or not each.part_of or each.status != "pending"]
        Output(json=json).listing(
            [
                {
                    "job_id": row.job_id,
                    "account_id": row.account_id,
                    "to": row.to,
                    "status": row.status,
                    "limit": row.limit_messages,
                    "synced": row.synced,
                    "seen": row.seen,
                    "total": row.total,
                    "part_of": row.part_of,
                    "chats": row.chats,
                    "chats_done": None if row.chats is None else row.chats_done,
                    "error": row.error,
                }
                for row in records[:limit]
            ],
            columns=("job_id", "status", "to", "limit", "seen", "synced", "total", "chats_done", "chats"),
            empty="no history is asked for",
        )
        if len(records) > limit:
            complain(f"there are more than {limit}: give a higher --limit to see them")

    trio.run(run)
    return 0


async def _watch(
    books: Books, job_id: JobId, granted: HistoryLimits, progress: Progress
) -> HistoryRecord | None:
    """Show how far a job is until it has ended; ``None``: somebody has removed it."""
    told_why = False
    while True:
        rows = await books.histories.histories([job_id])
        if not rows or rows[0].has_ended:
            progress.clear()
            return rows[0] if rows else None
        if rows[0].error is not None and not told_why:
            progress.clear()
            complain(rows[0].error)
            told_why = True
        progress.show(shown(rows[0], granted.most_messages))
        await trio.sleep(LOOK_EVERY_S)


def shown(row: HistoryRecord, most: int) -> str:
    """How far a job is, in less than a line.

    Args:
        row: The job.
        most: So many messages a job is granted.
    """
    if row.status == "pending":
        return "waiting for a worker" if row.error is None else "waiting for Telegram's leave"
    if row.chats is not None:
        more = "" if row.is_listed else " or more"
        return f"{row.chats_done} of {row.chats}{more} chats read, {row.synced} new messages"
    wanted = min(row.limit_messages, most)
    of = wanted if row.total is None else min(wanted, row.total)
    chat = "" if row.total is None else f", {row.total} in the chat"
    return f"{row.seen} of {of} read, {row.synced} new{chat}"


def _told(job_id: JobId, ended: HistoryRecord | None, output: Output, *, of_chats: bool) -> int:
    result: dict[str, object] = {
        "job_id": job_id,
        "account_id": None if ended is None else ended.account_id,
        "status": "removed" if ended is None else ended.status,
        "synced": 0 if ended is None else ended.synced,
        "error": None if ended is None else ended.error,
    }
    if of_chats:
        result["chats"] = 0 if ended is None else ended.chats or 0
        result["chats_failed"] = 0 if ended is None else ended.chats_failed
    if ended is None:
        output.result(result, f"{job_id}: somebody has removed the job")
        return EXIT_NO
    new = f"{ended.synced} new message{'' if ended.synced == 1 else 's'}"
    if ended.status == "failed":
        output.result(result, f"failed after {new}: {ended.error}")
        return EXIT_NO
    if ended.status != "completed":
        output.result(result, f"{job_id}: somebody has ended the job ({ended.status}) after {new}")
        return EXIT_NO
    if ended.chats is None:
        output.result(result, new)
    else:
        more = "" if ended.error is None else f"; {ended.error}"
        output.result(result, f"{new} in {ended.chats} chat{'' if ended.chats == 1 else 's'}{more}")
    return 0
