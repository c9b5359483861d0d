"""What a command reads from standard input."""

import io
import sys
from collections.abc import Generator, Iterable
from itertools import islice
from typing import TextIO

from tgworker.cli._errors import Usage


def standard_input() -> TextIO:
    """Standard input as text; bytes that are no text do not end it: see `is_text`.

    Raises:
        Usage: It is closed.
    """
    stream = sys.stdin
    if stream is None or stream.closed:  # None: after `<&-`
        raise Usage("standard input is closed: pass what it should hold, for example with a pipe")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="surrogateescape")
    return stream


def is_text(text: str) -> bool:
    """Whether it was text before Python read it: bytes that are not UTF-8 become lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def lines_of(stream: Iterable[str], *, at_once: int) -> Generator[list[str]]:
    """The lines of standard input that are not blank, without their ends.

    Args:
        stream: Standard input.
        at_once: How many are handed over at a time.

    Raises:
        Usage: A line is not UTF-8 text. Those of the handful before it have been handed over, no other one.
    """
    handed = 0
    filled = _filled(stream)
    while True:
        some: list[tuple[int, str]] = []
        for number, text in islice(filled, at_once):
            if not is_text(text):
                done = (
                    f"lines 1 to {handed} are enqueued, pass the others again"
                    if handed
                    else "none is enqueued"
                )
                raise Usage(f"line {number} of standard input is not UTF-8 text: convert it ({done})")
            some.append((number, text))
        if not some:
            return
        handed = some[-1][0]
        yield [text for _, text in some]


def _filled(stream: Iterable[str]) -> Generator[tuple[int, str]]:
    for number, line in enumerate(stream, 1):
        text = line.rstrip("\r\n")
        if text.strip():
            yield number, text
