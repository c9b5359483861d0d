"""Stack dumps in files: how they are called, how many are kept, and which is the newest.

A worker writes one when somebody asks (``dump``); the guard gives each worker an empty one (``freeze``),
which is filled when that worker freezes. A file without a byte in it is none: nothing has happened.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, final

KEEP: Final = 20
"""How many of each kind stay; as many that are empty."""
LARGEST_BYTES: Final = 4 * 1024 * 1024
"""What is written of a dump: that of a thousand accounts."""
SHOWN_BYTES: Final = 256 * 1024
"""What is read of one, unless somebody wants more."""

_NAME: Final = re.compile(r"(freeze|dump)-[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-([0-9]{1,10})\.txt")


class StackKind(StrEnum):
    """What happened."""

    FREEZE = "freeze"
    """The process stood still, and was ended for it."""
    DUMP = "dump"
    """Somebody asked, with SIGUSR1."""


@final
@dataclass(frozen=True, slots=True)
class StackFile:
    """A file with stacks in it.

    Attributes:
        path: Where it is.
        kind: What happened.
        pid: Of the process whose stacks they are.
        at: When it was written, in UTC.
        size: In bytes.
    """

    path: Path
    kind: StackKind
    pid: int
    at: datetime
    size: int

    def read(self, *, most_bytes: int = SHOWN_BYTES) -> str:
        """Its text, as far as ``most_bytes`` go; empty if it is gone or may not be read."""
        try:
            with self.path.open("rb") as file:
                text = file.read(most_bytes)
        except OSError:
            return ""
        rest = self.size - len(text)
        return text.decode(errors="replace") + (f"\n… {rest} bytes more" if rest > 0 else "")


@final
@dataclass(frozen=True, slots=True)
class StackFiles:
    """The folder of stack dumps. It need not exist.

    Attributes:
        folder: Made with mode 0700 by who writes first.
        keep: How many of each kind stay.
    """

    folder: Path
    keep: int = KEEP

    def create(self, kind: StackKind, *, at: datetime, pid: int) -> Path:
        """Make an empty file for somebody to write to, and remove what is too old.

        Args:
            kind: What is going to be in it.
            at: Now, aware.
            pid: Of the process whose stacks will be in it.

        Raises:
            OSError: It cannot be made.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stamp = at.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        path = self.folder / f"{kind.value}-{stamp}-{pid}.txt"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        self.tidy()
        return path

    def write(self, text: str, *, at: datetime, pid: int) -> Path:
        """Write a dump of at most `LARGEST_BYTES`.

        Raises:
            OSError: It cannot be written; what could be stands in the file.
        """
        path = self.create(StackKind.DUMP, at=at, pid=pid)
        data = text.encode(errors="replace")
        if len(data) > LARGEST_BYTES:
            data = data[:LARGEST_BYTES] + f"\n… {len(data) - LARGEST_BYTES} bytes more\n".encode()
        path.write_bytes(data)
        return path

    def of(self, kind: StackKind, pid: int) -> StackFile | None:
        """The newest of one process, also if it is empty; ``None`` if there is none."""
        return next((file for file in self._all() if file.kind is kind and file.pid == pid), None)

    def newest(self, *kinds: StackKind) -> StackFile | None:
        """The newest of some kinds, or of all; ``None`` if there is none."""
        wanted = kinds or tuple(StackKind)
        return next((file for file in self.listing() if file.kind in wanted), None)

    def listing(self) -> Sequence[StackFile]:
        """All that have something in them, the newest first."""
        return [file for file in self._all() if file.size]

    def tidy(self) -> None:
        """Remove all but the newest of each kind; whatever else is in the folder stays."""
        files = self._all()
        for kind in StackKind:
            # A worker's file is empty until it freezes, however many others were written meanwhile: empty
            # ones count for themselves.
            for empty in (True, False):
                alike = [file for file in files if file.kind is kind and (not file.size) is empty]
                for file in alike[self.keep :]:
                    with suppress(OSError):
                        file.path.unlink()

    def _all(self) -> list[StackFile]:
        found: list[StackFile] = []
        try:
            names = os.listdir(self.folder)  # noqa: PTH208 - names are all that is wanted
        except OSError:
            return []
        for name in names:
            match = _NAME.fullmatch(name)
            if match is None:
                continue
            path = self.folder / name
            try:
                facts = path.lstat()
            except OSError:  # removed meanwhile
                continue
            at = datetime.fromtimestamp(facts.st_mtime, UTC)
            found.append(StackFile(path, StackKind(match[1]), int(match[2]), at, facts.st_size))
        return sorted(found, key=lambda file: (file.at, file.path.name), reverse=True)


def in_short(text: str, *, frames: int = 5) -> str:
    """The first lines of what a frozen process was doing: its main thread's innermost frames.

    Args:
        text: As ``faulthandler`` writes it: for each thread its frames, the most recent first.
        frames: How many.
    """
    lines = text.splitlines()
    mine = [number for number, line in enumerate(lines) if line.startswith("Current thread")]
    start = mine[0] if mine else 0
    shown: list[str] = []
    for line in lines[start:]:
        if shown and not line.strip():  # the next thread
            break
        shown.append(line)
    return "\n".join(shown[: frames + 1])
