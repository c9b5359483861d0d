"""How many messages a text takes, and when it takes too many."""

from dataclasses import replace

import pytest

from messaging.messaging_fakes import attempt
from tgworker.messaging.formatted import Entity, EntityKind, FormattedText
from tgworker.messaging.media import OutgoingFile
from tgworker.messaging.models import Attempt
from tgworker.messaging.outcomes import Refused
from tgworker.messaging.planning import MOST_PARTS, FilePart, parts_of


def upper(text: str, parse_mode: str) -> FormattedText | Refused:
    """Markup of a test: a star at either end makes bold."""
    if parse_mode != "stars":
        return Refused(f"parse_mode {parse_mode}")
    return FormattedText(text.strip("*"), (Entity(EntityKind.BOLD, 0, len(text.strip("*"))),))


def written(text: str, mode: str | None = None, limit: int = 4096, *files: OutgoingFile) -> Attempt:
    return replace(attempt("1", text=text), parse_mode=mode, text_limit=limit, caption_limit=20, files=files)


PHOTO = OutgoingFile("a", "files", "a.jpg")
OTHER = OutgoingFile("b", "files", "b.jpg")


def test_a_text_that_fits_is_one_part_as_it_was_written() -> None:
    assert parts_of(written("  hi  "), upper) == (FormattedText("  hi  "),)


def test_markup_is_read_before_the_text_is_cut() -> None:
    parts = parts_of(written("*" + "a" * 30 + "*", "stars", 16), upper)
    assert isinstance(parts, tuple)
    assert parts == (
        FormattedText("a" * 16, (Entity(EntityKind.BOLD, 0, 16),)),
        FormattedText("a" * 14, (Entity(EntityKind.BOLD, 0, 14),)),
    )


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("", None, "the message has no text"),
        (" \n ", "stars", "the message has no text"),
        ("** **", "stars", "the message has no text but its markup"),
        ("hi", "bbcode", "parse_mode bbcode"),
        (
            "a" * 16 * (MOST_PARTS + 1),
            None,
            "the text is too long: 816 characters, of which 50 messages of 16 are sent",
        ),
        (
            "a" * 1_000_000,
            "stars",
            "the text is too long: 1000000 characters, of which 50 messages of 16 are sent",
        ),
        # Only its cuts make it too long.
        (
            "aaaaaaaaa\n\n" * 72,
            None,
            "the text is too long: 792 characters, of which 50 messages of 16 are sent",
        ),
    ],
)
def test_what_cannot_be_sent_is_refused_in_one_line(text: str, mode: str | None, reason: str) -> None:
    assert parts_of(written(text, mode, 16), upper) == Refused(reason)


def test_a_limit_that_makes_no_sense_still_sends() -> None:
    assert parts_of(written("hello", limit=0), upper) == (FormattedText("hello"),)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("text", ["", " \n", "** **"])
def test_files_need_no_text(text: str) -> None:
    mode = "stars" if "*" in text else None
    assert parts_of(written(text, mode, 4096, PHOTO, OTHER), upper) == (FilePart(PHOTO), FilePart(OTHER))


def test_the_text_stands_under_the_first_file() -> None:
    parts = parts_of(written("*look*", "stars", 4096, PHOTO, OTHER), upper)
    caption = FormattedText("look", (Entity(EntityKind.BOLD, 0, 4),))
    assert parts == (FilePart(PHOTO, caption), FilePart(OTHER))


def test_what_is_too_long_for_a_caption_follows_the_files() -> None:
    parts = parts_of(
        written("a dozen and some words, and then many more of them", None, 30, PHOTO, OTHER), upper
    )
    assert parts == (
        FilePart(PHOTO, FormattedText("a dozen and some")),
        FilePart(OTHER),
        FormattedText("words, and then many more of"),
        FormattedText("them"),
    )


@pytest.mark.parametrize("kind", ["sticker", "video_note"])
def test_where_there_are_no_captions_the_text_follows(kind: str) -> None:
    one = replace(written("hi", None, 4096, PHOTO), message_type=kind)
    assert parts_of(one, upper) == (FilePart(PHOTO), FormattedText("hi"))


def test_a_text_that_is_too_long_is_refused_with_its_files() -> None:
    refused = parts_of(written("a" * 16 * (MOST_PARTS + 1), None, 16, PHOTO), upper)
    assert isinstance(refused, Refused)
