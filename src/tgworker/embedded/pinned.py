"""What was committed of a message's parts before the first left: a repeat makes the very same ones."""

from dataclasses import dataclass, replace

from tgworker.embedded import carried
from tgworker.messaging.media import OutgoingFile
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
        caption_limit: Code units under a file.
        files: What it carries.
    """

    asked_mode: str | None
    part: int
    parts: int | None
    text_limit: int | None
    parse_mode: str | None
    long_text: str | None
    caption_limit: int | None
    files: tuple[OutgoingFile, ...]

    @classmethod
    def of(cls, columns: tuple[object, ...]) -> "Pinned":
        """From its columns, in the order of the attributes."""
        asked_mode, part, parts, text_limit, parse_mode, long_text, caption_limit, files = columns
        assert isinstance(part, int)
        assert parts is None or isinstance(parts, int)
        assert text_limit is None or isinstance(text_limit, int)
        assert caption_limit is None or isinstance(caption_limit, int)
        assert files is None or isinstance(files, str)
        return cls(
            asked_mode=_text(asked_mode),
            part=part,
            parts=parts,
            text_limit=text_limit,
            parse_mode=_text(parse_mode),
            long_text=_text(long_text),
            caption_limit=caption_limit,
            files=carried.unpack(files),
        )

    def anew(
        self, text: str, files: tuple[OutgoingFile, ...], *, text_limit: int, caption_limit: int
    ) -> "Pinned":
        """The same of a row of which nothing can have left: what the application says now."""
        is_long = bool(files) or may_be_cut(text, self.asked_mode, text_limit)
        return replace(
            self,
            parts=None if is_long else 1,
            text_limit=text_limit,
            parse_mode=self.asked_mode,
            long_text=text if is_long else None,
            caption_limit=caption_limit,
            files=files,
        )


def committed(seq: object, attempt: Attempt) -> tuple[object, ...]:
    """What the claim of a row writes into it."""
    is_long = bool(attempt.files) or may_be_cut(attempt.text, attempt.parse_mode, attempt.text_limit)
    return (
        seq,
        None if attempt.peer is None else attempt.peer.chat_id,
        attempt.parts,
        attempt.text_limit,
        attempt.parse_mode,
        attempt.text if is_long else None,
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
