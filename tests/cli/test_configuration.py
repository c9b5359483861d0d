"""What the environment says: all its problems at once, exit code 2, before anything is made or connected."""

from pathlib import Path

import pytest

from cli.cli_kit import API_HASH, SERVICE_KEY, SESSION, STATUS_TOKEN, Ran, Shell

NEEDS = {
    "run": (["run"], ["TELEGRAM_API_ID", "TELEGRAM_API_HASH", "ENCRYPTION_KEY"]),
    "login": (["login", "--session", "-"], ["TELEGRAM_API_ID", "TELEGRAM_API_HASH", "ENCRYPTION_KEY"]),
}

OPENS_THE_STORE = [
    ["accounts", "list"],
    ["outbox", "list"],
    ["send", "--account", "alice", "--to", "5", "--text", "hello"],
    ["status"],
    ["migrate"],
    ["login", "--session", "-"],
    ["run"],
]


def names(ran: Ran) -> list[str]:
    """The variables that the lines on standard error begin with."""
    return [line.removeprefix("tgworker: ").split()[0] for line in ran.complaints]


@pytest.mark.parametrize("command", NEEDS)
def test_everything_that_is_missing_is_named_at_once_with_its_remedy(shell: Shell, command: str) -> None:
    argv, variables = NEEDS[command]
    ran = shell(*argv, stdin=SESSION)
    assert ran.code == 2
    assert names(ran) == variables
    for line in ran.complaints:
        assert " is not set: " in line
        assert line.endswith("put it into the environment or .env")
    assert not shell.data.exists()


def test_everything_that_is_malformed_is_named_at_once_and_not_repeated(shell: Shell) -> None:
    shell.hide("hunter2", "twelve-ish", "somewhere")
    shell.set(
        TELEGRAM_API_ID="twelve-ish",
        TELEGRAM_API_HASH="hunter2",
        ENCRYPTION_KEY="hunter2",
        SUPABASE_URL="somewhere",
        SUPABASE_SERVICE_ROLE_KEY="sb_publishable_hunter2",
        TGWORKER_DEADLINE_SEND_S="hunter2",
        TGWORKER_STATUS_TOKEN="hunter2 hunter2",
        TGWORKER_LOG_LEVEL="hunter2",
        TGWORKER_PACING="off",
    )
    ran = shell("run")
    assert ran.code == 2
    assert sorted(names(ran)) == [
        "ENCRYPTION_KEY",
        "SUPABASE_SERVICE_ROLE_KEY",
        "SUPABASE_URL",
        "TELEGRAM_API_HASH",
        "TELEGRAM_API_ID",
        "TGWORKER_DEADLINE_SEND_S",
        "TGWORKER_LOG_LEVEL",
        "TGWORKER_PACING",
        "TGWORKER_STATUS_TOKEN",
    ]
    assert all(": " in line.removeprefix("tgworker: ") for line in ran.complaints)
    assert not shell.data.exists()


@pytest.mark.parametrize("argv", [["accounts", "list"], ["status"], ["migrate"], ["outbox", "list"]])
def test_a_command_asks_for_no_more_than_it_needs(shell: Shell, argv: list[str]) -> None:
    shell.set(TELEGRAM_API_ID="no number", ENCRYPTION_KEY="no key")
    assert shell(*argv).complaints == []


def test_a_bad_line_in_the_env_file_is_named_by_its_number(shell: Shell) -> None:
    (shell.folder / ".env").write_text(f"TGWORKER_WORKER_ID=one\nthis is {SESSION} no line\n")
    shell("accounts", "list").refused(2, ".env line 2 is not NAME=value")


def test_the_env_file_is_read(shell: Shell) -> None:
    other = shell.folder / "other"
    shell.unset("TGWORKER_DATA_DIR")
    (shell.folder / ".env").write_text(f"TGWORKER_DATA_DIR={other}\n")
    assert shell("accounts", "list").code == 0
    assert other.is_dir()


def test_secrets_in_the_environment_are_shown_by_no_command(shell: Shell) -> None:
    """`Shell` searches all output."""
    shell.configure(
        SUPABASE_URL="http://127.0.0.1:1",
        SUPABASE_SERVICE_ROLE_KEY=SERVICE_KEY,
        TGWORKER_STATUS_TOKEN=STATUS_TOKEN,
    )
    shell.add_account()
    for argv in OPENS_THE_STORE[:-2]:
        for more in ([], ["--json"]):
            shell(*argv, *more)
    assert API_HASH not in (shell.data / "tgworker.db").read_bytes().decode("latin-1")


# ---------------------------------------------------------------- the data folder


@pytest.mark.parametrize("argv", OPENS_THE_STORE, ids=lambda argv: argv[0])
@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("a-file", ["TGWORKER_DATA_DIR", "is not a folder", "give the path of a folder"]),
        ("a-file/below", ["TGWORKER_DATA_DIR", "Not a directory", "folder that this user may write"]),
        ("x" * 300, ["TGWORKER_DATA_DIR", "File name too long", "give the path of a folder"]),
    ],
    ids=["a file", "below a file", "too long"],
)
def test_a_data_folder_that_cannot_be_one(
    shell: Shell, argv: list[str], where: str, words: list[str]
) -> None:
    shell.configure()
    (shell.folder / "a-file").write_text("somebody's")
    shell.set(TGWORKER_DATA_DIR=str(shell.folder / where))
    shell(*argv, stdin=SESSION).refused(2, *words)
    assert (shell.folder / "a-file").read_text() == "somebody's"


@pytest.mark.parametrize("argv", OPENS_THE_STORE, ids=lambda argv: argv[0])
def test_a_data_folder_where_nothing_may_be_made(shell: Shell, argv: list[str]) -> None:
    """The process file system refuses everybody, root too."""
    shell.configure(TGWORKER_DATA_DIR="/proc/tgworker")
    shell(*argv, stdin=SESSION).refused(2, "/proc/tgworker", "set TGWORKER_DATA_DIR to a folder")


def test_without_any_folder_the_remedy_is_to_name_one(shell: Shell) -> None:
    shell.unset("TGWORKER_DATA_DIR")
    shell.unset("HOME")
    shell("accounts", "list").refused(2, "TGWORKER_DATA_DIR is not set, and neither is HOME")


def test_what_a_command_makes_its_owner_alone_may_read(shell: Shell) -> None:
    assert shell("accounts", "list").code == 0
    assert shell.data.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in shell.data.iterdir()}
    assert modes["tgworker.db"] == 0o600
    assert set(modes.values()) == {0o600}
    assert Path("data").is_dir()
