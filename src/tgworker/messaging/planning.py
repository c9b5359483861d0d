"""What of a message is sent next, and how much of it there is: a pure decision about an attempt."""

from collections.abc import Callable
from dataclasses import dataclass

from tgworker.messaging.formatted import FormattedText, code_units
from tgworker.messaging.media import OutgoingFile
from tgworker.messaging.models import Attempt
from tgworker.messaging.outcomes import Refused
from tgworker.messaging.splitting import SMALLEST_LIMIT, split

MOST_PARTS = 50
"""A text that takes more messages is refused: nobody reads it, and whoever sends so many at once is slowed
down for hours."""

Format = Callable[[str, str], FormattedText | Refused]
"""Reads marked-up text: ``(text, parse_mode)``."""


NO_TEXT = FormattedText("")

CAPTIONLESS = frozenset({"sticker", "video_note"})
"""Types of messages that show no caption: their text follows them
(https://core.telegram.org/bots/api#sendsticker)."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A part of a message that is a file.

    Attributes:
        file: The file.
        caption: What stands under it; empty for all but the first.
    """

    file: OutgoingFile
    caption: FormattedText = NO_TEXT


Part = FormattedText | FilePart


def parts_of(attempt: Attempt, format_text: Format) -> tuple[Part, ...] | Refused:
    """The messages that an attempt's message takes, one or more; the same for the same arguments.

    Its files come first, each a part, with the text as the caption of the first; of a text that is too long
    for that the rest follows them.

    Args:
        attempt: What is to be sent, as its first claim committed it.
        format_text: Reads markup.
    """
    whole = _read(attempt, format_text)
    if isinstance(whole, Refused):
        return whole
    limit = max(attempt.text_limit, SMALLEST_LIMIT)
    if not attempt.files:
        return _counted(split(whole, limit), whole, limit)
    if not whole.text.strip():
        return tuple(FilePart(file) for file in attempt.files)
    if attempt.message_type in CAPTIONLESS:
        return _counted((*(FilePart(file) for file in attempt.files), *split(whole, limit)), whole, limit)
    caption, *rest = split(whole, limit, first=max(attempt.caption_limit, SMALLEST_LIMIT))
    first, *others = attempt.files
    return _counted((FilePart(first, caption), *(FilePart(file) for file in others), *rest), whole, limit)


def _read(attempt: Attempt, format_text: Format) -> FormattedText | Refused:
    """The whole text, without markup; empty only where there are files."""
    text, limit = attempt.text, max(attempt.text_limit, SMALLEST_LIMIT)
    if not text.strip():
        return NO_TEXT if attempt.files else Refused("the message has no text")
    # Markup only makes a text longer, but hardly ever twice as long.
    if len(text) > 2 * MOST_PARTS * limit:
        return _too_long(code_units(text), limit)
    whole = FormattedText(text) if attempt.parse_mode is None else format_text(text, attempt.parse_mode)
    if isinstance(whole, Refused):
        return whole
    if not whole.text.strip():
        return NO_TEXT if attempt.files else Refused("the message has no text but its markup")
    return _too_long(code_units(whole.text), limit) if code_units(whole.text) > MOST_PARTS * limit else whole


def _counted(parts: tuple[Part, ...], whole: FormattedText, limit: int) -> tuple[Part, ...] | Refused:
    texts = sum(1 for part in parts if isinstance(part, FormattedText))
    return parts if texts <= MOST_PARTS else _too_long(code_units(whole.text), limit)


def _too_long(length: int, limit: int) -> Refused:
    return Refused(
        f"the text is too long: {length} characters, of which {MOST_PARTS} messages of {limit} are sent"
    )
