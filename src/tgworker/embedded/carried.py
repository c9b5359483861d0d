"""The files that a message is to carry: which they are, and whether it waits for more of them."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from tgworker.messaging.media import OutgoingFile
from tgworker.messaging.models import Attempt, MessageId

ASKED_WAIT_S: Final = 600.0
"""So long after it was filed a row waits for as many attachments as it says."""

MOST_ASKED: Final = 100
"""One message takes no more attachments."""

DEFAULT_WAIT_S: Final = 3.0
"""So long it waits where only its type, or an attachment, says that it carries files."""

# In the order of their insertion. Nobody reaches files of another owner.
_LINKED = """
select a.id, a.storage_bucket, a.storage_path, a.file_name, a.mime_type, a.byte_size
from messages m cross join attachments a on a.message_id = m.id and a.owner_id = m.owner_id
where m.id = ?
order by a.rowid
"""

_WAIT = """
update tgworker_outbox set filed_at = ?, files_until = ?, error = ? where seq = ?
"""


_COMMIT = """
update tgworker_outbox
set caption_limit = ?, files = ?, late_file = case when ? then 0 else late_file end where seq = ?
"""

_FILELESS: Final = ("text", None, "")

_PROGRESS = """
update tgworker_outbox set bytes_done = ?, bytes_total = ?
where message_id = ? and state = 'sending' and fence = ? and attempts = ?
"""


@dataclass(frozen=True, slots=True)
class Wait:
    """A row that waits for its attachments.

    Attributes:
        seq: The row.
        filed_at: When it was filed, in seconds since 1970, as far as anybody knows.
        until: So long it waits.
        reason: For people.
    """

    seq: int
    filed_at: float
    until: float
    reason: str


@dataclass(frozen=True, slots=True)
class Missing:
    """That a row cannot be sent, since its attachments did not come.

    Attributes:
        reason: For people.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim finds out about the files of a row of which nothing has left.

    Attributes:
        seq: The row.
        message_type: What the application calls it.
        asked: How many attachments the application says it has; ``None``: it does not say.
        linked: How many there are.
        filed_at: When it was filed.
    """

    seq: int
    message_type: str | None
    asked: int | None
    linked: int
    filed_at: float

    @property
    def is_plain(self) -> bool:
        """Whether nothing says that it carries files."""
        return self.asked is None and not self.linked and not is_file_type(self.message_type)


def is_file_type(message_type: str | None) -> bool:
    """Whether a message of this type is nothing without a file."""
    return message_type not in _FILELESS and not str(message_type).startswith("service_")


def judge(row: Claimed, now_s: float, wait_s: float) -> Wait | Missing | None:
    """Whether a row waits for its attachments, or ends without them; ``None``: it goes with what is there.

    Args:
        row: The row.
        now_s: Seconds since 1970.
        wait_s: `DEFAULT_WAIT_S`, or what the settings say.
    """
    if row.is_plain:
        return None
    # (A clock that was put back: it counts from when it was seen first.)
    filed_at = min(row.filed_at, now_s)
    if row.linked > MOST_ASKED:
        return Missing(f"it has {row.linked} attachments: {MOST_ASKED} is the most")
    if row.asked is not None:
        if row.linked >= row.asked:
            return None
        if now_s < filed_at + ASKED_WAIT_S:
            reason = f"waits for its attachments: {row.linked} of {row.asked}"
            return Wait(row.seq, filed_at, filed_at + ASKED_WAIT_S, reason)
        return Missing(f"{row.linked} of {row.asked} attachments came within {ASKED_WAIT_S:g} s")
    if now_s < filed_at + wait_s:
        return Wait(row.seq, filed_at, filed_at + wait_s, "waits for its attachments")
    return None if row.linked else Missing(f"no attachment came within {wait_s:g} s")


def committed(seq: object, attempt: Attempt) -> tuple[object, ...]:
    """What the claim of a row that carries files, or did, writes into it."""
    is_new = attempt.doubt is None and attempt.part == 0 and attempt.known_id is None
    return (attempt.caption_limit, pack(attempt.files), is_new, seq)


def commit(connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Write what `committed` said."""
    if rows:
        connection.executemany(_COMMIT, rows)


def record_waits(connection: sqlite3.Connection, waits: Sequence[Wait]) -> None:
    """Let rows wait, as the heads of their conversations."""
    connection.executemany(_WAIT, [(wait.filed_at, wait.until, wait.reason, wait.seq) for wait in waits])


def record_progress(connection: sqlite3.Connection, attempt: Attempt, done: int, total: int) -> None:
    """See `tgworker.messaging.media_ports.OutgoingMediaStore`."""
    claim = (attempt.message_id, attempt.fence, attempt.number)
    connection.execute(_PROGRESS, (done, total, *claim))


def linked_files(connection: sqlite3.Connection, message_id: MessageId) -> tuple[OutgoingFile, ...]:
    """The attachments of a message that are its owner's, in the order in which they were inserted."""
    return tuple(
        OutgoingFile(
            id=str(row_id),
            bucket=_text(bucket) or "",
            path=_text(path) or "",
            file_name=_text(file_name),
            mime_type=_text(mime_type),
            byte_size=byte_size if isinstance(byte_size, int) else None,
        )
        for row_id, bucket, path, file_name, mime_type, byte_size in connection.execute(
            _LINKED, (message_id,)
        )
    )


def pack(files: tuple[OutgoingFile, ...]) -> str | None:
    """Files as a row of the outbox holds them."""
    return msgspec.json.encode(files).decode() if files else None


def unpack(text: str | None) -> tuple[OutgoingFile, ...]:
    """The opposite of `pack`."""
    return () if text is None else msgspec.json.decode(text, type=tuple[OutgoingFile, ...])


def _text(value: object) -> str | None:
    return None if value is None else str(value)
