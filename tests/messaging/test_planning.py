"""How many messages a text takes, and when it takes too many."""

import pytest

from tgworker.messaging.formatted import Entity, EntityKind, FormattedText
from tgworker.messaging.outcomes import Refused
from tgworker.messaging.planning import MOST_PARTS, parts_of


def upper(text: str, parse_mode: str) -> FormattedText | Refused:
    """Markup of a test: a star at either end makes bold."""
    if parse_mode != "stars":
        return Refused(f"parse_mode {parse_mode}")
    return FormattedText(text.strip("*"), (Entity(EntityKind.BOLD, 0, len(text.strip("*"))),))


def test_a_text_that_fits_is_one_part_as_it_was_written() -> None:
    assert parts_of("  hi  ", None, 4096, upper) == (FormattedText("  hi  "),)


def test_markup_is_read_before_the_text_is_cut() -> None:
    parts = parts_of("*" + "a" * 30 + "*", "stars", 16, upper)
    assert isinstance(parts, tuple)
    assert [(part.text, part.entities) for part in parts] == [
        ("a" * 16, (Entity(EntityKind.BOLD, 0, 16),)),
        ("a" * 14, (Entity(EntityKind.BOLD, 0, 14),)),
    ]


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
    assert parts_of(text, mode, 16, upper) == Refused(reason)


def test_a_limit_that_makes_no_sense_still_sends() -> None:
    assert parts_of("hello", None, 0, upper) == (FormattedText("hello"),)
