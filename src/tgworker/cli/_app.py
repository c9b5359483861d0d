"""All commands, and how their endings become exit codes."""

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType

from cyclopts import App

from tgworker import __version__
from tgworker.cli._errors import exit_code_of


@dataclass(frozen=True, slots=True)
class Command:
    """A command, which is imported when it is called, so that ``keygen`` does not wait for Telethon.

    Attributes:
        path: Where it is, as ``module:name``.
        summary: What the list of all commands says of it.
    """

    path: str
    summary: str


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "run": Command("tgworker.cli.run:run", "The worker: hold the accounts online."),
        "demo": Command("tgworker.cli.demo:demo", "The worker against the sandbox, with three faults."),
        "login": Command("tgworker.cli.login:login", "Add an account."),
        "accounts": Command(
            "tgworker.cli.accounts:accounts", "The accounts: list, enable, disable, remove, rekey."
        ),
        "send": Command("tgworker.cli.send:send", "Put messages into the outbox."),
        "outbox": Command("tgworker.cli.outbox:outbox", "The outbox: list, retry, cancel."),
        "history": Command("tgworker.cli.history:history", "What chats held before: ask for it, watch it."),
        "status": Command("tgworker.cli.status:status", "What a running worker is doing."),
        "stacks": Command("tgworker.cli.stacks:stacks", "What every task of a running worker is doing."),
        "migrate": Command("tgworker.cli.migrate:migrate", "Create or update the store's schema."),
        "keygen": Command("tgworker.cli.keygen:keygen", "Print a new encryption key."),
        "sandbox": Command("tgworker.cli.sandbox:sandbox", "A Telegram server on 127.0.0.1."),
        "dev-stack": Command(
            "tgworker.cli.dev_stack:dev_stack", "PostgreSQL and PostgREST as Supabase sets them up."
        ),
    }
)


def make_app(*, listing: bool = False) -> App:
    """All commands.

    Args:
        listing: Only their list will be shown. A command's own help page is made from its function.
    """
    app = App(
        name="tgworker",
        help="A Telegram worker that heals itself. Without a command: run.",
        version=__version__,
        help_format="plaintext",
        help_formatter="plain",
        suppress_keyboard_interrupt=False,  # it becomes an exit code where all endings do
    )
    for name, command in COMMANDS.items():
        app.command(command.path, name=name, help=command.summary if listing else None)
    return app


def dispatch(argv: Sequence[str]) -> int:
    """Run one command; returns its exit code."""
    words = list(argv)
    listing = bool(words) and words[0] in {"-h", "--help"}
    if not words or (words[0].startswith("-") and not listing and words[0] != "--version"):
        words.insert(0, "run")
    app = make_app(listing=listing)

    def run() -> object:
        if words[0] in COMMANDS:
            _import(COMMANDS[words[0]])
        return app(words, exit_on_error=False, print_error=False, result_action="return_value")

    return exit_code_of(run)


def _import(command: Command) -> None:
    """Import a command while the garbage collector rests: a twelfth of the time went into finding none."""
    collects = gc.isenabled()
    gc.disable()
    try:
        import_module(command.path.partition(":")[0])
    finally:
        if collects:
            gc.enable()
