"""What a command reads from standard input."""

import io
import sys
from typing import TextIO

from tgworker.cli._errors import Usage


def standard_input() -> TextIO:
    """Standard input as text; bytes that are no text do not end it, the store replaces them.

    Raises:
        Usage: It is closed.
    """
    stream = sys.stdin
    if stream is None or stream.closed:  # None: after `<&-`
        raise Usage("standard input is closed: pass what it should hold, for example with a pipe")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="surrogateescape")
    return stream
