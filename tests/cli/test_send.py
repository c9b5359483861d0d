"""``send`` and ``outbox list``: who, to whom, what; nothing is enqueued by a command that is refused."""

import sqlite3
from contextlib import closing

import pytest
import trio

from cli.cli_kit import TEXT, Shell
from tgworker.cli.send import AT_ONCE
from tgworker.messaging.records import OutboxState

UNKNOWN_UUID = "12345678-1234-4234-9234-123456789abc"


@pytest.fixture(autouse=True)
def account(shell: Shell) -> str:
    return shell.add_account()


@pytest.mark.parametrize("name", ["bob", "+4917012345", UNKNOWN_UUID, "", "\udcff"])
def test_an_unknown_account_is_refused_with_those_that_there_are(shell: Shell, name: str) -> None:
    shell("send", "--account", name, "--to", "5", "--text", TEXT).refused(
        2, "--account names no account", "there are: alice"
    )
    assert shell.outbox() == []


def test_without_any_account_the_remedy_is_to_log_in(shell: Shell) -> None:
    shell.set(TGWORKER_DATA_DIR=str(shell.folder / "empty"))
    shell("send", "--account", "alice", "--to", "5", "--text", TEXT).refused(2, "tgworker login")


@pytest.mark.parametrize(
    "to", ["", " ", "bob", "@", "@not a name", "0", "-0", "1e5", "1.5", "+12", "0x10", "\udcff"]
)
def test_a_malformed_recipient_is_refused_with_the_forms_that_there_are(shell: Shell, to: str) -> None:
    shell("send", "--account", "alice", "--to", to, "--text", TEXT).refused(
        2, "no recipient", "a Telegram id, @username, + and a phone number, or a conversation's uuid"
    )
    assert shell.outbox() == []


def test_a_recipient_beyond_telegram_s_numbers_is_refused(shell: Shell) -> None:
    shell("send", "--account", "alice", "--to", "9" * 40, "--text", TEXT).refused(2, "no recipient")


def test_a_conversation_that_there_is_not_is_refused(shell: Shell) -> None:
    shell("send", "--account", "alice", "--to", UNKNOWN_UUID, "--text", TEXT).refused(2, "no conversation")
    assert shell.outbox() == []


@pytest.mark.parametrize("to", [["--to", "-1001234567890"], ["--to=-1001234567890"], ["--to", "-77"]])
def test_a_negative_id_is_a_recipient(shell: Shell, to: list[str]) -> None:
    done = shell("send", "--account", "alice", *to, "--text", TEXT, "--json")
    assert done.code == 0
    assert [row.message_id for row in shell.outbox()] == done.last["message_ids"]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ([], ["either --text TEXT, or --lines"]),
        (["--text", TEXT, "--lines"], ["either --text TEXT, or --lines"]),
        (["--text", ""], ["--text is empty"]),
        (["--text", " \n "], ["--text is empty"]),
    ],
)
def test_it_must_be_clear_what_to_send(shell: Shell, what: list[str], words: list[str]) -> None:
    shell("send", "--account", "alice", "--to", "5", *what, stdin=TEXT).refused(2, *words)
    assert shell.outbox() == []


def test_a_text_may_look_like_an_option(shell: Shell) -> None:
    assert shell("send", "--account", "alice", "--to", "5", "--text", "--json").code == 0
    assert len(shell.outbox()) == 1


def test_each_line_becomes_a_message_and_empty_ones_do_not(shell: Shell) -> None:
    done = shell("send", "--account", "alice", "--to", "5", "--lines", "--json", stdin="one\r\n\n  \ntwo")
    assert done.code == 0
    assert done.last["enqueued"] == 2
    assert [row.state for row in shell.outbox()] == [OutboxState.WAITING] * 2


def test_no_lines_are_no_messages(shell: Shell) -> None:
    done = shell("send", "--account", "alice", "--to", "5", "--lines", "--wait", "--json")
    assert done.code == 0
    assert done.last["enqueued"] == 0


def test_a_line_that_is_no_text_is_refused_with_its_number_and_nothing_is_enqueued(shell: Shell) -> None:
    shell("send", "--account", "alice", "--to", "5", "--lines", stdin=b"fine\n\na\xff\xfeb\nfine\n").refused(
        2, "line 3 of standard input is not UTF-8 text", "none is enqueued"
    )
    assert shell.outbox() == []


def test_what_went_before_a_line_that_is_no_text_is_said_and_can_be_gone_on_with(shell: Shell) -> None:
    lines = b"\n" + b"fine\n" * (AT_ONCE + 3)
    shell("send", "--account", "alice", "--to", "5", "--lines", stdin=lines + b"\xe9t\xe9\n").refused(
        2, f"line {AT_ONCE + 5} of", f"lines 1 to {AT_ONCE + 1} are enqueued, pass the others again"
    )
    assert len(shell.outbox(limit=2 * AT_ONCE)) == AT_ONCE


def test_a_text_that_is_none_is_refused(shell: Shell) -> None:
    # As the interpreter reads an argument whose bytes are not UTF-8.
    shell("send", "--account", "alice", "--to", "5", "--text", "a\udcff").refused(
        2, "--text is not UTF-8 text"
    )
    assert shell.outbox() == []


async def test_waiting_says_that_no_worker_runs_and_that_the_message_was_withdrawn(shell: Shell) -> None:
    async with trio.open_nursery() as nursery:

        async def withdraw() -> None:
            with closing(sqlite3.connect(shell.data / "tgworker.db", isolation_level=None)) as database:
                while not database.execute("update messages set external_message_id = null").rowcount:
                    await trio.sleep(0.01)

        nursery.start_soon(withdraw)
        done = await shell.along(
            "send", "--account", "alice", "--to", "5", "--text", TEXT, "--wait", "--json"
        )
    (line,) = done.complaints
    assert str(shell.data) in line
    assert "'tgworker run'" in line
    assert done.code == 1
    assert (done.last["sent"], done.last["not_sent"]) == (0, 1)
    assert done.last["messages"][0]["state"] == "cancelled"


def test_a_command_without_a_worker_leaves_the_message_in_the_outbox(shell: Shell, account: str) -> None:
    done = shell("send", "--account", account, "--to", "@Somebody", "--text", TEXT)
    assert (done.code, done.out) == (0, "1 enqueued: a running worker sends them\n")
    (row,) = shell("outbox", "list", "--json").rows
    assert (row["account_id"], row["state"], row["attempts"]) == (account, "waiting", 0)
    assert shell("outbox", "list", "--state", "dead", "--json").rows == []
    assert "waiting" in shell("outbox", "list", "--state", "dead", "--state", "waiting").out
