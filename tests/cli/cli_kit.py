"""The command line in the test's own process: what it printed, its exit code, and that it told no secret."""

import io
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from tgworker.cli import main
from tgworker.embedded import DataFolder, EmbeddedStore, open_store
from tgworker.messaging.models import AccountId, Secret
from tgworker.messaging.records import OutboxRecord
from tgworker.sandbox import ServerKey
from tgworker.settings import VARIABLES
from tgworker.vault import FernetVault, new_key

T = TypeVar("T")

OWNER = "00000000-0000-0000-0000-000000000000"
API_HASH = "5ec7e7" * 5 + "00"
SERVICE_KEY = "sb_secret_recognisable0123456789"
STATUS_TOKEN = "recognisable-status-token"
TEXT = "a recognisable text that nobody else may read"
SESSION = "1Recognisable" + "Session" * 40


@dataclass(frozen=True)
class Ran:
    """One command that came to its end."""

    code: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """The lines on standard error."""
        return self.err.splitlines()

    @property
    def last(self) -> dict[str, Any]:
        """The JSON object on the last line of standard output."""
        found = json.loads(self.out.splitlines()[-1])
        assert isinstance(found, dict)
        return found

    @property
    def rows(self) -> list[Any]:
        """The JSON array that is the whole of standard output."""
        (line,) = self.out.splitlines()
        found = json.loads(line)
        assert isinstance(found, list)
        return found

    def refused(self, code: int, *words: str) -> None:
        """Assert that one clear line on standard error says why, and that nothing else was said."""
        (line,) = self.complaints
        assert line.startswith("tgworker: ")
        for word in words:
            assert word in line, (word, line)
        assert self.out == ""
        assert self.code == code


class Shell:
    """Runs commands in an environment of its own: a temporary folder, and secrets that can be recognised.

    Every command's output is searched for them.
    """

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.key = new_key()
        self.vault = FernetVault([self.key])
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._secrets = [API_HASH, self.key.value, SERVICE_KEY, STATUS_TOKEN, TEXT, SESSION]
        for variable in [*VARIABLES_OUTSIDE, *(variable.name for variable in VARIABLES)]:
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.chdir(folder)
        self.set(HOME=str(folder), TGWORKER_DATA_DIR=str(self.data))

    def set(self, **variables: str) -> None:
        """Set environment variables."""
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def unset(self, name: str) -> None:
        """Take one out of the environment."""
        self._monkeypatch.delenv(name, raising=False)

    def configure(self, **more: str) -> None:
        """Set what a worker needs; nobody listens where it would find Telegram."""
        key_file = self.folder / "server.pem"
        key_file.write_text(public_pem())
        self.set(
            TELEGRAM_API_ID="7",
            TELEGRAM_API_HASH=API_HASH,
            ENCRYPTION_KEY=self.key.value,
            TGWORKER_TELEGRAM_SERVER="127.0.0.1:1",
            TGWORKER_TELEGRAM_SERVER_KEY=str(key_file),
            **more,
        )

    def hide(self, *secrets: str) -> None:
        """From now on nobody may say these either."""
        self._secrets += secrets

    def __call__(self, *argv: str, stdin: str | bytes = "") -> Ran:
        """Run a command.

        Args:
            argv: Its words, without the program's name.
            stdin: What standard input holds.
        """
        raw = stdin if isinstance(stdin, bytes) else stdin.encode()
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))
        self._capsys.readouterr()
        code = main(argv)
        out, err = self._capsys.readouterr()
        ran = Ran(code, out, err)
        self.check(ran)
        return ran

    async def along(self, *argv: str, stdin: str | bytes = "") -> Ran:
        """Run a command in a thread, while the test's own loop goes on (and serves a sandbox, say)."""
        return await trio.to_thread.run_sync(lambda: self(*argv, stdin=stdin))

    def check(self, ran: Ran) -> None:
        """Assert that nothing secret was said, and nothing that only a programmer can read."""
        for secret in self._secrets:
            assert secret not in ran.out + ran.err
        assert "Traceback" not in ran.out + ran.err

    # ---------------------------------------------------------------- the store, beside the commands

    def store(self, work: Callable[[EmbeddedStore], Awaitable[T]]) -> T:
        """Do something with the store."""

        async def run() -> T:
            with open_store(DataFolder(self.data), as_worker=False) as store:
                return await work(store)

        return trio.run(run)

    def add_account(self, name: str = "alice", *, user_id: int = 1001, session: str = SESSION) -> AccountId:
        """Add an account without asking Telegram."""
        token = self.vault.encrypt(Secret(session))
        return self.store(lambda store: store.add_account(name, OWNER, token, user_id=user_id))

    def outbox(self, limit: int = 100) -> Sequence[OutboxRecord]:
        """Everything that is not sent, oldest first."""
        return self.store(lambda store: store.list_outbox(limit=limit))


VARIABLES_OUTSIDE = ("STATE_DIRECTORY", "XDG_STATE_HOME")


@cache
def public_pem() -> str:
    """A server's public key; nobody has its other half."""
    return ServerKey.generate().public_pem


def fields(rows: Sequence[Mapping[str, object]]) -> set[frozenset[str]]:
    """The sets of fields that rows have."""
    return {frozenset(row) for row in rows}
