"""``login --session -`` against a sandbox in this process: what is stored, and what is refused."""

from collections.abc import AsyncGenerator

import pytest

from cli.cli_kit import SESSION, Shell
from tgworker.embedded import DataFolder
from tgworker.sandbox import Fault, Revocation, Sandbox, SandboxUser, open_sandbox

LOGIN = ("login", "--session", "-")


@pytest.fixture
async def sandbox(shell: Shell) -> AsyncGenerator[Sandbox]:
    async with open_sandbox(users=2) as sandbox:
        shell.configure()
        (shell.folder / "server.pem").write_text(sandbox.public_key_pem)
        shell.set(TGWORKER_TELEGRAM_SERVER=sandbox.server)
        shell.hide(*(user.session for user in sandbox.users), *(user.phone for user in sandbox.users))
        yield sandbox


@pytest.fixture
def user(sandbox: Sandbox) -> SandboxUser:
    return sandbox.users[0]


async def test_a_session_is_tried_and_stored_encrypted(shell: Shell, user: SandboxUser) -> None:
    done = await shell.along(*LOGIN, "--name", "alice", "--json", stdin=user.session + "\n")
    assert (done.code, done.complaints) == (0, [])
    assert done.last == {"account_id": done.last["account_id"], "user_id": user.id, "name": "alice"}
    (row,) = (await shell.along("accounts", "list", "--json")).rows
    assert (row["id"], row["state"], row["active"]) == (done.last["account_id"], "waiting", True)
    stored = b"".join(path.read_bytes() for path in shell.data.iterdir())
    assert user.session.encode() not in stored
    for name in ("alice", f"+{user.phone}", row["id"].upper()):
        assert (await shell.along("send", "--account", name, "--to", "5", "--text", "hello")).code == 0


async def test_a_second_login_replaces_the_session_of_the_same_user(
    shell: Shell, sandbox: Sandbox, user: SandboxUser
) -> None:
    first = await shell.along(*LOGIN, "--name", "alice", "--json", stdin=user.session)
    other = sandbox.new_session(user.id)
    shell.hide(other)
    second = await shell.along(*LOGIN, "--json", stdin=other)
    assert second.last["account_id"] == first.last["account_id"]
    assert [row["name"] for row in (await shell.along("accounts", "list", "--json")).rows] == ["alice"]


@pytest.mark.parametrize("stdin", [SESSION, "hello", "1" + "A" * 352 + "!", "\x00", "1BVtsOK"])
async def test_what_is_no_session_is_refused_before_anything_is_sent(
    shell: Shell, sandbox: Sandbox, stdin: str
) -> None:
    (await shell.along(*LOGIN, stdin=stdin)).refused(
        2, "standard input holds no Telethon StringSession", "export the session again"
    )
    assert sandbox.statistics().connections == 0
    assert (await shell.along("accounts", "list", "--json")).rows == []


@pytest.mark.parametrize("stdin", ["", "\n", "  \n"])
def test_an_empty_input_is_refused(shell: Shell, stdin: str) -> None:
    shell.configure()
    shell(*LOGIN, stdin=stdin).refused(2, "standard input was empty", "StringSession")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("SESSION_REVOKED", ["SESSION_REVOKED", "log in again"]),
        ("AUTH_KEY_UNREGISTERED", ["log in again"]),
        ("USER_DEACTIVATED", ["USER_DEACTIVATED"]),
    ],
)
async def test_a_session_that_telegram_refuses_is_not_stored(
    shell: Shell, sandbox: Sandbox, user: SandboxUser, reason: Revocation, words: list[str]
) -> None:
    sandbox.revoke(user.id, reason)
    (await shell.along(*LOGIN, stdin=user.session)).refused(1, *words)
    assert (await shell.along("accounts", "list", "--json")).rows == []


async def test_a_server_that_hangs_up_is_an_answer_of_no(
    shell: Shell, sandbox: Sandbox, user: SandboxUser
) -> None:
    sandbox.faults.set(Fault("drop", method="connect"))
    (await shell.along(*LOGIN, stdin=user.session)).refused(
        1, f"the test server {sandbox.server} cannot be reached", "try again"
    )


async def test_a_server_that_is_not_there_is_an_answer_of_no(shell: Shell, user: SandboxUser) -> None:
    shell.set(TGWORKER_TELEGRAM_SERVER="127.0.0.1:1")
    (await shell.along(*LOGIN, stdin=user.session)).refused(
        1, "the test server 127.0.0.1:1 cannot be reached (the line broke: Connection refused)", "try again"
    )


async def test_a_server_that_says_nothing_is_given_up_in_time(
    shell: Shell, sandbox: Sandbox, user: SandboxUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tgworker.cli.login.CONNECT_WITHIN_S", 0.2)
    sandbox.faults.set(Fault("blackhole", method="connect"))
    (await shell.along(*LOGIN, stdin=user.session)).refused(
        1, "did not answer within 0.2 s", "try again later"
    )


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "x" * 65, "\x1b[31m"])
def test_a_name_must_be_printable(shell: Shell, name: str) -> None:
    shell.configure()
    shell(*LOGIN, "--name", name, stdin=SESSION).refused(2, "--name is not a printable name")


def test_an_owner_is_a_uuid(shell: Shell) -> None:
    shell.configure()
    shell(*LOGIN, "--owner", "me", stdin=SESSION).refused(2, "--owner is not a uuid")


async def test_a_name_that_another_account_has_is_refused(shell: Shell, sandbox: Sandbox) -> None:
    alice, bob = sandbox.users
    assert (await shell.along(*LOGIN, "--name", "alice", stdin=alice.session)).code == 0
    (await shell.along(*LOGIN, "--name", "alice", stdin=bob.session)).refused(
        2, "another account is called 'alice'", "choose another name"
    )
    assert len((await shell.along("accounts", "list", "--json")).rows) == 1


async def test_a_session_that_the_running_worker_uses_is_not_tried(
    shell: Shell, sandbox: Sandbox, user: SandboxUser
) -> None:
    """Telegram would end it for ever (AUTH_KEY_DUPLICATED)."""
    assert (await shell.along(*LOGIN, "--name", "alice", stdin=user.session)).code == 0
    before = sandbox.statistics().connections
    with DataFolder(shell.data).hold():
        (await shell.along(*LOGIN, stdin=user.session)).refused(
            2, "account alice has this session already", "stop the worker first"
        )
        assert sandbox.statistics().connections == before
        other = sandbox.new_session(user.id)
        assert (await shell.along(*LOGIN, stdin=other)).code == 0
