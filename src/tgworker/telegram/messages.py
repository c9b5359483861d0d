"""Telegram's messages as the inbox knows them."""

import re
from datetime import UTC, datetime
from typing import Any

from telethon.tl import types

from tgworker.messaging.models import ChatMessage
from tgworker.telegram.file_facts import document_facts as file_facts_of
from tgworker.telegram.file_facts import document_kind, facts_of
from tgworker.telegram.peers import channel_mark, marked_id

_SERVICE_NAMES = {
    "ChatJoinedByLink": "join",
    "ChatJoinedByRequest": "join",
    "ChatDeleteUser": "kick",
    "ChatAddUser": "add",
    "ChatCreate": "create",
    "ChannelCreate": "create",
    "ChatEditTitle": "title",
    "ChatEditPhoto": "photo",
    "ChatDeletePhoto": "photo_removed",
    "PinMessage": "pin",
    "ChatMigrateTo": "migrate",
    "ChannelMigrateFrom": "migrate",
    "PhoneCall": "call",
}
"""Names of service messages that the application knows; any other action keeps its own, in snake case."""

_MEDIA_NAMES = {
    "Photo": "photo",
    "Geo": "location",
    "GeoLive": "location",
    "Venue": "venue",
    "Contact": "contact",
    "Poll": "poll",
    "Dice": "dice",
    "Game": "game",
    "Invoice": "invoice",
    "Story": "story",
    "WebPage": "text",
    "Empty": "text",
}
"""What a message with each kind of media is called. Documents have many kinds: see `document_kind`."""


def message_of(message: Any, self_id: int) -> ChatMessage | None:
    """A ``message`` or ``messageService`` as a value; ``None`` for an empty one.

    Args:
        message: Telegram's object.
        self_id: The account's own user id: in private chats Telegram leaves out who wrote a message.
    """
    match message:
        case types.Message():
            message_type, media = _media(message.media)
            raw: dict[str, Any] = {}
            if media:
                raw["media"] = media
            if message.grouped_id is not None:
                raw["grouped_id"] = str(message.grouped_id)  # 64 bits: more than a JSON number may hold
            text, file = message.message or "", facts_of(message.media)
        case types.MessageService():
            message_type, raw = _service(message, self_id)
            text, file = "", None
        case _:
            return None
    reply_to = getattr(message.reply_to, "reply_to_msg_id", None)
    if reply_to is not None:
        raw["reply_to"] = reply_to
    chat_id = marked_id(message.peer_id)
    outgoing = bool(message.out)
    return ChatMessage(
        chat_id=chat_id,
        telegram_id=message.id,
        sender_id=_sender_id(message, chat_id, outgoing, self_id),
        outgoing=outgoing,
        text=text,
        message_type=message_type,
        sent_at=utc(message.date),
        raw_payload=raw,
        file=file,
    )


def short_message_of(update: Any, self_id: int) -> ChatMessage:
    """An ``updateShortMessage`` or ``updateShortChatMessage`` as a value: a text in its shortest form."""
    outgoing = bool(update.out)
    if isinstance(update, types.UpdateShortMessage):
        chat_id = int(update.user_id)
        sender_id = self_id if outgoing else chat_id
    else:
        chat_id = -int(update.chat_id)
        sender_id = int(update.from_id)
    reply_to = getattr(update.reply_to, "reply_to_msg_id", None)
    return ChatMessage(
        chat_id=chat_id,
        telegram_id=update.id,
        sender_id=sender_id,
        outgoing=outgoing,
        text=update.message,
        message_type="text",
        sent_at=utc(update.date),
        raw_payload={} if reply_to is None else {"reply_to": reply_to},
    )


def _sender_id(message: Any, chat_id: int, outgoing: bool, self_id: int) -> int | None:
    if message.from_id is not None:
        return marked_id(message.from_id)
    if outgoing and chat_id > 0:
        return self_id
    return chat_id if chat_id > 0 or message.post else None


def utc(when: Any) -> datetime:
    """A date of Telegram's, aware, UTC."""
    moment: datetime = when  # Telethon's constructors allow None, Telegram's schema does not
    return moment.astimezone(UTC)


def _media(media: Any) -> tuple[str, dict[str, Any]]:
    """The message's type, and what else is worth keeping about its media."""
    if media is None:
        return "text", {}
    if isinstance(media, types.MessageMediaDocument):
        document = media.document
        if not isinstance(document, types.Document):
            return "document", {}  # it has expired: Telegram keeps the message and forgets the file
        return document_kind(document).value, _document_facts(document)
    kind = type(media).__name__.removeprefix("MessageMedia")
    name = _MEDIA_NAMES.get(kind, "unsupported")
    if isinstance(media, types.MessageMediaPhoto):
        facts = facts_of(media)
        return name, {} if facts is None else {
            "byte_size": facts.size,
            "width": facts.width,
            "height": facts.height,
        }
    return name, _other_facts(media)


def _document_facts(document: Any) -> dict[str, Any]:
    facts = file_facts_of(document)
    found: dict[str, Any] = {"mime_type": facts.mime_type, "byte_size": facts.size}
    for name in ("file_name", "duration_s", "width", "height"):
        value = getattr(facts, name)
        if value is not None:
            found[name] = value
    for attribute in document.attributes:
        match attribute:
            case types.DocumentAttributeSticker():
                found["emoji"] = attribute.alt
            case types.DocumentAttributeAudio():
                named = {"title": attribute.title, "performer": attribute.performer}
                found |= {key: value for key, value in named.items() if value}
            case _:
                pass
    return found


def _other_facts(media: Any) -> dict[str, Any]:
    """What is worth keeping of media without a file."""
    match media:
        case types.MessageMediaContact():
            return {
                "phone": media.phone_number,
                "first_name": media.first_name,
                "last_name": media.last_name,
                "user_id": media.user_id or None,
            }
        case types.MessageMediaVenue():
            return {"title": media.title, "address": media.address, **_point(media.geo)}
        case types.MessageMediaGeo():
            return _point(media.geo)
        case types.MessageMediaGeoLive():
            return {"live": True, "period_s": media.period, **_point(media.geo)}
        case types.MessageMediaPoll():
            poll = media.poll
            return {
                "question": poll.question.text,
                "answers": [answer.text.text for answer in poll.answers],
                "quiz": bool(poll.quiz),
                "multiple": bool(poll.multiple_choice),
            }
        case types.MessageMediaDice():
            return {"emoji": media.emoticon, "value": media.value}
        case _:
            return {}


def _point(geo: Any) -> dict[str, Any]:
    return {"latitude": geo.lat, "longitude": geo.long} if isinstance(geo, types.GeoPoint) else {}


def _service(message: Any, self_id: int) -> tuple[str, dict[str, Any]]:
    action = message.action
    kind = type(action).__name__.removeprefix("MessageAction")
    name = _SERVICE_NAMES.get(kind) or _snake(kind)
    users = [int(user) for user in getattr(action, "users", None) or ()]
    user = getattr(action, "user_id", None)
    if user is not None:
        users = [int(user)]
    author = _sender_id(message, marked_id(message.peer_id), bool(message.out), self_id)
    if users == [author]:  # who adds or removes but oneself has joined or left
        name = {"add": "join", "kick": "leave"}.get(name, name)
    raw: dict[str, Any] = {"action": kind}
    if users:
        raw["users"] = users
    title = getattr(action, "title", None)
    if isinstance(title, str):
        raw["title"] = title
    return f"service_{name}", raw | _action_facts(message)


def _action_facts(message: Any) -> dict[str, Any]:
    """What the application has to know of some actions. Chats are named by their marked ids."""
    match action := message.action:
        case types.MessageActionChatMigrateTo():
            return {"migrated_to": channel_mark(action.channel_id)}
        case types.MessageActionChannelMigrateFrom():
            return {"migrated_from": -int(action.chat_id)}
        case types.MessageActionPinMessage() if isinstance(message.reply_to, types.MessageReplyHeader):
            pinned = message.reply_to.reply_to_msg_id
            return {} if pinned is None else {"pinned": pinned}
        case types.MessageActionChatJoinedByLink():
            return {"invited_by": int(action.inviter_id)}
        case types.MessageActionChatEditPhoto() if isinstance(action.photo, types.Photo):
            return {"photo_id": str(action.photo.id)}  # 64 bits: more than a JSON number may hold
        case _:
            return {}


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
