"""The formatting of texts as Telegram has it: spans in UTF-16 code units, checked, and found by itself.

Source: https://core.telegram.org/api/entities
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from telethon.tl import types

from tgworker.sandbox.errors import RequestRefused

MAX_ENTITIES = 100
"""In one message (https://core.telegram.org/api/config, ``message_entities_limit`` of old clients)."""

_EXTRA = {
    "textUrl": "url",
    "pre": "language",
    "mentionName": "user_id",
    "customEmoji": "document_id",
}
"""What a kind of formatting holds besides its place."""

_FOUND = re.compile(
    r"(?P<url>https?://[^\s<>\"]*[^\s<>\".,!?:;)])"
    r"|(?<!\w)@(?P<mention>[A-Za-z]\w{3,31})\b"
    r"|(?<![\w&])#(?P<hashtag>\w*[^\W\d]\w*)"
)
_KINDS: dict[str, Any] = {
    "url": types.MessageEntityUrl,
    "mention": types.MessageEntityMention,
    "hashtag": types.MessageEntityHashtag,
}


@dataclass(frozen=True, slots=True)
class Formatting:
    """One span of formatting, without Telegram's types.

    Attributes:
        kind: What it is, in Telegram's spelling: ``bold``, ``textUrl``, ``pre``…
        offset: Where it begins, in UTF-16 code units.
        length: How long it is, in UTF-16 code units.
        value: What it holds besides: an address, a language, an id; empty: nothing.
    """

    kind: str
    offset: int
    length: int
    value: str = ""


def utf16_length(text: str) -> int:
    """How long a text is to Telegram."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def checked_entities(text: str, entities: Sequence[Any] | None) -> tuple[Any, ...]:
    """Formatting as it is stored: a mention is sent with an access hash and kept without.

    Raises:
        RequestRefused: There is too much of it, or a span lies outside of the text or cuts a character.
    """
    if not entities:
        return ()
    if len(entities) > MAX_ENTITIES:
        raise RequestRefused(400, "ENTITIES_TOO_LONG")
    end = utf16_length(text)
    cuts = _inside_of_characters(text)
    for each in entities:
        start, stop = each.offset, each.offset + each.length
        if start < 0 or each.length < 1 or stop > end or start in cuts or stop in cuts:
            raise RequestRefused(400, "ENTITY_BOUNDS_INVALID")
    return tuple(map(_stored, entities))


def with_found(text: str, entities: tuple[Any, ...]) -> tuple[Any, ...]:
    """Formatting together with what the server finds in a text, outside of other spans.

    Addresses, names and hashtags; the real server finds more.
    """
    taken = [(each.offset, each.offset + each.length) for each in entities]
    found: list[Any] = []
    for match in _FOUND.finditer(text):
        kind = match.lastgroup or "url"
        offset, length = utf16_length(text[: match.start()]), utf16_length(match[0])
        if all(offset + length <= start or stop <= offset for start, stop in taken):
            found.append(_KINDS[kind](offset, length))
    return tuple(sorted((*entities, *found), key=lambda each: (each.offset, -each.length)))


def shown(entity: Any) -> Formatting:
    """A span without Telegram's types."""
    name = type(entity).__name__.removeprefix("MessageEntity")
    kind = name[:1].lower() + name[1:]
    value = getattr(entity, _EXTRA[kind]) if kind in _EXTRA else ""
    return Formatting(kind, entity.offset, entity.length, str(value))


def entity_of(span: Formatting) -> Any:
    """A span with Telegram's types.

    Raises:
        ValueError: Telegram has no such kind, or its value is none.
    """
    make = getattr(types, f"MessageEntity{span.kind[:1].upper()}{span.kind[1:]}", None)
    if make is None:
        raise ValueError(f"Telegram has no formatting {span.kind}")
    extra = _EXTRA.get(span.kind)
    if extra is None:
        return make(span.offset, span.length)
    return make(span.offset, span.length, int(span.value) if extra.endswith("_id") else span.value)


def _inside_of_characters(text: str) -> set[int]:
    """The places between the two halves of a surrogate pair."""
    if text.isascii():
        return set()
    places, at = set[int](), 0
    for character in text:
        at += 1
        if ord(character) > 0xFFFF:
            places.add(at)
            at += 1
    return places


def _stored(entity: Any) -> Any:
    if isinstance(entity, types.InputMessageEntityMentionName):
        return types.MessageEntityMentionName(
            entity.offset, entity.length, getattr(entity.user_id, "user_id", 0)
        )
    return entity
