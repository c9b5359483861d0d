"""What a command says on standard output: lines for people, or JSON for machines. Logs go elsewhere."""

import json as _json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tgworker.operations.redaction import hide_secrets


class OutputLost(Exception):
    """Standard output takes no more; what the command did is done all the same."""


class Output:
    """Standard output of one command.

    With ``json`` a listing prints one JSON array on one line, any other command one object as its last line;
    lines for people are left out.

    Args:
        json: Whether ``--json`` was given.
    """

    def __init__(self, *, json: bool) -> None:
        self.json = json

    def line(self, text: str) -> None:
        """Something for people."""
        if not self.json:
            _say(text)

    def result(self, value: Mapping[str, Any], text: str | None = None) -> None:
        """How it ended: ``value`` for machines, ``text`` for people."""
        if self.json:
            _say(_one_line(value))
        elif text is not None:
            _say(text)

    def listing(self, rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str], empty: str) -> None:
        """A table for people, or one JSON array on one line.

        Args:
            rows: What to list; a machine gets every field.
            columns: The fields that people see, in order.
            empty: What people see instead of an empty table.
        """
        if self.json:
            _say(_one_line(list(rows)))
            return
        if not rows:
            _say(empty)
            return
        cells = [[_cell(row.get(column)) for column in columns] for row in rows]
        widths = [
            max(len(column), *(len(line[index]) for line in cells)) for index, column in enumerate(columns)
        ]
        _say(
            "\n".join(
                "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                for line in [list(columns), *cells]
            )
        )


def complain(message: str) -> None:
    """One clear line on standard error; what looks like a secret in it is hidden."""
    print(f"tgworker: {hide_secrets(' '.join(message.split()))}", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLost(f"standard output cannot be written ({error.strerror})") from None


def _one_line(value: object) -> str:
    # ASCII: a name may hold U+2028, which many readers take for the end of a line.
    return _json.dumps(value, default=_plain)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return " ".join(str(value).split())
