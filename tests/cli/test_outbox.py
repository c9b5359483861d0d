"""``outbox retry`` and ``outbox cancel``: what a person decides about messages, in words and as JSON."""

from dataclasses import replace

import pytest

from cli.cli_kit import TEXT, Shell
from cli.json_shapes import SHAPES
from tgworker.cli._sizes import done_of
from tgworker.embedded import EmbeddedStore
from tgworker.messaging.media import OutgoingFile
from tgworker.messaging.models import AccountId, MessageId
from tgworker.messaging.outcomes import Deferred, Outcome, Refused, Sent, Settled, Unknown, Unsure
from tgworker.messaging.records import OutboxState

NOBODY = "00000000-0000-4000-8000-00000000dead"


@pytest.fixture
def account(shell: Shell) -> AccountId:
    shell.configure()
    return AccountId(shell.add_account())


def given(
    shell: Shell, account: AccountId, outcome: Outcome | None, *, parts: int = 1, to: str = "5"
) -> MessageId:
    """A message, and what a worker made of its first attempt."""

    async def give(store: EmbeddedStore) -> MessageId:
        (message_id,) = await store.enqueue(account, to, [TEXT])
        if outcome is not None:
            (attempt,) = (await store.turn((), {account: 1}, known=())).attempts
            await store.turn([Settled(replace(attempt, parts=parts), outcome)], {}, known=())
        return message_id

    return shell.store(give)


def state(shell: Shell, message_id: MessageId) -> OutboxState:
    return shell.store(lambda store: store.outcomes([message_id]))[message_id].state


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "say which messages: their ids (outbox list shows them), or --all with a --state"),
        ([NOBODY, "--all", "--state", "dead"], "say which messages"),
        (["--all"], "--all and --state go together"),
        ([NOBODY, "--state", "dead"], "--all and --state go together"),
        (["--all", "--state", "sent"], "--state sent is none of"),
        (["17"], "'17' is no message id: outbox list shows them"),
        ([NOBODY], f"the outbox has no message {NOBODY}: outbox list shows what it has"),
    ],
)
@pytest.mark.parametrize("command", ["retry", "cancel"])
def test_what_names_no_message_is_refused_in_one_line(
    shell: Shell, account: AccountId, command: str, argv: list[str], words: str
) -> None:
    shell("outbox", command, *argv).refused(2, words)


def test_one_wrong_id_among_right_ones_changes_nothing(shell: Shell, account: AccountId) -> None:
    message = given(shell, account, None)
    shell("outbox", "cancel", message, NOBODY).refused(2, NOBODY)
    assert state(shell, message) is OutboxState.WAITING


@pytest.mark.parametrize("outcome", [None, Deferred(60, "FLOOD_WAIT_60"), Refused("USER_IS_BLOCKED")])
def test_what_was_not_sent_is_cancelled(shell: Shell, account: AccountId, outcome: Outcome | None) -> None:
    message = given(shell, account, outcome)
    done = shell("outbox", "cancel", message.upper())
    assert done.code == 0
    assert done.out.splitlines() == [f"{message} is cancelled", "1 of 1 are cancelled"]
    assert state(shell, message) is OutboxState.CANCELLED
    assert shell("outbox", "cancel", message).code == 0, "to say it twice changes nothing"


@pytest.mark.parametrize(
    ("outcome", "parts", "words"),
    [
        (Sent(4711), 1, "is not cancelled: too late: it was sent, as Telegram's message 4711"),
        (
            Unknown("no answer"),
            1,
            "is not cancelled: too late: nobody knows whether Telegram has it (no answer)",
        ),
        (
            Unsure("the history does not show it"),
            1,
            "is not cancelled: too late: the history does not show it",
        ),
        (Sent(4711), 3, "is not cancelled: too late: 1 of its 3 parts were sent, and the rest follows"),
    ],
)
def test_what_was_too_late_is_told(
    shell: Shell, account: AccountId, outcome: Outcome, parts: int, words: str
) -> None:
    message = given(shell, account, outcome, parts=parts)
    done = shell("outbox", "cancel", message)
    assert done.code == 1
    assert words in done.out
    assert done.out.splitlines()[-1] == "0 of 1 are cancelled"
    states = ["--state", "sent", "--state", "deferred", "--state", "unsure", "--state", "waiting"]
    (row,) = shell("outbox", "list", "--json", *states).rows
    assert row["cancel_asked_at"] is not None, "for the record"


def test_a_worker_that_does_not_answer_is_not_waited_for_without_end(
    shell: Shell, account: AccountId, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = given(shell, account, None)
    shell.store(lambda store: store.turn((), {account: 1}, known=()))
    monkeypatch.setattr("tgworker.cli._deciding.ANSWER_WITHIN_S", 0.3)
    done = shell("outbox", "cancel", message)
    assert done.code == 1
    assert "a worker has it in hand" in done.out


@pytest.mark.parametrize("outcome", [Refused("USER_IS_BLOCKED"), Unsure("nobody knows")])
def test_what_ended_is_sent_again_and_what_that_risks_is_said(
    shell: Shell, account: AccountId, outcome: Outcome
) -> None:
    message = given(shell, account, outcome)
    done = shell("outbox", "retry", message)
    assert done.code == 0
    assert done.out.splitlines() == [
        f"{message} is sent again",
        "1 of 1 are sent again by a running worker",
    ]
    assert state(shell, message) is OutboxState.WAITING
    if isinstance(outcome, Unsure):
        (line,) = done.complaints
        assert "1 may arrive twice: nobody knows whether Telegram has it already" in line
    else:
        assert done.complaints == []


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (None, "is not sent again: it is sent by itself"),
        (Sent(5), "is not sent again: it was sent"),
        (Deferred(3600, "FLOOD_WAIT_3600"), "is not sent again: it is sent by itself, not before 2"),
    ],
)
def test_what_needs_nobody_is_left_alone(
    shell: Shell, account: AccountId, outcome: Outcome | None, words: str
) -> None:
    message = given(shell, account, outcome)
    before = state(shell, message)
    done = shell("outbox", "retry", message)
    assert done.code == 1
    assert words in done.out
    assert state(shell, message) is before


def test_all_of_a_state_are_handled_at_once(shell: Shell, account: AccountId) -> None:
    dead = [given(shell, account, Refused("NO"), to=str(number)) for number in range(1, 31)]
    waiting = given(shell, account, None)
    done = shell("outbox", "retry", "--all", "--state", "dead", "--json")
    assert (done.code, done.last["retried"], done.last["not_retried"]) == (0, 30, 0)
    assert [message["message_id"] for message in done.last["messages"]] == dead
    assert {state(shell, message) for message in [*dead, waiting]} == {OutboxState.WAITING}
    shown = shell("outbox", "cancel", "--all", "--state", "waiting")
    assert shown.out.splitlines() == ["31 of 31 are cancelled"], "one line, where there are many"
    assert shell("outbox", "cancel", "--all", "--state", "waiting").out.splitlines() == [
        "0 of 0 are cancelled"
    ]


@pytest.mark.parametrize("command", ["retry", "cancel"])
def test_the_json_is_the_contract(shell: Shell, account: AccountId, command: str) -> None:
    message = given(shell, account, Refused("NO"))
    last = shell("outbox", command, message, "--json").last
    assert tuple(last) == SHAPES[f"outbox {command}"]
    (row,) = last["messages"]
    assert tuple(row) == SHAPES["outbox retry, outbox cancel: messages"]
    assert (row["message_id"], row["done"], row["before"]) == (message, True, "dead")


def test_no_text_is_shown(shell: Shell, account: AccountId) -> None:
    message = given(shell, account, Unsure("nobody knows"))
    for command in ("cancel", "retry"):
        done = shell("outbox", command, message)
        assert TEXT not in done.out + done.err


# ------------------------------------------------ outbox list


def test_a_listing_shows_how_much_of_the_files_was_sent(shell: Shell, account: AccountId) -> None:
    file = OutgoingFile("7" * 8 + "-0000-4000-8000-000000000000", "tgworker", "a")

    async def begin(store: EmbeddedStore) -> None:
        await store.enqueue(account, "5", [TEXT], files=[file])
        (attempt,) = (await store.turn((), {account: 1}, known=())).attempts
        await store.record_progress(attempt, 1_250_000, 3_400_000)

    shell.store(begin)
    assert "  1.2 of 3.4 MB  " in shell("outbox", "list").out
    (row,) = shell("outbox", "list", "--json").rows
    assert (row["files"], row["bytes_done"], row["bytes_total"]) == (1, 1_250_000, 3_400_000)


def test_a_listing_without_files_has_no_column_for_them(shell: Shell, account: AccountId) -> None:
    given(shell, account, None)
    assert "bytes" not in shell("outbox", "list").out


@pytest.mark.parametrize(
    ("done", "total", "words"),
    [
        (None, None, None),
        (0, 0, "0 of 0 bytes"),
        (999, 999, "999 of 999 bytes"),
        (0, 1000, "0.0 of 1.0 kB"),
        (1_999_999, 2_000_000, "1.9 of 2.0 MB"),
        (4_000_000_000, 4_000_000_000, "4.0 of 4.0 GB"),
    ],
)
def test_sizes_are_told_in_words(done: int | None, total: int | None, words: str | None) -> None:
    assert done_of(done, total) == words
