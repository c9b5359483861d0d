"""Marked-up text as plain text with entities, and entities as Telegram's objects."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from telethon.extensions import markdown
from telethon.extensions.html import HTMLToTelegramParser
from telethon.helpers import add_surrogate, del_surrogate, strip_text
from telethon.tl import types

from tgworker.messaging.formatted import Entity, EntityKind, FormattedText, code_units
from tgworker.messaging.outcomes import Refused

_USER_LINK = re.compile(r"tg://user\?id=(\d{1,19})$")
"""How a mention of somebody without a username is written, as in the Bot API."""

_PLAIN_KINDS: dict[EntityKind, Callable[[int, int], Any]] = {
    EntityKind.BOLD: types.MessageEntityBold,
    EntityKind.ITALIC: types.MessageEntityItalic,
    EntityKind.UNDERLINE: types.MessageEntityUnderline,
    EntityKind.STRIKE: types.MessageEntityStrike,
    EntityKind.SPOILER: types.MessageEntitySpoiler,
    EntityKind.CODE: types.MessageEntityCode,
    EntityKind.URL: types.MessageEntityUrl,
    EntityKind.EMAIL: types.MessageEntityEmail,
}
_KINDS: dict[type[Any], EntityKind] = {
    types.MessageEntityBold: EntityKind.BOLD,
    types.MessageEntityItalic: EntityKind.ITALIC,
    types.MessageEntityUnderline: EntityKind.UNDERLINE,
    types.MessageEntityStrike: EntityKind.STRIKE,
    types.MessageEntitySpoiler: EntityKind.SPOILER,
    types.MessageEntityCode: EntityKind.CODE,
    types.MessageEntityUrl: EntityKind.URL,
    types.MessageEntityEmail: EntityKind.EMAIL,
}


def format_text(text: str, parse_mode: str) -> FormattedText | Refused:
    """Read marked-up text, as Telethon does.

    Markup that is broken stands in the text as it was written, or is left out. (Python's HTML parser gives up
    on some declarations that are none, as ``<![<b>``.)

    Args:
        text: What the application wrote.
        parse_mode: ``markdown`` or ``html``, in any case of letters.

    Returns:
        The text without its markup, or why it cannot be read.
    """
    mode = parse_mode.lower()
    if mode not in ("markdown", "html"):
        return Refused(f"parse_mode is {parse_mode[:40]!r}: it must be markdown or html, or be left out")
    try:
        plain, found = markdown.parse(text) if mode == "markdown" else _read_html(text)
    except Exception as error:  # noqa: BLE001 # of a parser that is not ours, for input that is not ours
        remedy = "close what it opens" if mode == "markdown" else "write < as &lt; and & as &amp;"
        return Refused(f"its {mode} cannot be read ({type(error).__name__}): {remedy}")
    entities = filter(None, (_entity(each, code_units(plain)) for each in found))
    return FormattedText(plain, tuple(sorted(entities, key=lambda entity: (entity.offset, -entity.length))))


class _HtmlReader(HTMLToTelegramParser):  # type: ignore[misc] # Telethon has no types
    """Telethon's, without its exceptions, and with spoilers."""

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Take note of a tag. Attributes without a value end Telethon's in an `AttributeError`."""
        known: list[tuple[str, str | None]] = [(name, value or "") for name, value in attrs]
        super().handle_starttag(tag, known)
        if tag == "tg-spoiler" or (tag == "span" and ("class", "tg-spoiler") in known):
            self._building_entities.setdefault(tag, types.MessageEntitySpoiler(len(self.text), 0))


def _read_html(text: str) -> tuple[str, list[Any]]:
    """As `telethon.extensions.html.parse`, which loses what stands behind the last ``&`` or ``<``."""
    reader = _HtmlReader()
    reader.feed(add_surrogate(text))
    reader.close()
    entities: list[Any] = [*reader.entities, *reader._building_entities.values()]  # some were never closed
    plain = strip_text(reader.text, entities)
    return del_surrogate(plain), entities


def _entity(found: Any, length: int) -> Entity | None:
    """One of Telethon's entities as a value, clipped to the text; ``None`` if nothing of it is left."""
    begin, end = max(0, found.offset), min(length, found.offset + found.length)
    if begin >= end:
        return None
    argument: str | None = None
    match found:
        case types.MessageEntityTextUrl():
            user = _USER_LINK.match(found.url)
            if not found.url.strip():
                return None
            kind = EntityKind.MENTION if user else EntityKind.TEXT_URL
            argument = user[1] if user else found.url
        case types.MessageEntityPre():
            kind, argument = EntityKind.PRE, found.language
        case types.MessageEntityBlockquote():
            kind, argument = EntityKind.BLOCKQUOTE, "collapsed" if found.collapsed else None
        case types.MessageEntityCustomEmoji():
            kind, argument = EntityKind.CUSTOM_EMOJI, str(found.document_id)
        case _:
            kind = _KINDS[type(found)]
    return Entity(kind, begin, end - begin, argument)


def entities_for(entities: Iterable[Entity], mention: Callable[[int], Any | None]) -> list[Any]:
    """Entities as Telegram's objects.

    Args:
        entities: The formatting.
        mention: The ``InputUser`` of a user id; ``None`` for one whom the account does not know. He is not
            mentioned, and the text stands as it is.
    """
    return [each for entity in entities if (each := _input_entity(entity, mention)) is not None]


def _input_entity(entity: Entity, mention: Callable[[int], Any | None]) -> Any | None:
    offset, length, argument = entity.offset, entity.length, entity.argument or ""
    match entity.kind:
        case EntityKind.TEXT_URL:
            return types.MessageEntityTextUrl(offset, length, argument)
        case EntityKind.PRE:
            return types.MessageEntityPre(offset, length, argument)
        case EntityKind.BLOCKQUOTE:
            return types.MessageEntityBlockquote(offset, length, collapsed=bool(argument))
        case EntityKind.CUSTOM_EMOJI:
            return types.MessageEntityCustomEmoji(offset, length, int(argument))
        case EntityKind.MENTION:
            user = mention(int(argument))
            return None if user is None else types.InputMessageEntityMentionName(offset, length, user)
        case _:
            return _PLAIN_KINDS[entity.kind](offset, length)
