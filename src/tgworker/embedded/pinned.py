"""What was committed of a text's parts before the first of them left: a repeat makes the very same ones."""

from dataclasses import dataclass, replace

from tgworker.messaging.models import Attempt
from tgworker.messaging.splitting import may_be_cut


@dataclass(frozen=True, slots=True)
class Pinned:
    """What the parts of a row are made of, as its last claim committed it.

    Attributes:
        asked_mode: How the application says that the text is marked up, now.
        part: The part that is sent next.
        parts: How many there are, if the worker has counted them.
        text_limit: Code units in one part.
        parse_mode: How the text is marked up.
        long_text: The text, if it may take several messages.
    """

    asked_mode: str | None
    part: int
    parts: int | None
    text_limit: int | None
    parse_mode: str | None
    long_text: str | None

    @classmethod
    def of(cls, columns: tuple[object, ...]) -> "Pinned":
        """From its columns, in the order of the attributes."""
        asked_mode, part, parts, text_limit, parse_mode, long_text = columns
        assert isinstance(part, int)
        assert parts is None or isinstance(parts, int)
        assert text_limit is None or isinstance(text_limit, int)
        texts = [None if each is None else str(each) for each in (asked_mode, parse_mode, long_text)]
        return cls(texts[0], part, parts, text_limit, *texts[1:])

    def anew(self, text: str, text_limit: int) -> "Pinned":
        """The same of a row of which nothing can have left: what the application says now."""
        is_long = may_be_cut(text, self.asked_mode, text_limit)
        return replace(
            self,
            parts=None if is_long else 1,
            text_limit=text_limit,
            parse_mode=self.asked_mode,
            long_text=text if is_long else None,
        )


def committed(seq: object, attempt: Attempt) -> tuple[object, ...]:
    """What the claim of a row writes into it."""
    return (
        seq,
        None if attempt.peer is None else attempt.peer.chat_id,
        attempt.parts,
        attempt.text_limit,
        attempt.parse_mode,
        attempt.text if may_be_cut(attempt.text, attempt.parse_mode, attempt.text_limit) else None,
    )
