"""What Telegram answers to a message that was sent, in each of its forms."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from telethon.tl import types

from tgworker.messaging.outcomes import Sent


def sent_of(answer: Any, random_ids: Sequence[int]) -> Sent:
    """The messages that ``messages.sendMessage`` and its kin created, or had created before.

    The first answer to a plain text is ``updateShortSentMessage``; with entities or media, and for a repeated
    ``random_id``, it is ``updates`` with an ``updateMessageID`` and the message itself
    (https://core.telegram.org/constructor/updateShortSentMessage).
    """
    date: datetime | None = getattr(answer, "date", None)
    if isinstance(answer, types.UpdateShortSentMessage):
        return Sent(answer.id, date and date.astimezone(UTC))
    updates = _updates(answer)
    telegram_id = sent_id(updates, random_ids[0])
    more = [(each, sent_id(updates, each)) for each in random_ids[1:]]
    own = [
        u.message
        for u in updates
        if _is_new_message(u) and (telegram_id is None or u.message.id == telegram_id)
    ]
    if telegram_id is None and len(own) == 1:
        telegram_id = own[0].id
    if own:
        date = own[0].date
    return Sent(
        telegram_id,
        date and date.astimezone(UTC),
        tuple((each, found) for each, found in more if found is not None),
    )


def sent_id(updates: Iterable[Any], random_id: int) -> int | None:
    """The message id that updates give for a ``random_id``, if they do."""
    return next(
        (u.id for u in updates if isinstance(u, types.UpdateMessageID) and u.random_id == random_id), None
    )


def _updates(answer: Any) -> list[Any]:
    match answer:
        case types.Updates() | types.UpdatesCombined():
            return list(answer.updates)
        case types.UpdateShort():
            return [answer.update]
        case _:
            return []


def _is_new_message(update: Any) -> bool:
    return isinstance(update, types.UpdateNewMessage | types.UpdateNewChannelMessage)
