"""All commands, and how their endings become exit codes."""

from collections.abc import Mapping, Sequence

from cyclopts import App

from tgworker import __version__
from tgworker.cli._errors import exit_code_of

COMMANDS: Mapping[str, str] = {
    "run": "tgworker.cli.run:run",
    "demo": "tgworker.cli.demo:demo",
    "login": "tgworker.cli.login:login",
    "accounts": "tgworker.cli.accounts:accounts",
    "send": "tgworker.cli.send:send",
    "outbox": "tgworker.cli.outbox:outbox",
    "status": "tgworker.cli.status:status",
    "migrate": "tgworker.cli.migrate:migrate",
    "keygen": "tgworker.cli.keygen:keygen",
    "sandbox": "tgworker.cli.sandbox:sandbox",
}
"""Where each command is: it is imported when it is called, so that ``keygen`` does not wait for Telethon."""


def make_app() -> App:
    """All commands; without one, ``run``."""
    app = App(
        name="tgworker",
        help="A Telegram worker that heals itself. Without a command: run.",
        version=__version__,
        help_format="plaintext",
    )
    for name, path in COMMANDS.items():
        app.command(path, name=name)
    return app


def dispatch(argv: Sequence[str]) -> int:
    """Run one command; returns its exit code."""
    words = list(argv)
    if not words or (words[0].startswith("-") and words[0] not in {"-h", "--help", "--version"}):
        words.insert(0, "run")
    app = make_app()
    return exit_code_of(
        lambda: app(words, exit_on_error=False, print_error=False, result_action="return_value")
    )
