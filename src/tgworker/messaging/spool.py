"""A folder for files on their way: what was fetched of one outlives the process, and is gone on with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from tgworker.messaging.models import MessageId

KEPT_S: Final = 7 * 86400.0
"""What nobody has asked for since then is removed."""


@dataclass(frozen=True, slots=True)
class Spool:
    """The folder. One worker has it at a time: the data folder's lock says so.

    Attributes:
        folder: See `prepare`.
    """

    folder: Path

    def part(self, message_id: MessageId, size: int) -> trio.Path:
        """Where a file of a message is collected; of another size it is another file."""
        return trio.Path(self.folder / f"{message_id}-{size}.part")

    def kept(self, message_id: MessageId, size: int) -> trio.Path:
        """Where it lies from when the file store has it until its row says so: a next process does without.

        (It may find the row finished, and would not look for the file again.)
        """
        return self.part(message_id, size).with_suffix(".kept")

    def prepare(self, now_s: float) -> None:
        """Make the folder. Of what an earlier process has left, only parts stay, for `KEPT_S`.

        It blocks, for a moment, before anything else runs.

        Args:
            now_s: The calendar's time, in seconds since 1970: files have no other.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        for path in self.folder.iterdir():
            if path.suffix != ".part" or now_s - path.stat().st_mtime > KEPT_S:
                path.unlink(missing_ok=True)
