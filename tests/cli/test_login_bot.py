"""``login --bot``: a token that nobody sees, what is stored, what is refused, and how a bot leaves."""

from collections.abc import AsyncGenerator

import pytest

from cli.cli_kit import Shell
from cli.terminal import in_terminal
from tgworker.sandbox import Fault, Sandbox, SandboxBot, open_sandbox

LOGIN = ("login", "--bot")


@pytest.fixture
async def sandbox(shell: Shell) -> AsyncGenerator[Sandbox]:
    async with open_sandbox(users=1) as sandbox:
        shell.configure()
        (shell.folder / "server.pem").write_text(sandbox.public_key_pem)
        shell.set(TGWORKER_TELEGRAM_SERVER=sandbox.server)
        yield sandbox


@pytest.fixture
def bot(shell: Shell, sandbox: Sandbox) -> SandboxBot:
    bot = sandbox.add_bot()
    shell.hide(bot.token, bot.token.partition(":")[2], bot.session)
    return bot


def on_disk(shell: Shell) -> bytes:
    return b"".join(path.read_bytes() for path in shell.data.rglob("*") if path.is_file())


@pytest.mark.slow
async def test_at_a_terminal_the_token_is_shown_to_nobody(
    shell: Shell, sandbox: Sandbox, bot: SandboxBot
) -> None:
    async with in_terminal("login", "--bot", "--name", "helper") as terminal:
        await terminal.wait_for("bot token, from @BotFather: ")
        assert not terminal.echoes()
        public = terminal.seen_by_others()
        terminal.type(f"{bot.token}\n")
        await terminal.wait_for(f"added: Telegram bot {bot.id}")
        public += terminal.seen_by_others() if terminal.process.poll() is None else ""
        assert await terminal.end() == 0
        assert terminal.echoes()
    assert "login\0--bot\0--name\0helper" in public
    secret = bot.token.partition(":")[2]
    assert secret not in public
    assert secret not in terminal.shown
    assert secret.encode() not in on_disk(shell)
    (row,) = (await shell.along("accounts", "list", "--json")).rows
    assert (row["name"], row["user_id"], row["kind"], row["state"]) == ("helper", bot.id, "bot", "waiting")


async def test_from_standard_input_and_again_with_another_token(
    shell: Shell, sandbox: Sandbox, bot: SandboxBot
) -> None:
    done = await shell.along(*LOGIN, "--name", "helper", "--json", stdin=f"  {bot.token}\n")
    assert (done.code, done.complaints) == (0, ["bot token, from @BotFather: "])
    account_id = done.last["account_id"]
    assert done.last == {"account_id": account_id, "user_id": bot.id, "name": "helper", "kind": "bot"}
    assert sandbox.logins(bot.id) == 2
    token = sandbox.renew_token(bot.id)
    shell.hide(token, token.partition(":")[2])
    stale = await shell.along(*LOGIN, "--account", "helper", stdin=bot.token)
    assert stale.code == 1
    assert "this token was revoked: take the one that @BotFather shows now" in stale.complaints[-1]
    again = await shell.along(*LOGIN, "--account", "helper", "--json", stdin=token)
    assert (again.code, again.last["account_id"]) == (0, account_id)
    (row,) = (await shell.along("accounts", "list", "--json")).rows
    assert (row["id"], row["name"], row["kind"]) == (account_id, "helper", "bot")


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("hello", "this is no bot token"),
        ("1001:" + "x" * 35, "Telegram knows no bot with this token"),
        ("", "this is no bot token"),
    ],
)
async def test_what_is_no_token_is_refused_and_stores_nothing(
    shell: Shell, sandbox: Sandbox, token: str, words: str
) -> None:
    if len(token) > 20:
        shell.hide(token)
    done = await shell.along(*LOGIN, stdin=token + "\n")
    assert done.code == 1
    assert words in done.complaints[-1]
    assert (await shell.along("accounts", "list", "--json")).rows == []


async def test_a_flood_says_how_long(shell: Shell, sandbox: Sandbox, bot: SandboxBot) -> None:
    sandbox.faults.set(Fault("flood_wait", "auth.importBotAuthorization", seconds=1200))
    done = await shell.along(*LOGIN, stdin=bot.token)
    assert done.code == 1
    assert "20 min" in done.complaints[-1]
    assert sandbox.logins(bot.id) == 1


async def test_a_bot_and_a_person_are_not_taken_for_each_other(
    shell: Shell, sandbox: Sandbox, bot: SandboxBot
) -> None:
    user = sandbox.users[0]
    shell.hide(user.session)
    await shell.along("login", "--session", "-", "--name", "alice", stdin=user.session)
    await shell.along(*LOGIN, "--name", "helper", stdin=bot.token)
    person = await shell.along(*LOGIN, "--account", "alice", stdin=bot.token)
    assert (person.code, "account alice is a person's" in person.complaints[-1]) == (2, True)
    machine = await shell.along("login", "--account", "helper", stdin="+999661001\n")
    assert (machine.code, "account helper is a bot: give --bot" in machine.complaints[-1]) == (2, True)
    other = sandbox.add_bot()
    shell.hide(other.token)
    mixed = await shell.along(*LOGIN, "--account", "helper", stdin=other.token)
    assert mixed.code == 1
    assert f"this is Telegram user {other.id}" in mixed.complaints[-1]
    assert sandbox.logins(other.id) == 1


async def test_a_session_of_a_bot_s_makes_a_bot_s_account(
    shell: Shell, sandbox: Sandbox, bot: SandboxBot
) -> None:
    done = await shell.along("login", "--session", "-", "--json", stdin=bot.session)
    assert (done.code, done.last["kind"]) == (0, "bot")


async def test_a_bot_is_removed_with_its_session(shell: Shell, sandbox: Sandbox, bot: SandboxBot) -> None:
    await shell.along(*LOGIN, "--name", "helper", stdin=bot.token)
    assert sandbox.logins(bot.id) == 2
    done = await shell.along("accounts", "remove", "--account", "helper", "--logout", "--yes")
    assert done.code == 0
    assert sandbox.logins(bot.id) == 1
    assert (await shell.along("accounts", "list", "--json")).rows == []
