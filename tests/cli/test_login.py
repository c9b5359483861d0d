"""``login`` against a sandbox in this process: what is stored, and what is refused."""

import json
from collections.abc import AsyncGenerator

import pytest
import trio

from cli.cli_kit import SESSION, Shell
from tgworker.cli._qr import drawn
from tgworker.embedded import DataFolder, inline, open_store
from tgworker.sandbox import Fault, Revocation, Sandbox, SandboxUser, open_sandbox

LOGIN = ("login", "--session", "-")
PASSWORD = "open sesame, all of you"


@pytest.fixture
async def sandbox(shell: Shell) -> AsyncGenerator[Sandbox]:
    async with open_sandbox(users=2) as sandbox:
        shell.configure()
        (shell.folder / "server.pem").write_text(sandbox.public_key_pem)
        shell.set(TGWORKER_TELEGRAM_SERVER=sandbox.server)
        shell.hide(*(user.session for user in sandbox.users), *(user.phone for user in sandbox.users))
        shell.hide(PASSWORD)
        yield sandbox


@pytest.fixture
def user(sandbox: Sandbox) -> SandboxUser:
    return sandbox.users[0]


async def test_a_session_is_tried_and_stored_encrypted(shell: Shell, user: SandboxUser) -> None:
    done = await shell.along(*LOGIN, "--name", "alice", "--json", stdin=user.session + "\n")
    assert (done.code, done.complaints) == (0, [])
    account_id = done.last["account_id"]
    assert done.last == {"account_id": account_id, "user_id": user.id, "name": "alice", "kind": "user"}
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


# ------------------------------------------------ by phone, code and password


def answers(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def stored(shell: Shell) -> bytes:
    return b"".join(path.read_bytes() for path in shell.data.iterdir() if path.is_file())


async def test_phone_and_code_from_standard_input(shell: Shell, sandbox: Sandbox, user: SandboxUser) -> None:
    typed = answers(f"+{user.phone[:3]} {user.phone[3:6]}-{user.phone[6:]}", "123 45")
    done = await shell.along("login", "--name", "alice", "--json", stdin=typed)
    assert done.code == 0, done.err
    account_id = done.last["account_id"]
    assert done.last == {"account_id": account_id, "user_id": user.id, "name": "alice", "kind": "user"}
    assert done.complaints == [
        "phone number, with its country code: ",
        "Telegram has sent a code: it is in the Telegram app, on another device (5 digits)",
        "code: ",
    ]
    assert sandbox.logins(user.id) == 2
    (row,) = (await shell.along("accounts", "list", "--json")).rows
    assert (row["id"], row["state"], row["active"]) == (done.last["account_id"], "waiting", True)


async def test_a_two_step_password_and_answers_that_are_wrong(
    shell: Shell, sandbox: Sandbox, user: SandboxUser
) -> None:
    sandbox.set_password(user.id, PASSWORD, hint="\x1b[31mwhat opens?")
    typed = answers("nonsense", user.phone, "1", "12345", "sesame", PASSWORD)
    done = await shell.along("login", stdin=typed)
    assert done.code == 0, done.err
    assert done.complaints[1].startswith("this is no phone number: give it with its country code")
    assert "this is not the code (PHONE_CODE_INVALID): 2 more tries" in done.complaints
    assert "two-step password (hint: [31mwhat opens?): " in done.complaints
    assert "this is not the password (PASSWORD_HASH_INVALID): 2 more tries" in done.complaints
    assert PASSWORD.encode() not in stored(shell)


@pytest.mark.parametrize(
    ("typed", "code", "words"),
    [
        ("", 2, ["standard input ended before the answer to: phone number"]),
        (answers("a", "b", "c"), 2, ["no phone number was given"]),
        (answers("PHONE"), 2, ["standard input ended before the answer to: code"]),
        (answers("PHONE", "1", "2", "3"), 1, ["3 wrong codes: begin again"]),
        (answers("PHONE", "12345", "1", "2", "3"), 1, ["3 wrong passwords", "Two-Step Verification"]),
        (answers("PHONE", "12345"), 2, ["standard input ended before the answer to: two-step password"]),
        (answers("+999660000000", "12345"), 1, ["this program registers nobody"]),
    ],
)
async def test_answers_that_lead_nowhere_end_in_one_line_and_leave_nothing(
    shell: Shell, sandbox: Sandbox, user: SandboxUser, typed: str, code: int, words: list[str]
) -> None:
    sandbox.set_password(user.id, PASSWORD)
    ended = await shell.along("login", stdin=typed.replace("PHONE", user.phone))
    assert (ended.code, ended.out) == (code, "")
    for word in words:
        assert word in ended.complaints[-1]
    assert ended.complaints[-1].startswith("tgworker: ")
    assert sandbox.logins(user.id) == 1
    assert (await shell.along("accounts", "list", "--json")).rows == []


async def test_an_answer_that_is_no_text_is_refused(shell: Shell, user: SandboxUser) -> None:
    done = await shell.along("login", stdin=user.phone.encode() + b"\n\xff\n")
    assert done.complaints[-1] == "tgworker: the answer is not UTF-8 text: code"


async def test_a_flood_says_how_long_it_lasts(shell: Shell, sandbox: Sandbox, user: SandboxUser) -> None:
    sandbox.faults.set(Fault("flood_wait", method="auth.sendCode", seconds=9000))
    done = await shell.along("login", stdin=answers(user.phone))
    assert (done.code, done.complaints[-1]) == (
        1,
        "tgworker: Telegram lets nobody try before 2 h 30 min have passed (FLOOD_WAIT_9000)",
    )


async def test_a_name_that_is_taken_undoes_the_login(shell: Shell, sandbox: Sandbox) -> None:
    alice, bob = sandbox.users
    assert (await shell.along(*LOGIN, "--name", "alice", stdin=alice.session)).code == 0
    done = await shell.along("login", "--name", "alice", stdin=answers(bob.phone, "12345"))
    assert (done.code, done.complaints[-1]) == (
        2,
        "tgworker: another account is called 'alice': choose another name",
    )
    assert sandbox.logins(bob.id) == 1


async def test_an_account_is_logged_in_again(shell: Shell, sandbox: Sandbox) -> None:
    alice, bob = sandbox.users
    first = await shell.along("login", "--name", "alice", "--json", stdin=answers(alice.phone, "12345"))
    again = await shell.along("login", "--account", "alice", "--json", stdin=answers("", "12345"))
    assert again.code == 0, again.err
    assert again.last["account_id"] == first.last["account_id"]
    assert again.complaints[0] == (
        f"phone number, with its country code (Enter for the one that ends in {alice.phone[-2:]}): "
    )
    other = await shell.along("login", "--account", "alice", stdin=answers(bob.phone, "12345"))
    assert other.code == 1
    assert other.complaints[-1] == (
        f"tgworker: this is Telegram user {bob.id}, and account alice is user {alice.id}: "
        "log in as that one, or add an account without --account"
    )
    assert sandbox.logins(bob.id) == 1
    assert len((await shell.along("accounts", "list", "--json")).rows) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--session", "abc"], ["--session takes only '-'"]),
        (["--session", "-", "--qr"], ["--session goes with none of --qr, --bot and --account"]),
        (["--session", "-", "--account", "a"], ["--session goes with none"]),
        (["--session", "-", "--bot"], ["--session goes with none"]),
        (["--qr", "--bot"], ["--qr and --bot do not go together"]),
        (["--account", "a", "--owner", "b"], ["--owner and --account do not go together"]),
        (["--account", "nobody"], ["--account names no account"]),
    ],
)
def test_options_that_make_no_sense(shell: Shell, options: list[str], words: list[str]) -> None:
    shell.configure()
    shell("login", *options).refused(2, *words)


# ------------------------------------------------ by QR code


async def test_a_qr_code_is_scanned(shell: Shell, sandbox: Sandbox, user: SandboxUser) -> None:
    sandbox.set_password(user.id, PASSWORD)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scan, sandbox, user)
        done = await shell.along("login", "--qr", "--json", stdin=answers(PASSWORD))
    assert done.code == 0, done.err
    assert done.last["user_id"] == user.id
    url = next(word for word in done.err.split() if word.startswith("tg://login"))
    assert done.err.startswith(drawn(url))
    assert "scan it with the Telegram app" in done.err


async def scan(sandbox: Sandbox, user: SandboxUser) -> None:
    while not sandbox.shown():
        await trio.sleep(0.01)
    sandbox.scan(user.id, sandbox.shown()[0])


async def test_the_first_login_goes_through_the_accounts_proxy(
    shell: Shell, sandbox: Sandbox, user: SandboxUser
) -> None:
    proxy = sandbox.proxies.open_socks5(login=("ada", "open, sesame"))
    shell.hide("open, sesame")
    config = shell.folder / "config.json"
    config.write_text(json.dumps({"proxy": proxy.url, "device_model": "Desk"}))
    done = await shell.along(*LOGIN, "--config", str(config), "--json", stdin=user.session)
    assert done.code == 0, done.complaints
    assert sandbox.proxies.get(proxy.port).connected == sandbox.statistics().connections == 1
    with open_store(DataFolder(shell.data), as_worker=False, run_sync=inline) as store:
        (account,) = await store.active_accounts()
    assert account.config == {"proxy": proxy.url, "device_model": "Desk"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["cannot be read (No such file or directory)", "give a file with a JSON object"]),
        ("[1]", ["holds no JSON object", "write one"]),
        ("{broken", ["holds no JSON object"]),
        ('{"proxy": "hello"}', ["config.proxy is no URL of a proxy", "socks5://HOST:PORT"]),
        ('{"device_model": 5}', ["config.device_model"]),
        ('{"proxi": "socks5://h:1"}', ["nobody reads proxi", "leave it out"]),
    ],
)
async def test_a_config_that_cannot_be_is_refused_before_anything_is_sent(
    shell: Shell, sandbox: Sandbox, user: SandboxUser, content: str | None, words: list[str]
) -> None:
    config = shell.folder / "config.json"
    if content is not None:
        config.write_text(content)
    (await shell.along(*LOGIN, "--config", str(config), stdin=user.session)).refused(2, *words)
    assert sandbox.statistics().connections == 0
