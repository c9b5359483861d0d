"""What accounts have brought to Telegram of files that no message carries yet, and how many at a time."""

from collections import OrderedDict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

import trio

from tgworker.messaging.media import PartialUpload
from tgworker.messaging.models import AccountId, Attempt, MessageId

KEPT_S = 1800.0
"""So long an upload is gone on with after it was put back. Telegram keeps parts for minutes to hours
(https://core.telegram.org/api/files#uploading-files)."""

MOST_KEPT = 1000
"""So many are remembered; each is a few hundred bytes and the numbers of its parts."""

AT_ONCE = 4
"""Files on their way up at a time, whoever's: each has a few parts in memory."""

AT_ONCE_EACH = 2
"""Of one account: its texts are not to wait for a film."""


_Key = tuple[AccountId, MessageId, int]


@dataclass(slots=True)
class _Kept:
    upload: PartialUpload
    version: str | None
    until: float


class Uploads:
    """The uploads of all accounts. They outlive lines: another line goes on where one was lost.

    Args:
        rng: Draws the ids of files.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()  # the one that was put back first comes first
        self._used: dict[_Key, tuple[PartialUpload, str | None]] = {}
        self._running: dict[AccountId, int] = {}

    @contextmanager
    def turn(self, account_id: AccountId) -> Generator[bool]:
        """Take a place for one message's files while the block runs; whether there was one."""
        mine = self._running.get(account_id, 0)
        if mine >= AT_ONCE_EACH or sum(self._running.values()) >= AT_ONCE:
            yield False
            return
        self._running[account_id] = mine + 1
        try:
            yield True
        finally:
            self._running[account_id] -= 1
            if not self._running[account_id]:
                del self._running[account_id]

    def of(
        self, attempt: Attempt, part: int, size: int, file_name: str, *, version: str | None = None
    ) -> PartialUpload:
        """The upload of one part of a message: the one that was begun, if it is of the same bytes.

        Args:
            attempt: The message.
            part: Which part.
            size: How many bytes its file has.
            file_name: What Telegram is told.
            version: Which bytes they are, as far as anybody says.
        """
        now, key = trio.current_time(), (attempt.account_id, attempt.message_id, part)
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._kept.popitem(last=False)
        kept = self._kept.pop(key, None)
        if kept is not None and (kept.upload.size, kept.version) == (size, version):
            upload = kept.upload
        else:
            upload = PartialUpload(self._rng.getrandbits(63), size, file_name)
        self._used[key] = upload, version
        return upload

    def put_back(self, attempt: Attempt, part: int) -> None:
        """An attempt is over: what it brought is kept from now on, unless it was forgotten."""
        key = (attempt.account_id, attempt.message_id, part)
        if (used := self._used.pop(key, None)) is not None:
            self._kept[key] = _Kept(*used, trio.current_time() + KEPT_S)
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)

    def forget(self, attempt: Attempt, part: int) -> None:
        """A message carries the file, or none ever will."""
        key = (attempt.account_id, attempt.message_id, part)
        self._used.pop(key, None)
        self._kept.pop(key, None)
