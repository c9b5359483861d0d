"""Text with its formatting, as values: what a part of a message consists of."""

from dataclasses import dataclass, field
from enum import StrEnum


class EntityKind(StrEnum):
    """What Telegram can do to a stretch of text (https://core.telegram.org/api/entities)."""

    BOLD = "bold"
    ITALIC = "italic"
    UNDERLINE = "underline"
    STRIKE = "strike"
    SPOILER = "spoiler"
    CODE = "code"
    PRE = "pre"
    BLOCKQUOTE = "blockquote"
    TEXT_URL = "text_url"
    URL = "url"
    EMAIL = "email"
    MENTION = "mention"
    CUSTOM_EMOJI = "custom_emoji"


@dataclass(frozen=True, slots=True)
class Entity:
    """Formatting of a stretch of text.

    Attributes:
        kind: What it is.
        offset: Where it begins, in UTF-16 code units, as Telegram counts.
        length: How long it is, in UTF-16 code units.
        argument: What belongs to it: the address of a ``text_url``, the language of a ``pre``, the user id of
            a ``mention``, the document id of a ``custom_emoji``, ``collapsed`` for such a ``blockquote``.
    """

    kind: EntityKind
    offset: int
    length: int
    argument: str | None = field(default=None, repr=False)

    @property
    def end(self) -> int:
        """The first code unit behind it."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class FormattedText:
    """A text that Telegram takes as it is: without markup, its formatting beside it.

    Attributes:
        text: The text.
        entities: Its formatting, by offset.
    """

    text: str = field(repr=False)
    entities: tuple[Entity, ...] = ()


def code_units(text: str) -> int:
    """How long a text is as Telegram counts: in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
