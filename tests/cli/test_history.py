"""``history``: what is asked for, what is seen while a worker reads it, and how the command ends."""

import re
import shlex
import signal
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from cli.cli_kit import OWNER, SERVICE_KEY, Shell, fields
from cli.json_shapes import SHAPES
from contracts.store_kit import inbound
from tgworker.app.books import Books, open_books
from tgworker.cli._errors import EXIT_INTERRUPTED
from tgworker.cli.history import shown
from tgworker.embedded import DataFolder, EmbeddedStore
from tgworker.messaging.errors import StoreAway, StoreRefused
from tgworker.messaging.history_words import allow_it
from tgworker.messaging.models import AccountId, HistoryJob, JobId
from tgworker.messaging.records import HistoryRecord
from tgworker.settings import Settings

UNKNOWN_UUID = "12345678-1234-4234-9234-123456789abc"
ASK = ("history", "--account", "alice", "--to", "500")
PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "history.md").read_text(encoding="utf-8")
SHOWN = re.compile(r"^\$ python -m tgworker (.*)\n((?:(?!\$ |```).*\n)*)", re.MULTILINE)

Step = Callable[[EmbeddedStore], Awaitable[None]]


@pytest.fixture(autouse=True)
def account(shell: Shell) -> AccountId:
    return shell.add_account()


@pytest.fixture(autouse=True)
def every_line_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tgworker.cli._progress.IN_A_LOG_S", 0.0)
    monkeypatch.setattr("tgworker.cli.history.LOOK_EVERY_S", 0.001)


def working(monkeypatch: pytest.MonkeyPatch, *steps: Step) -> None:
    """A worker that does one step before each look of the command's."""
    look = EmbeddedStore.histories
    left = iter(steps)

    async def histories(
        self: EmbeddedStore, job_ids: Collection[JobId] | None = None, *, limit: int = 100
    ) -> Sequence[HistoryRecord]:
        if (step := next(left, None)) is not None:
            await step(self)
        return await look(self, job_ids, limit=limit)

    monkeypatch.setattr(EmbeddedStore, "histories", histories)


def reading(account: AccountId, *, error: str | None = None) -> list[Step]:
    """A job that waits, is read in two pages, of which the second has something new again, and ends."""

    async def wait(store: EmbeddedStore) -> None:
        pass

    async def read(store: EmbeddedStore) -> None:
        (job,) = await store.claim_history([account], known=())
        for_chat = [inbound(500, number) for number in (60, 59)]
        await store.save_history(job, for_chat, [], below=59, seen=100, total=1034)

    async def read_more(store: EmbeddedStore) -> None:
        (job,) = await store.claim_history([account], known=())
        await store.save_history(job, [inbound(500, 50)], [], below=50, seen=200)

    async def end(store: EmbeddedStore) -> None:
        (job,) = await store.claim_history([account], known=())
        await store.finish_history(job.id, error=error)

    return [wait, read, read_more, end]


def reading_all(account: AccountId, *, error: str | None = None) -> list[Step]:
    """A job for a whole account: it waits, the owner is asked, two chats are filed, read, and it ends."""
    note = allow_it("TAKEOUT_INIT_DELAY_86400", datetime(2026, 11, 27, 7, 30, tzinfo=UTC))

    async def claimed(store: EmbeddedStore, to: str) -> HistoryJob:
        return next(job for job in await store.claim_history([account], known=(), limit=9) if job.to == to)

    async def wait(store: EmbeddedStore) -> None:
        pass

    async def put_off(store: EmbeddedStore) -> None:
        await store.put_history_off(await claimed(store, "all"), seconds=0, note=note)

    async def file(store: EmbeddedStore) -> None:
        await store.file_chats(await claimed(store, "all"), [501, 502], [], cursor=None)

    async def read(store: EmbeddedStore) -> None:
        job = await claimed(store, "501")
        await store.save_history(job, [inbound(501, number) for number in (1, 2, 3)], [], below=1, seen=3)
        await store.finish_history(job.id)

    async def end(store: EmbeddedStore) -> None:
        await store.finish_history((await claimed(store, "502")).id, error=error)
        await store.finish_history((await claimed(store, "all")).id)

    return [wait, put_off, file, read, end]


def listed(shell: Shell) -> Sequence[HistoryRecord]:
    return shell.store(lambda store: store.histories())


# ------------------------------------------------ asked wrongly


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--account", "bob", "--to", "5"], ["--account names no account", "there are: alice"]),
        (["--account", "alice", "--to", "nobody"], ["no recipient", "a Telegram id, @username, +"]),
        (["--account", "alice", "--to", "\udcff"], ["no recipient"]),
        (["--account", "alice", "--to", UNKNOWN_UUID], ["no conversation", UNKNOWN_UUID]),
        (["--account", "alice", "--to", "5", "--limit", "0"], ["--limit must be between 1 and", "not 0"]),
        (["--account", "alice", "--to", "5", "--limit", str(2**31)], ["--limit must be between 1 and"]),
        (["--account", "alice", "--to", "5", "--limit", "many"], ["--limit is not a whole number"]),
        (["--account", "alice"], ["give --to and a chat, or --all"]),
        (["--account", "alice", "--to", "5", "--all"], ["give --to and a chat, or --all"]),
        (["list", "--limit", "1000"], ["--limit must be between 1 and 999, not 1000"]),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line_and_no_job_is_left(
    shell: Shell, argv: list[str], words: list[str]
) -> None:
    shell("history", *argv).refused(2, *words)
    assert listed(shell) == []


# ------------------------------------------------ asked, and not waited for


def test_asking_alone_says_which_job_it_is(shell: Shell, account: AccountId) -> None:
    done = shell(*ASK, "--no-wait", "--json")
    assert (done.code, done.complaints) == (0, [])
    assert tuple(done.last) == SHAPES["history --no-wait"]
    (job,) = listed(shell)
    assert (done.last["job_id"], done.last["account_id"]) == (job.job_id, account)
    assert (job.account_id, job.to, job.limit_messages, job.status) == (account, "500", 100, "pending")
    other = shell("history", "--account", account, "--to", "-77", "--limit", "7", "--no-wait")
    assert re.fullmatch(r"\S{36}: asked for; a running worker reads it\n", other.out)


def test_the_listing_has_what_has_not_ended(shell: Shell, account: AccountId) -> None:
    assert shell("history", "list").out == "no history is asked for\n"
    assert shell("history", "list", "--json").rows == []
    first, second = (shell(*ASK, "--no-wait", "--json").last["job_id"] for _ in range(2))

    async def read(store: EmbeddedStore) -> None:
        for step in reading(account)[:2]:
            await step(store)

    shell.store(read)
    done = shell("history", "list", "--json")
    assert fields(done.rows) == {frozenset(SHAPES["history list"])}
    assert done.rows[0] == {
        "job_id": first,
        "account_id": account,
        "to": "500",
        "status": "processing",
        "limit": 100,
        "synced": 2,
        "seen": 100,
        "total": 1034,
        "part_of": None,
        "chats": None,
        "chats_done": None,
        "error": None,
    }
    assert (done.rows[1]["job_id"], done.rows[1]["status"]) == (second, "pending")
    head, line, _ = shell("history", "list").out.splitlines()
    columns = ["job_id", "status", "to", "limit", "seen", "synced", "total", "chats_done", "chats"]
    assert head.split() == columns
    assert line.split() == [first, "processing", "500", "100", "100", "2", "1034", "-", "-"]
    short = shell("history", "list", "--limit", "1", "--json")
    assert short.rows == done.rows[:1]
    assert short.complaints == ["tgworker: there are more than 1: give a higher --limit to see them"]
    shell.store(lambda store: store.finish_history(JobId(first)))
    assert [row["job_id"] for row in shell("history", "list", "--json").rows] == [second]


# ------------------------------------------------ watched


def test_how_far_it_is_stands_on_standard_error_line_by_line(
    shell: Shell, account: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    working(monkeypatch, *reading(account))
    with DataFolder(shell.data).hold():
        done = shell(*ASK, "--limit", "250")
    assert (done.code, done.out) == (0, "3 new messages\n")
    assert done.complaints == [
        "waiting for a worker",
        "100 of 250 read, 2 new, 1034 in the chat",
        "200 of 250 read, 3 new, 1034 in the chat",
    ]


def test_a_whole_account_tells_its_chats_and_what_it_waits_for_once(
    shell: Shell, account: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    working(monkeypatch, *reading_all(account, error="CHANNEL_PRIVATE"))
    with DataFolder(shell.data).hold():
        done = shell("history", "--account", "alice", "--all")
    words = "3 new messages in 2 chats; 1 of 2 chats could not be read: their own jobs say why\n"
    assert (done.code, done.out) == (0, words)
    first, told, *rest = done.complaints
    assert first == "waiting for a worker"
    assert "allow it in Telegram's message on another device" in told
    assert rest == [
        "waiting for Telegram's leave",
        "0 of 2 chats read, 0 new messages",
        "1 of 2 chats read, 3 new messages",
    ]


def test_machines_get_the_chats_of_a_whole_account_in_numbers(
    shell: Shell, account: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    working(monkeypatch, *reading_all(account, error="CHANNEL_PRIVATE"))
    with DataFolder(shell.data).hold():
        done = shell("history", "--account", "alice", "--all", "--json")
    assert tuple(done.last) == SHAPES["history --all"]
    assert (done.last["status"], done.last["synced"]) == ("completed", 3)
    assert (done.last["chats"], done.last["chats_failed"]) == (2, 1)


def test_the_listing_has_a_whole_account_and_its_chats_if_asked(shell: Shell, account: AccountId) -> None:
    whole = shell("history", "--account", "alice", "--all", "--no-wait", "--json").last["job_id"]

    async def read(store: EmbeddedStore) -> None:
        for step in reading_all(account)[:4]:
            await step(store)
        await store.put_history_off((await store.claim_history([account], known=()))[0], seconds=0, note="x")

    shell.store(read)
    (row,) = shell("history", "list", "--json").rows
    assert (row["job_id"], row["to"], row["status"]) == (whole, "all", "processing")
    assert (row["chats_done"], row["chats"], row["synced"]) == (1, 2, 3)
    _, chat = shell("history", "list", "--chats", "--json").rows
    assert (chat["part_of"], chat["to"], chat["status"]) == (whole, "502", "pending")


def test_machines_get_one_object_and_no_progress(
    shell: Shell, account: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    working(monkeypatch, *reading(account))
    with DataFolder(shell.data).hold():
        done = shell(*ASK, "--json")
    (_,) = done.out.splitlines()
    assert (done.code, done.complaints) == (0, [])
    assert tuple(done.last) == SHAPES["history"]
    assert (done.last["account_id"], done.last["status"]) == (account, "completed")
    assert (done.last["synced"], done.last["error"]) == (3, None)


def test_a_job_that_failed_is_a_no_with_its_reason(
    shell: Shell, account: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DataFolder(shell.data).hold():
        working(monkeypatch, *reading(account, error="CHANNEL_PRIVATE: join it again"))
        done = shell(*ASK)
        assert (done.code, done.out) == (1, "failed after 3 new messages: CHANNEL_PRIVATE: join it again\n")
        working(monkeypatch, *reading(account, error="CHANNEL_PRIVATE"))
        told = shell(*ASK, "--json")
    assert (told.code, told.last["status"], told.last["error"]) == (1, "failed", "CHANNEL_PRIVATE")


def test_one_is_one(shell: Shell, account: AccountId, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(store: EmbeddedStore) -> None:
        (job,) = await store.claim_history([account], known=())
        await store.save_history(job, [inbound(500, 60)], [], below=60, seen=1)
        await store.finish_history(job.id)

    working(monkeypatch, read)
    with DataFolder(shell.data).hold():
        assert shell(*ASK).out == "1 new message\n"


def test_a_job_that_somebody_removes_is_a_no(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def remove(store: EmbeddedStore) -> None:
        with closing(sqlite3.connect(shell.data / "tgworker.db", isolation_level=None)) as database:
            database.execute("delete from sync_history_jobs")

    working(monkeypatch, remove)
    done = shell(*ASK, "--json")
    assert (done.code, done.last["status"], done.last["synced"]) == (1, "removed", 0)


def test_a_job_that_somebody_ends_is_a_no(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def end(store: EmbeddedStore) -> None:
        with closing(sqlite3.connect(shell.data / "tgworker.db", isolation_level=None)) as database:
            database.execute("update sync_history_jobs set status = 'stopped'")

    working(monkeypatch, end)
    done = shell(*ASK)
    assert done.code == 1
    assert "somebody has ended the job (stopped) after 0 new messages" in done.out


def test_who_waits_for_nobody_is_told(
    shell: Shell, account: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    working(monkeypatch, *reading(account))
    done = shell(*ASK, "--json")
    assert done.code == 0
    (line,) = done.complaints
    assert str(shell.data) in line
    assert "'tgworker run' reads what is asked for" in line


def test_of_a_project_no_folder_here_says_who_works_for_it(
    shell: Shell, account: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def books(settings: Settings) -> AsyncGenerator[Books]:
        assert settings.supabase is not None
        async with open_books(replace(settings, supabase=None)) as found:
            yield found

    monkeypatch.setattr("tgworker.cli.history.open_books", books)
    shell.set(SUPABASE_URL="http://127.0.0.1:1", SUPABASE_SERVICE_ROLE_KEY=SERVICE_KEY)
    working(monkeypatch, *reading(account))
    done = shell(*ASK, "--json")
    assert (done.code, done.complaints) == (0, [])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (StoreAway("no answer"), "the store cannot be reached (no answer): the job "),
        (StoreRefused("the key is wrong: give another"), "the key is wrong: give another: the job "),
    ],
)
def test_a_store_that_goes_away_ends_the_watching_and_not_the_job(
    shell: Shell, account: AccountId, monkeypatch: pytest.MonkeyPatch, error: StoreAway, words: str
) -> None:
    async def away(store: EmbeddedStore) -> None:
        raise error

    working(monkeypatch, *reading(account)[:2], away)
    with DataFolder(shell.data).hold():
        done = shell(*ASK, "--json")
    (job,) = listed(shell)
    assert not job.has_ended
    rest = f"{job.job_id} goes on, and 'tgworker history list' shows it once that is over"
    assert (done.code, done.out, done.complaints) == (3, "", [f"tgworker: {words}{rest}"])


@pytest.mark.parametrize("looks", [0, 2])
def test_ctrl_c_says_that_the_job_goes_on_and_it_does(
    shell: Shell, account: AccountId, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    async def interrupt(store: EmbeddedStore) -> None:
        signal.raise_signal(signal.SIGINT)

    working(monkeypatch, *reading(account)[:looks], interrupt)
    with DataFolder(shell.data).hold():
        done = shell(*ASK, "--json")
    (job,) = listed(shell)
    assert not job.has_ended
    assert (done.code, done.out, done.complaints) == (
        EXIT_INTERRUPTED,
        "",
        [f"tgworker: interrupted: the job {job.job_id} goes on: 'tgworker history list' shows it"],
    )


@pytest.mark.parametrize(
    ("status", "seen", "synced", "total", "words"),
    [
        ("pending", 0, 0, None, "waiting for a worker"),
        ("processing", 0, 0, None, "0 of 500 read, 0 new"),
        ("processing", 100, 7, 30_000, "100 of 500 read, 7 new, 30000 in the chat"),
        ("processing", 100, 7, 120, "100 of 120 read, 7 new, 120 in the chat"),
    ],
)
def test_no_more_is_promised_than_the_worker_grants_and_the_chat_has(
    status: str, seen: int, synced: int, total: int | None, words: str
) -> None:
    row = HistoryRecord(
        job_id=JobId(UNKNOWN_UUID),
        account_id=None,
        to="500",
        status=status,
        limit_messages=1000,
        synced=synced,
        seen=seen,
        total=total,
        error=None,
    )
    assert shown(row, 500) == words


def test_every_command_of_the_page_prints_what_it_shows(
    shell: Shell, account: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = SHOWN.findall(PAGE)
    assert len(commands) == PAGE.count("$ python") == 6

    async def wait(store: EmbeddedStore) -> None:
        pass

    working(monkeypatch, *reading(account), wait, *reading_all(account))
    with DataFolder(shell.data).hold():
        for line, wanted in commands:
            ran = shell(*shlex.split(line))
            pattern = ".*".join(re.escape(piece) for piece in wanted.split("…"))
            assert re.fullmatch(pattern, ran.err if ran.code else ran.err + ran.out), (line, ran)
            assert ran.code == (2 if wanted.startswith("tgworker: ") else 0)


def test_the_statement_of_the_page_is_a_job_that_a_worker_claims(shell: Shell, account: AccountId) -> None:
    statements = re.findall(r"^```sql\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for statement, to in zip(statements, ("@bob", "all"), strict=True):
        with closing(sqlite3.connect(shell.data / "tgworker.db", isolation_level=None)) as database:
            database.execute(statement, {"owner": OWNER, "account": account})
        (job,) = shell.store(lambda store: store.claim_history([account], known=()))
        assert (job.account_id, job.to, job.limit_messages) == (account, to, 250)
        assert (job.whole is not None) is (to == "all")
        shell.store(partial(EmbeddedStore.finish_history, job_id=job.id))
