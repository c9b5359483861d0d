"""What a person answers: typed at a terminal, or one line after the other on standard input.

Nothing here blocks the event loop, so that Ctrl-C, deadlines and what is shown meanwhile go on.
"""

import io
import os
import sys
import termios
from collections.abc import Generator
from contextlib import contextmanager, suppress

import trio

from tgworker.cli._errors import Usage
from tgworker.cli._input import standard_input
from tgworker.messaging.models import Secret

LONGEST_ANSWER = 4096


class Answers:
    """Standard input, one answer for each line.

    Raises:
        Usage: It is closed.
    """

    def __init__(self) -> None:
        self._stream = standard_input()
        self._held = bytearray()
        self._fd: int | None = None
        with suppress(io.UnsupportedOperation):  # (a test's own)
            self._fd = self._stream.fileno()
        self.at_terminal = self._fd is not None and os.isatty(self._fd)

    async def ask(self, question: str) -> str:
        """Ask, and wait for one line; without the blanks around it.

        Raises:
            Usage: There is no more, or it is no text.
        """
        self._put(question)
        return self._text(await self._line(question), question).strip()

    async def ask_hidden(self, question: str) -> Secret:
        """Ask for what nobody may see: a terminal does not show it. Blanks are part of it.

        Raises:
            Usage: There is no more, or it is no text.
        """
        with self._without_echo():  # before the question: what is typed at once is not shown, either
            self._put(question)
            line = await self._line(question)
        return Secret(self._text(line, question))

    def say(self, text: str) -> None:
        """Something for the person who answers."""
        print(text, file=sys.stderr, flush=True)

    def _put(self, question: str) -> None:
        print(f"{question}: ", end="" if self.at_terminal else "\n", file=sys.stderr, flush=True)

    async def _line(self, question: str) -> bytes:
        if self._fd is None:
            line = self._stream.readline().encode(errors="surrogateescape")
            if not line:
                raise Usage(f"standard input ended before the answer to: {question}")
            return line.rstrip(b"\r\n")
        while b"\n" not in self._held:
            if len(self._held) > LONGEST_ANSWER:
                raise Usage(f"the answer is longer than {LONGEST_ANSWER} bytes: {question}")
            with suppress(PermissionError):  # a file is always readable, and epoll says so in this way
                await trio.lowlevel.wait_readable(self._fd)
            some = os.read(self._fd, LONGEST_ANSWER)
            if not some:
                if not self._held:
                    raise Usage(f"standard input ended before the answer to: {question}")
                some = b"\n"
            self._held += some
        line, _, rest = bytes(self._held).partition(b"\n")
        self._held = bytearray(rest)
        return line.rstrip(b"\r")

    def _text(self, line: bytes, question: str) -> str:
        try:
            return line.decode()
        except UnicodeDecodeError:
            # Outside of its context: the error quotes the answer.
            pass
        raise Usage(f"the answer is not UTF-8 text: {question}")

    @contextmanager
    def _without_echo(self) -> Generator[None]:
        if self._fd is None or not self.at_terminal:
            yield
            return
        before = termios.tcgetattr(self._fd)
        silent = [*before]
        silent[3] &= ~termios.ECHO
        # Not TCSAFLUSH: what a person types ahead is not to be lost.
        termios.tcsetattr(self._fd, termios.TCSADRAIN, silent)
        try:
            yield
        finally:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, before)
            self.say("")
