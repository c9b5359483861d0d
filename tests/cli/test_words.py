"""The words of a command line: what is wrong with them is one line, exit code 2, and never their own text."""

import sys

import pytest

from cli.cli_kit import SESSION, TEXT, Shell
from tgworker.cli._app import COMMANDS


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["keygn"], ["no command keygn", "is it keygen?", "'tgworker --help'"]),
        (["outbox", "lst"], ["outbox has no command lst", "is it list?", "'tgworker outbox --help'"]),
        (["accounts", "add"], ["accounts has no command add", "there are: list"]),
        (["keygen", "--jsn"], ["keygen has no option --jsn", "is it --json?", "'tgworker keygen --help'"]),
        (["--bogus"], ["run has no option --bogus", "'tgworker run --help'"]),
        (["--no-guard", "--bogus"], ["run has no option --bogus"]),
        (["send"], ["send needs --account with a value"]),
        (["send", "--account", "a"], ["send needs --to with a value"]),
        (["send", "--account", "a", "--account", "b", "--to", "5"], ["--account was given twice"]),
        (["outbox", "list", "--limit", "many"], ["--limit is not a whole number"]),
        (["outbox", "list", "--limit", "0"], ["--limit must be between 1 and"]),
        (["outbox", "list", "--limit", "9" * 30], ["--limit must be between 1 and"]),
        (["outbox", "list", "--state", "lost"], ["--state is not one of waiting,", "dead"]),
        (["demo", "--seed", "x"], ["--seed is not a whole number"]),
        (["keygen", "--json=perhaps"], ["--json is not true or false"]),
        (["sandbox", "--users", "0"], ["--users must be between 1 and"]),
        (["sandbox", "--port", "99999"], ["--port must be between 0 and 65535"]),
        (["sandbox", "--key-file", "/dev/null/x.pem"], ["cannot write the key file /dev/null/x.pem"]),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(shell: Shell, argv: list[str], words: list[str]) -> None:
    shell(*argv).refused(2, *words)
    assert not shell.data.exists()


@pytest.mark.parametrize(
    "argv",
    [
        [SESSION],
        ["login", SESSION],
        ["login", "--session", SESSION],
        ["login", "--session", "-", SESSION],
        ["login", f"--sesion={SESSION}"],
        ["login", f"--{SESSION}"],
        ["outbox", SESSION],
        ["outbox", "list", "--state", SESSION],
        ["outbox", "list", "--limit", SESSION],
        ["send", "--account", "a", "--to", "5", "--txt", TEXT],
        ["send", "--account", "a", "--to", "5", TEXT],
        ["send", "--account", "a", "--to", "5", "--text", "hello", TEXT],
    ],
)
def test_a_word_in_the_wrong_place_is_not_repeated(shell: Shell, argv: list[str]) -> None:
    """`Shell` searches the output for the session and the text."""
    shell(*argv).refused(2)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_page_and_stands_in_the_list(shell: Shell, command: str) -> None:
    page = shell(command, "--help")
    assert page.code == 0
    assert f"Usage: tgworker {command}" in page.out
    assert f"{command}: {COMMANDS[command].summary}" in shell("--help").out


def test_windows_is_refused_in_one_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    shell("keygen").refused(2, "Windows is not supported", "WSL")


def test_the_library_alone_says_what_to_install(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """`pip install tgworker` brings no command line's dependencies."""
    for name in [name for name in sys.modules if name.startswith("tgworker.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cyclopts", None)
    shell("keygen").refused(2, "cyclopts is not installed", "pip install 'tgworker[worker]'")
