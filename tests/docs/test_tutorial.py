"""The tutorial's console lines, typed into two shells as they stand, print what the page shows."""

import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from cli.terminal import in_terminal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial" / "first-message.md"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
LOOKS_AGAIN = ("outbox list", "sqlite3", "accounts list")
"""What a reader looks at once more, if it is not there yet."""
WITHIN_S = 30

PROMPTS = ("phone number, with its country code: ", "code: ", "two-step password (hint: open what?): ")
"""Behind them the page shows what a reader types; nothing where the terminal does not show it."""
HIDDEN = re.compile(r"password is `([^`]+)`")
"""Where the page says what is typed there."""


@dataclass(frozen=True)
class Command:
    """A line behind a prompt, and the output that the page shows for it (``…``: anything)."""

    line: str
    shown: str

    def matches(self, printed: str) -> bool:
        """Whether that is what was printed. A last line that ends with ``…`` may have anything after it."""
        pattern = ".*".join(re.escape(piece) for piece in self.shown.split("…"))
        return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def commands(text: str) -> list[Command]:
    """The commands of all console blocks."""
    found: list[Command] = []
    for block in BLOCK.findall(text):
        for typed in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, shown = typed.partition("\n")
            found.append(Command(line, shown.strip()))
    return found


class Shell:
    """A shell in which somebody types; standard error is kept apart, in a file."""

    def __init__(self, folder: Path, name: str) -> None:
        self._errors = folder / f"{name}.stderr"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                ["/bin/sh"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                text=True,
                start_new_session=True,  # what it starts in the background ends with it
            )

    def start(self, line: str) -> None:
        """Type a line whose end nobody waits for."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def type(self, line: str) -> str:
        """Type a line, and read what it prints."""
        assert self._process.stdout is not None
        self.start(f"{line}\nprintf '\\n-- %s\\n' $?")
        printed: list[str] = []
        for read in self._process.stdout:
            if read.startswith("-- "):
                return "".join(printed).strip()
            printed.append(read)
        raise AssertionError(f"the shell ended at {line}: {self._errors.read_text()}")

    def read_line(self) -> str:
        """The next line that is printed."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def close(self) -> None:
        """End it and everything that still runs in it, as closing a terminal does."""
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.communicate()  # until nobody holds its standard output any more


@contextmanager
def open_shell(folder: Path, name: str) -> Generator[Shell]:
    shell = Shell(folder, name)
    try:
        yield shell
    finally:
        shell.close()


def free_ports(count: int) -> Sequence[int]:
    """Ports of which nobody gets one by chance: they are below those that Linux hands out by itself."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(20_000, 32_000), 1000):
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no free ports")


def test_the_tutorial_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("TGWORKER_", "TELEGRAM_", "SUPABASE_"))]:
        monkeypatch.delenv(name)
    # What differs from the page: this Python, a folder of the test's own, ports that are free here.
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "run").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tgworker "$@"\n')
    (scripts / "run").chmod(0o755)
    text = PAGE.read_text(encoding="utf-8").replace("/tmp/tgworker", str(tmp_path / "things"))
    for shown, free in zip(("4501", "4502"), free_ports(2), strict=True):
        text = text.replace(shown, str(free))

    first, _, second = text.partition("\n## Terminal 2")
    with open_shell(tmp_path, "one") as one, open_shell(tmp_path, "two") as two:
        *before, sandbox = commands(first)
        for command in before:
            one.type(command.line)
        one.start(sandbox.line)
        assert '"users"' in one.read_line()
        for command in commands(second):
            if command.shown.startswith(PROMPTS):
                (password,) = set(HIDDEN.findall(text))
                trio.run(converse, two, tmp_path, command, password)
            else:
                play(two, command)


async def converse(shell: Shell, folder: Path, command: Command, password: str) -> None:
    """Run a command at a terminal, in the shell's environment, and answer what it asks as the page does."""
    said = dict(
        line.split("=", 1) for line in shell.type("env -0 | tr '\\0' '\\n'").splitlines() if "=" in line
    )
    async with in_terminal(program=("/bin/sh", "-c", command.line), env=said, cwd=folder) as terminal:
        *asked, last = command.shown.splitlines()
        for line in asked:
            prompt = next((each for each in PROMPTS if line.startswith(each.rstrip())), None)
            if prompt is None:
                await terminal.wait_for(line.partition("…")[0])
            else:
                # (At the beginning of a line: the sentence before it says "code:", too.)
                await terminal.wait_for(f"\n{prompt}" if terminal.shown else prompt)
                terminal.type((line.removeprefix(prompt.rstrip()).strip() or password) + "\n")
        await terminal.wait_for(last.rpartition("…")[2])
        assert await terminal.end() == 0
    assert password not in terminal.shown


def play(shell: Shell, command: Command) -> None:
    """Type a command until it shows what the page does."""
    until = time.monotonic() + WITHIN_S
    printed = shell.type(command.line)
    while not command.matches(printed) and time.monotonic() < until:
        assert any(word in command.line for word in LOOKS_AGAIN), (command.line, printed)
        time.sleep(0.2)
        printed = shell.type(command.line)
    assert command.matches(printed), (command, printed)
