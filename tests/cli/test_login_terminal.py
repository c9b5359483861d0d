"""``login`` at a terminal, in processes of its own: what is shown, what is not, and what is left of it."""

import signal
from collections.abc import AsyncGenerator

import pytest

from cli.cli_kit import Shell
from cli.terminal import in_terminal
from tgworker.cli._qr import drawn
from tgworker.sandbox import Sandbox, SandboxUser, open_sandbox

pytestmark = pytest.mark.slow

PASSWORD = "open sesame, and nobody else"


@pytest.fixture
async def sandbox(shell: Shell) -> AsyncGenerator[Sandbox]:
    async with open_sandbox(users=2) as sandbox:
        shell.configure()
        (shell.folder / "server.pem").write_text(sandbox.public_key_pem)
        shell.set(TGWORKER_TELEGRAM_SERVER=sandbox.server)
        shell.hide(PASSWORD)
        sandbox.set_password(sandbox.users[0].id, PASSWORD)
        yield sandbox


@pytest.fixture
def user(sandbox: Sandbox) -> SandboxUser:
    return sandbox.users[0]


def on_disk(shell: Shell) -> bytes:
    return b"".join(path.read_bytes() for path in shell.data.rglob("*") if path.is_file())


async def test_phone_code_and_password(shell: Shell, sandbox: Sandbox, user: SandboxUser) -> None:
    async with in_terminal("login", "--name", "alice") as terminal:
        await terminal.wait_for("phone number, with its country code: ")
        terminal.type(f"+{user.phone}\n")
        await terminal.wait_for("Telegram has sent a code: it is in the Telegram app")
        await terminal.wait_for("code: ")
        terminal.type("99999\n")
        await terminal.wait_for("this is not the code (PHONE_CODE_INVALID): 2 more tries")
        terminal.type("12345\n")
        await terminal.wait_for("two-step password: ")
        assert not terminal.echoes()
        public = terminal.seen_by_others()
        terminal.type(f"{PASSWORD}\n")
        await terminal.wait_for("added: Telegram user 1001")
        assert await terminal.end() == 0
        assert terminal.echoes()
    assert "login\0--name\0alice" in public
    for secret in (PASSWORD, user.phone, "12345"):
        assert secret not in public
        assert secret.encode() not in on_disk(shell) or secret == user.phone
    assert PASSWORD not in terminal.shown
    assert sandbox.logins(user.id) == 2
    (row,) = (await shell.along("accounts", "list", "--json")).rows
    assert (row["name"], row["user_id"], row["state"]) == ("alice", user.id, "waiting")


async def test_a_qr_code_is_drawn_counted_down_drawn_anew_and_scanned(
    shell: Shell, sandbox: Sandbox, user: SandboxUser
) -> None:
    sandbox.behave(login_token_lives_s=3)
    shell.set(LINES="60", COLUMNS="100")
    async with in_terminal("login", "--qr") as terminal:
        await terminal.wait_for("s left)")
        (first,) = sandbox.shown()
        await terminal.wait_for("\x1b[J")  # the old one is wiped off
        await terminal.wait_for("s left)")
        second = sandbox.shown()[-1]
        sandbox.scan(user.id, second)
        await terminal.wait_for("two-step password: ")
        terminal.type(f"{PASSWORD}\n")
        await terminal.wait_for("added: Telegram user 1001")
        assert await terminal.end() == 0
    shown = terminal.shown.replace("\r\n", "\n")
    assert first != second
    assert drawn(first) in shown
    assert drawn(second) in shown


async def test_three_wrong_codes_end_with_a_remedy(shell: Shell, sandbox: Sandbox, user: SandboxUser) -> None:
    async with in_terminal("login") as terminal:
        terminal.type(f"{user.phone}\n")  # ahead of the question
        for code in "123":
            await terminal.wait_for("\ncode: ")
            terminal.type(f"{code}\n")
        assert await terminal.end() == 1
    last = terminal.shown.rstrip().splitlines()[-1]
    assert last == (
        "tgworker: 3 wrong codes: begin again to get a new one,"
        " and type the newest code that Telegram has sent"
    )
    assert (await shell.along("accounts", "list", "--json")).rows == []


async def test_ctrl_c_leaves_nothing_here_and_nothing_at_telegram(
    shell: Shell, sandbox: Sandbox, user: SandboxUser
) -> None:
    async with in_terminal("login") as terminal:
        terminal.type(f"{user.phone}\n12345\n")
        await terminal.wait_for("two-step password: ")
        assert sandbox.logins(user.id) == 2
        terminal.type("\x03")
        assert await terminal.end() == 130
        assert terminal.echoes()
    assert terminal.shown.rstrip().splitlines()[-1] == "tgworker: interrupted: nothing is stored"
    assert "Traceback" not in terminal.shown
    assert sandbox.logins(user.id) == 1
    assert (await shell.along("accounts", "list", "--json")).rows == []


async def test_a_kill_in_the_middle_leaves_no_account_and_no_secret(
    shell: Shell, sandbox: Sandbox, user: SandboxUser
) -> None:
    async with in_terminal("login") as terminal:
        terminal.type(f"{user.phone}\n12345\n")
        await terminal.wait_for("two-step password: ")
        terminal.type(PASSWORD)  # no Enter yet
        terminal.process.send_signal(signal.SIGKILL)
        await terminal.end()
    kept = on_disk(shell)
    for secret in (PASSWORD, user.phone, "12345"):
        assert secret.encode() not in kept
    assert (await shell.along("accounts", "list", "--json")).rows == []
    assert sandbox.logins(user.id) == 2  # half of one is left: worth nothing without its key
