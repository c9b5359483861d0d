"""An edit of a message that may be several of Telegram's: which part gets which text. Pure."""

from dataclasses import dataclass

from tgworker.messaging.formatted import FormattedText, code_units
from tgworker.messaging.job_actions import Edit
from tgworker.messaging.models import MessageJob
from tgworker.messaging.outcomes import Refused
from tgworker.messaging.planning import CAPTIONLESS, MOST_PARTS, NO_TEXT, Format
from tgworker.messaging.splitting import SMALLEST_LIMIT, split


@dataclass(frozen=True, slots=True)
class EditPlan:
    """What an edit does.

    Attributes:
        edits: Telegram's ids, and the text that each gets.
        surplus: Parts that the new text leaves empty: they are deleted.
    """

    edits: tuple[tuple[int, FormattedText], ...]
    surplus: tuple[int, ...] = ()


def plan_edit(
    edit: Edit, job: MessageJob, *, text_limit: int, caption_limit: int, format_text: Format
) -> EditPlan | Refused:
    """Lay a new text over the parts that a message has, as if it were sent anew.

    Files stay as they are: the first one's caption changes, and so do the texts behind them. A text that
    takes more parts than there are is refused, for a part cannot be put in between; of one that takes fewer
    the parts behind are deleted.

    Args:
        edit: The new text.
        job: Whose message it is of, with its ids.
        text_limit: How long one message may be, in UTF-16 code units.
        caption_limit: The same of what stands under a file.
        format_text: Reads markup.
    """
    message = job.message
    files = 0 if message is None else message.files
    is_captioned = files > 0 and message is not None and message.type not in CAPTIONLESS
    places = (*job.telegram_ids[:1], *job.telegram_ids[files:]) if is_captioned else job.telegram_ids[files:]
    if not places:
        return Refused("its message has neither text nor caption")
    limit = max(text_limit, SMALLEST_LIMIT)
    first = max(caption_limit, SMALLEST_LIMIT) if is_captioned else limit
    whole = _read(edit, limit, format_text)
    if isinstance(whole, Refused):
        return whole
    if not whole.text.strip():
        if not is_captioned:
            return Refused("the new text is empty: delete the message instead")
        whole = NO_TEXT
    pieces = split(whole, limit, first=first)
    if len(pieces) > len(places):
        have = "one" if len(places) == 1 else f"room for {len(places)}"
        return Refused(
            f"the new text is too long: {code_units(whole.text)} characters take {len(pieces)} messages,"
            f" and there is {have} to change (a text holds {limit}, a caption {caption_limit}):"
            " send the rest anew"
        )
    return EditPlan(tuple(zip(places, pieces, strict=False)), tuple(places[len(pieces) :]))


def _read(edit: Edit, limit: int, format_text: Format) -> FormattedText | Refused:
    if len(edit.text) > 2 * MOST_PARTS * limit:
        return Refused(f"the new text is too long: {code_units(edit.text)} characters")
    if edit.parse_mode is None:
        return FormattedText(edit.text)
    return format_text(edit.text, edit.parse_mode)
