"""``accounts enable | disable | remove | rekey`` where no worker runs."""

import io
import sys
from collections.abc import AsyncGenerator

import pytest

from cli.cli_kit import SESSION, Shell
from cli.json_shapes import SHAPES
from tgworker.cli import main
from tgworker.messaging.models import Secret
from tgworker.sandbox import Revocation, Sandbox, open_sandbox
from tgworker.vault import FernetVault, new_key


def rows(shell: Shell) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in shell("accounts", "list", "--json").rows}


def test_the_switch_says_what_it_did_and_that_nobody_follows(shell: Shell) -> None:
    account = shell.add_account("alice")
    done = shell("accounts", "disable", "--account", "alice")
    assert (done.code, done.out) == (0, "account alice is off; no worker runs here\n")
    assert rows(shell)["alice"]["active"] is False
    assert shell("accounts", "disable", "--account", "alice").out == (
        "account alice is off already; no worker runs here\n"
    )
    done = shell("accounts", "enable", "--account", account, "--json")
    assert done.last == {"account_id": account, "active": True, "changed": True}
    assert set(done.last) == set(SHAPES["accounts enable, accounts disable"])
    assert rows(shell)["alice"]["active"] is True


@pytest.mark.parametrize("verb", ["enable", "disable", "remove"])
def test_an_account_that_is_not_there_is_named_by_those_that_are(shell: Shell, verb: str) -> None:
    shell.add_account("alice")
    shell("accounts", verb, "--account", "bob").refused(2, "--account names no account", "there are: alice")


def test_removing_without_a_terminal_wants_to_be_sure(shell: Shell) -> None:
    shell.add_account("alice")
    shell("accounts", "remove", "--account", "alice", stdin="y\n").refused(2, "--yes", "alice")
    assert "alice" in rows(shell)


class Typed(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "code"), [("y\n", 0), ("Yes\n", 0), ("n\n", 1), ("\n", 1), ("", 1), ("yep\n", 1)]
)
def test_a_person_is_asked(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, code: int
) -> None:
    shell.add_account("alice")
    monkeypatch.setattr(sys, "stdin", Typed(typed))
    assert main(["accounts", "remove", "--account", "alice"]) == code
    assert "remove account alice? [y/N]" in capsys.readouterr().err
    assert ("alice" in rows(shell)) is (code == 1)


def test_a_removed_account_is_gone_and_its_messages_stay(shell: Shell) -> None:
    account = shell.add_account("alice")
    shell("send", "--account", "alice", "--to", "5", "--text", "hello")
    done = shell("accounts", "remove", "--account", "alice", "--yes", "--json")
    assert (done.code, done.last) == (0, {"account_id": account, "name": "alice", "logged_out": False})
    assert set(done.last) == set(SHAPES["accounts remove"])
    assert rows(shell) == {}
    (left,) = shell.outbox()
    assert (left.state.value, left.error) == ("dead", "its account was removed")


@pytest.fixture
async def sandbox(shell: Shell) -> AsyncGenerator[Sandbox]:
    async with open_sandbox(users=2) as sandbox:
        shell.configure()
        (shell.folder / "server.pem").write_text(sandbox.public_key_pem)
        shell.set(TGWORKER_TELEGRAM_SERVER=sandbox.server)
        shell.hide(*(user.session for user in sandbox.users), *(user.phone for user in sandbox.users))
        yield sandbox


LOGIN = ("login", "--session", "-", "--name", "alice")
LOGOUT = ("accounts", "remove", "--account", "alice", "--logout", "--yes")


async def test_logging_out_ends_the_session_at_telegram(shell: Shell, sandbox: Sandbox) -> None:
    session = sandbox.users[0].session
    await shell.along(*LOGIN, stdin=session)
    done = await shell.along(*LOGOUT)
    assert (done.code, done.complaints) == (0, [])
    assert done.out.splitlines()[-1] == (
        "account alice is removed; its messages and conversations stay; its session is ended at Telegram"
    )
    assert (await shell.along("accounts", "list", "--json")).rows == []
    (await shell.along(*LOGIN, stdin=session)).refused(1, "log in again")


@pytest.mark.parametrize("reason", ["SESSION_REVOKED", "AUTH_KEY_UNREGISTERED", "USER_DEACTIVATED"])
async def test_a_session_that_telegram_has_ended_keeps_nobody_from_removing(
    shell: Shell, sandbox: Sandbox, reason: Revocation
) -> None:
    user = sandbox.users[0]
    await shell.along(*LOGIN, stdin=user.session)
    sandbox.revoke(user.id, reason)
    done = await shell.along(*LOGOUT, "--json")
    assert (done.code, done.last["logged_out"]) == (0, False)
    assert (await shell.along("accounts", "list", "--json")).rows == []


async def test_while_telegram_is_away_the_account_stays_switched_off(shell: Shell, sandbox: Sandbox) -> None:
    await shell.along(*LOGIN, stdin=sandbox.users[0].session)
    shell.set(TGWORKER_TELEGRAM_SERVER="127.0.0.1:1")
    done = await shell.along(*LOGOUT)
    assert done.code == 1
    (line,) = done.complaints
    assert "Telegram cannot be reached" in line
    assert "account alice stays, switched off: try again, or remove it without --logout" in line
    (row,) = (await shell.along("accounts", "list", "--json")).rows
    assert row["active"] is False


async def test_a_session_that_cannot_be_read_cannot_be_ended(shell: Shell, sandbox: Sandbox) -> None:
    await shell.along(*LOGIN, stdin=sandbox.users[0].session)
    shell.set(ENCRYPTION_KEY=new_key().value)
    (await shell.along(*LOGOUT)).refused(2, "no key of ENCRYPTION_KEY", "without --logout")
    (row,) = (await shell.along("accounts", "list", "--json")).rows
    assert row["active"] is True


def test_every_session_goes_under_the_first_key(shell: Shell) -> None:
    old, new = shell.key, new_key()
    shell.set(ENCRYPTION_KEY=f"{new.value},{old.value}")
    for number in range(3):
        shell.add_account(f"a{number}", user_id=number)
    first = shell("accounts", "rekey", "--json")
    assert (first.code, set(first.last)) == (0, set(SHAPES["accounts rekey"]))
    assert first.last == {"rekeyed": 3, "already": 0, "not_ours": 0, "unreadable": []}
    assert shell("accounts", "rekey").out == (
        "0 sessions rekeyed, 3 were under the first key already\n"
        "the other keys of ENCRYPTION_KEY may go, once every worker has the first one\n"
    )
    for account in shell.store(lambda store: store.active_accounts()):
        assert FernetVault([new]).decrypt(account.secrets_encrypted) == Secret(SESSION)


def test_what_opens_under_no_key_is_named_and_left(shell: Shell) -> None:
    shell.add_account("lost")
    before = shell.store(lambda store: store.active_accounts())
    shell.key = new_key()
    shell.vault = FernetVault([shell.key])
    shell.hide(shell.key.value)
    shell.set(ENCRYPTION_KEY=f"{new_key().value},{shell.key.value}")
    shell.add_account("well", user_id=2)
    done = shell("accounts", "rekey", "--json")
    assert (done.code, done.last) == (
        1,
        {"rekeyed": 1, "already": 0, "not_ours": 0, "unreadable": ["lost"]},
    )
    again = shell("accounts", "rekey")
    assert again.code == 1
    assert "1 open under no key of ENCRYPTION_KEY: lost; add the key" in again.out
    assert shell.store(lambda store: store.active_accounts())[0] == before[0]
