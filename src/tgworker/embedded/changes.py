"""What becomes of messages that are stored: edits, deletes, reads, reactions, pins.

The application sees it in ``message_events`` and in ``messages.raw_payload``, see `tgworker.embedded.noting`.
"""

import re
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import unescape
from typing import Any, assert_never

from tgworker.embedded.fetching import refile
from tgworker.embedded.message_events import MessageEvent, add_events, event_id
from tgworker.embedded.noting import note, noted, raw_of, raw_text, with_all_gone
from tgworker.embedded.previews import preview_of
from tgworker.embedded.reading import read_by_them, read_by_us
from tgworker.embedded.values import from_iso, iso, new_id, storable, to_json
from tgworker.messaging.changes import Change, Deleted, Edited, Pinned, Reacted, ReadByThem, ReadByUs
from tgworker.messaging.models import CHANNEL_IDS_BELOW, AccountId

# Which of its parts a message is, and how many there are: as far as their ids are known.
_MEANT = """
select k.message_id, k.telegram_id, k.from_log,
    (select count(*) from tgworker_message_keys t
        where t.message_id = k.message_id and t.scope = k.scope and t.telegram_id <= k.telegram_id),
    (select count(*) from tgworker_message_keys t where t.message_id = k.message_id and t.scope = k.scope),
    m.text, m.message_type, m.raw_payload, m.sent_at, m.direction, m.conversation_id,
    o.message_id is not null, o.parts, case when o.files is not null then json_array_length(o.files) end
from json_each(:ids) i
cross join tgworker_message_keys k on k.scope = :account and k.telegram_id = i.value
cross join messages m on m.id = k.message_id
left join tgworker_outbox o on o.message_id = k.message_id
where case when :chat is null then k.chat_id > :channels else k.chat_id = :chat end
order by i.key
"""

_SHOW = """
update conversations set last_message_preview = :after
where id = :conversation and julianday(last_message_at) = julianday(:sent_at)
    and last_message_preview = :before
"""

_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")
_MARKS = re.compile(r"\*\*|__|~~|`")
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class _Meant:
    """A row of ``messages`` that Telegram means.

    ``part`` is ``None`` where the row is one message of Telegram's.
    """

    message_id: str
    telegram_id: int
    from_log: bool
    part: int | None
    parts: int
    text: str | None
    message_type: str
    raw_payload: str | None
    sent_at: str | None
    direction: str
    conversation_id: str
    is_queued: bool
    sent_parts: int | None
    files: int | None

    @property
    def which_part(self) -> dict[str, int]:
        """What an event says of one of several parts."""
        return {} if self.part is None else {"part": self.part, "parts": self.parts}

    @property
    def place(self) -> int | None:
        """Where reactions and pins are noted: the first part's are the row's."""
        return None if self.part == 1 else self.part

    @property
    def is_whole(self) -> bool:
        """Whether Telegram shows all of the row's text in this message."""
        return self.part is None or (
            self.part == 1 and self.files is not None and self.files == self.sent_parts
        )

    @property
    def is_told(self) -> bool:
        """Whether the row is as Telegram told it: the application knows better what it wrote itself."""
        return self.direction == "inbound" or (self.from_log and not self.is_queued)


def apply_changes(
    connection: sqlite3.Connection,
    account_id: AccountId,
    owner_id: str,
    changes: Sequence[Change],
    now: datetime,
) -> None:
    """Commit what became of messages, in order; see `tgworker.messaging.update_batches.UpdateBatch`."""
    for change in changes:
        match change:
            case Edited():
                _edit(connection, account_id, change)
            case Deleted():
                _delete(connection, account_id, change, now)
            case ReadByThem():
                read_by_them(connection, account_id, change, now)
            case ReadByUs():
                read_by_us(connection, account_id, owner_id, change, now)
            case Reacted():
                _react(connection, account_id, change, now)
            case Pinned():
                _pin(connection, account_id, change, now)
            case _:
                assert_never(change)


def _meant(
    connection: sqlite3.Connection, account_id: AccountId, chat_id: int | None, telegram_ids: Collection[int]
) -> Iterator[_Meant]:
    asked = {
        "ids": to_json(list(telegram_ids)),
        "account": account_id,
        "chat": chat_id,
        "channels": CHANNEL_IDS_BELOW,
    }
    rows = connection.execute(_MEANT, asked).fetchall()
    for message_id, telegram_id, from_log, part, parts, text, *rest in rows:
        which = part if parts > 1 else None
        shown = text if isinstance(text, str) else None  # (SQLite keeps anything in any column)
        yield _Meant(message_id, telegram_id, bool(from_log), which, parts, shown, *rest)


def _edit(connection: sqlite3.Connection, account_id: AccountId, edit: Edited) -> None:
    if edit.edited_at is None:
        return  # it only looks different
    new, stamp = edit.message, iso(edit.edited_at)
    for old in _meant(connection, account_id, new.chat_id, [new.telegram_id]):
        raw = raw_of(old.raw_payload)
        if _is_later(None if raw is None else note(raw, old.part, "edited_at"), edit.edited_at):
            continue  # a late repeat
        text, message_type, is_replaced = old.text, old.message_type, False
        if old.is_whole:
            mode = note(_object(raw, "telegram"), None, "parse_mode") if old.direction == "outbound" else None
            if not _says_the_same(old.text or "", storable(new.text), mode):
                text = storable(new.text)
            if old.is_told:
                message_type, is_replaced = new.message_type, new.message_type != old.message_type
                if raw is not None:
                    is_replaced = is_replaced or raw.get("media") != new.raw_payload.get("media")
                    raw = {key: value for key, value in raw.items() if key != "media"} | dict(new.raw_payload)
        if raw is not None:
            raw = noted(raw, None, {"edited_at": stamp})
            if old.part is not None:
                more = {} if old.is_whole else {"text": storable(new.text)}
                raw = noted(raw, old.part, {"edited_at": stamp, **more})
        connection.execute(
            "update messages set text = ?, message_type = ?, raw_payload = ? where id = ?",
            (text, message_type, old.raw_payload if raw is None else raw_text(raw), old.message_id),
        )
        if is_replaced:
            refile(connection, account_id, old.message_id, new)
        shown = {
            "conversation": old.conversation_id,
            "sent_at": old.sent_at,
            "before": preview_of(old.text, old.message_type),
            "after": preview_of(text, message_type),
        }
        if shown["before"] != shown["after"]:
            connection.execute(_SHOW, shown)
        event = MessageEvent(
            event_id(old.message_id, f"edit:{old.telegram_id}:{stamp}"),
            old.message_id,
            "edit",
            edit.edited_at,
            {"edited_at": stamp, **old.which_part},
        )
        add_events(connection, [event])


def _delete(connection: sqlite3.Connection, account_id: AccountId, gone: Deleted, now: datetime) -> None:
    stamp = iso(now)
    for telegram_id in gone.telegram_ids:
        # (One by one: several may be parts of one row.)
        for old in _meant(connection, account_id, gone.chat_id, [telegram_id]):
            raw = raw_of(old.raw_payload)
            if raw is not None and note(raw, old.part, "deleted_at") is None:
                raw = noted(raw, old.part, {"deleted_at": stamp})
                _write(connection, old, raw if old.part is None else with_all_gone(raw, old.parts, stamp))
            event = event_id(old.message_id, f"delete:{old.telegram_id}")
            add_events(connection, [MessageEvent(event, old.message_id, "delete", now, old.which_part)])


def _react(connection: sqlite3.Connection, account_id: AccountId, reacted: Reacted, now: datetime) -> None:
    counts = {storable(reaction): count for reaction, count in reacted.counts.items()}
    by = [{"from": who, "reaction": storable(reaction)} for who, reaction in reacted.by]
    for old in _meant(connection, account_id, reacted.chat_id, [reacted.telegram_id]):
        raw = raw_of(old.raw_payload)
        if raw is None:
            continue
        before = note(raw, old.place, "reactions")
        state = {"counts": counts, "own": _own(reacted, counts, before), "by": by}
        kept = state if counts else None  # none is nothing
        if before == kept:
            continue
        _write(connection, old, noted(raw, old.place, {"reactions": kept}))
        payload = {**state, **old.which_part}
        add_events(connection, [MessageEvent(new_id(), old.message_id, "reaction", now, payload)])


def _own(reacted: Reacted, counts: Collection[str], before: object) -> list[str]:
    """The account's own reactions: where Telegram does not say, those that are known and still there."""
    if reacted.own is not None:
        return [storable(reaction) for reaction in reacted.own]
    known = before.get("own") if isinstance(before, dict) else None
    known = known if isinstance(known, list) else []
    return [each for each in known if isinstance(each, str) and each in counts]


def _pin(connection: sqlite3.Connection, account_id: AccountId, pinned: Pinned, now: datetime) -> None:
    kind = "pin" if pinned.is_pinned else "unpin"
    for telegram_id in pinned.telegram_ids:
        for old in _meant(connection, account_id, pinned.chat_id, [telegram_id]):
            raw = raw_of(old.raw_payload)
            if raw is None or (note(raw, old.place, "pinned") is True) is pinned.is_pinned:
                continue
            _write(connection, old, noted(raw, old.place, {"pinned": pinned.is_pinned}))
            add_events(connection, [MessageEvent(new_id(), old.message_id, kind, now, old.which_part)])


def _write(connection: sqlite3.Connection, old: _Meant, raw: dict[str, Any]) -> None:
    connection.execute("update messages set raw_payload = ? where id = ?", (raw_text(raw), old.message_id))


def _object(raw: dict[str, Any] | None, key: str) -> dict[str, Any]:
    value = None if raw is None else raw.get(key)
    return value if isinstance(value, dict) else {}


def _is_later(stamp: object, moment: datetime) -> bool:
    noted_at = from_iso(stamp) if isinstance(stamp, str) else None
    return noted_at is not None and noted_at > moment


def _says_the_same(old: str, new: str, parse_mode: object) -> bool:
    """Whether a text, as the application wrote it with its markup, is what Telegram shows; nearly."""
    return old == new or (
        parse_mode in ("html", "markdown") and _bare(old, parse_mode) == _bare(new, parse_mode)
    )


def _bare(text: str, parse_mode: object) -> str:
    if parse_mode == "html":
        return unescape(_TAG.sub("", text)).strip()
    return _MARKS.sub("", _LINK.sub(r"\1", text)).strip()
