"""What a message job asks for: its row read into a value, or refused with one reason. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from tgworker.messaging.models import JobId, MessageJob
from tgworker.messaging.outcomes import Refused

ACTIONS = ("edit", "delete", "typing", "mark_read", "read", "react", "pin", "unpin", "forward")
"""What ``message_jobs.action`` may say; ``read`` is ``mark_read``."""

LARGEST_ID = 2**31 - 1
"""Telegram numbers messages with 32 bits."""

LONGEST_EMOJI = 64
LONGEST_NAME = 128
"""Characters: more is no emoji, no name."""

CUSTOM = "custom:"
"""Before the document id of a custom emoji."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Change the text, or the caption."""

    text: str = field(repr=False)
    parse_mode: str | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the message, ``for_both`` sides or only for this account."""

    for_both: bool


@dataclass(frozen=True, slots=True)
class Typing:
    """Mark the chat as read, and show that somebody types."""


@dataclass(frozen=True, slots=True)
class MarkRead:
    """Mark the chat as read, up to the message if there is one."""


@dataclass(frozen=True, slots=True)
class React:
    """Give this reaction and no other: an emoji, ``custom:`` and an id, or ``None``."""

    emoji: str | None


@dataclass(frozen=True, slots=True)
class Pin:
    """Pin the message, or no longer.

    Attributes:
        pinned: Whether it is to be pinned.
        notify: Whether the others are told.
        for_both: Whether the other side of a private chat sees it pinned, too.
    """

    pinned: bool
    notify: bool
    for_both: bool


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the message on, to whom ``to`` names."""

    to: str = field(repr=False)


Action = Edit | Delete | Typing | MarkRead | React | Pin | Forward


def read_action(job: MessageJob) -> Action | Refused:
    """What a job asks for."""
    if job.action not in ACTIONS:
        return Refused(f"unknown action: there are {', '.join(ACTIONS)}")
    if job.payload is None:
        return Refused("the payload is no JSON object, or is larger than 256 KiB")
    if job.to is None:
        return Refused("the job's chat is none of Telegram's")
    if any(not 0 < each <= LARGEST_ID for each in job.telegram_ids):
        return Refused("the message's id is none that Telegram gives")
    if job.action in {"typing", "mark_read", "read"}:
        return Typing() if job.action == "typing" else MarkRead()
    missing = _missing(job)
    if missing is not None:
        return missing
    try:
        return _of_a_message(job.action, _Payload(job.payload), job.target)
    except _WrongError as error:
        return Refused(str(error))


def is_gone(job: MessageJob) -> bool:
    """Whether a delete has nothing to do: nothing of the message has ever left."""
    message = job.message
    return (
        job.action == "delete"
        and message is not None
        and not job.telegram_ids
        and message.state in {"cancelled", "expired", "dead"}
    )


def job_random_id(job_id: JobId, part: int) -> int:
    """Telegram's idempotency key of a forwarded part: the same in every attempt of the job.

    Returns:
        A signed 64-bit integer.
    """
    digest = blake2b(f"{job_id}:{part}".encode(), digest_size=8, person=b"tgworker.job").digest()
    return int.from_bytes(digest, "big", signed=True)


def _missing(job: MessageJob) -> Refused | None:
    """Why there is no message that something could be done about, if so."""
    message = job.message
    if message is None:
        return Refused(f"{job.action} needs a message_id")
    if is_gone(job):
        return None
    if message.state not in {None, "sent"}:
        why = f": {message.error}" if message.error else ""
        if job.action == "delete" and job.telegram_ids:
            return None  # what has left of it
        return Refused(f"its message is {message.state} in the outbox{why}")
    if not job.telegram_ids:
        return Refused("Telegram has no such message of this account, or nobody knows its id")
    if message.state == "sent" and len(job.telegram_ids) < message.parts:
        return Refused("not all of its message's parts are known by their ids")
    return None


def _of_a_message(action: str, payload: "_Payload", target: str | None) -> Action:
    match action:
        case "edit":
            return Edit(payload.text("text"), payload.text_or_none("parse_mode", LONGEST_NAME))
        case "delete":
            return Delete(payload.flag("revoke", default=True))
        case "react":
            return React(_emoji(payload.text_or_none("emoji", LONGEST_EMOJI)))
        case "forward":
            return Forward(_forward_to(payload, target))
        case _:
            return Pin(
                action == "pin",
                notify=payload.flag("notify", default=False),
                for_both=payload.flag("for_both", default=True),
            )


def _emoji(emoji: str | None) -> str | None:
    if emoji is None or not emoji.strip():
        return None
    if emoji.startswith(CUSTOM):
        number = emoji.removeprefix(CUSTOM)
        if not (number.isascii() and number.isdigit() and len(number) <= 19 and int(number) < 2**63):
            raise _WrongError("payload.emoji: a custom one is custom: and its document id")
    return emoji


def _forward_to(payload: "_Payload", target: str | None) -> str:
    to = payload.text_or_none("to", LONGEST_NAME)
    if to is not None and to.strip():
        return to.strip()
    if payload.has("conversation_id"):
        if target is None:
            raise _WrongError("payload.conversation_id is no conversation of this owner on Telegram")
        return target
    raise _WrongError('forward needs whom to: payload {"to": …} or {"conversation_id": …}')


class _WrongError(ValueError):
    """A payload that cannot be understood; its words are for the row."""


class _Payload:
    """A payload, and the complaints about what stands in it."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def text(self, name: str) -> str:
        value = self._values.get(name)
        if not isinstance(value, str):
            raise _WrongError(f"payload.{name} is {'no text' if name in self._values else 'missing'}")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _WrongError(f"payload.{name} is no text: it has half of a character in it") from None
        return value

    def text_or_none(self, name: str, longest: int) -> str | None:
        if not self.has(name):
            return None
        value = self.text(name)
        if len(value) > longest:
            raise _WrongError(f"payload.{name} is too long: {len(value)} characters, at most {longest}")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise _WrongError(f"payload.{name} is neither true nor false")
        return value
