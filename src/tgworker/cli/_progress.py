"""How far something is that takes long, on standard error: a line that changes, or one now and then."""

import shutil
import sys
from contextlib import suppress
from typing import Final, Self, TextIO

import trio

ON_A_TERMINAL_S: Final = 0.1
"""A line that changes in place changes no more often."""

IN_A_LOG_S: Final = 2.0
"""Where lines stay, there is one no more often, and the first only after that time."""


class Progress:
    """Shows the newest of what it is told. By trio's clock.

    Args:
        quiet: Show nothing, for machines.
        stream: Where; standard error if nothing is said.
    """

    def __init__(self, *, quiet: bool, stream: TextIO | None = None) -> None:
        stream = sys.stderr if stream is None else stream  # None again: after `2>&-`
        self._stream = None if quiet else stream
        self._in_place = stream is not None and stream.isatty()
        self._next_s = trio.current_time() + (0.0 if self._in_place else IN_A_LOG_S)
        self._shown = False

    def show(self, text: str) -> None:
        """Say how far it is; most of what comes too soon after the last is not shown.

        Args:
            text: Less than a line.
        """
        now_s = trio.current_time()
        if now_s < self._next_s:
            return
        if self._in_place:
            self._next_s = now_s + ON_A_TERMINAL_S
            # A line that wraps could not be taken back.
            self._write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}")
            self._shown = True
        else:
            self._next_s = now_s + IN_A_LOG_S
            self._write(f"{text}\n")

    def __enter__(self) -> Self:
        """Nothing is shown yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever is said of the end is said on a line of its own."""
        self.clear()

    def clear(self) -> None:
        """Take the line back, before something else is said."""
        if self._shown:
            self._shown = False
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        if self._stream is not None:
            with suppress(OSError, ValueError):  # nobody is to lose a message because nobody looks
                self._stream.write(text)
                self._stream.flush()
