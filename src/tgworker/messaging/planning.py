"""What of a message is sent next, and how much of it there is: a pure decision about an attempt."""

from collections.abc import Callable

from tgworker.messaging.formatted import FormattedText, code_units
from tgworker.messaging.outcomes import Refused
from tgworker.messaging.splitting import SMALLEST_LIMIT, split

MOST_PARTS = 50
"""A text that takes more messages is refused: nobody reads it, and whoever sends so many at once is slowed
down for hours."""

Format = Callable[[str, str], FormattedText | Refused]
"""Reads marked-up text: ``(text, parse_mode)``."""


def parts_of(
    text: str, parse_mode: str | None, limit: int, format_text: Format
) -> tuple[FormattedText, ...] | Refused:
    """The messages that a text takes, one or more; the same for the same arguments.

    Args:
        text: What the application wrote.
        parse_mode: How it is marked up, as the application says.
        limit: Code units in one message.
        format_text: Reads markup.
    """
    if not text.strip():
        return Refused("the message has no text")
    limit = max(limit, SMALLEST_LIMIT)
    # Markup only makes a text longer, but hardly ever twice as long.
    if len(text) > 2 * MOST_PARTS * limit:
        return _too_long(code_units(text), limit)
    whole = FormattedText(text) if parse_mode is None else format_text(text, parse_mode)
    if isinstance(whole, Refused):
        return whole
    if not whole.text.strip():
        return Refused("the message has no text but its markup")
    if code_units(whole.text) > MOST_PARTS * limit:
        return _too_long(code_units(whole.text), limit)
    parts = split(whole, limit)
    return parts if len(parts) <= MOST_PARTS else _too_long(code_units(whole.text), limit)


def _too_long(length: int, limit: int) -> Refused:
    return Refused(
        f"the text is too long: {length} characters, of which {MOST_PARTS} messages of {limit} are sent"
    )
