"""The strict rule: what a look into a chat's history says about a message in doubt."""

from datetime import UTC, datetime

import pytest

from tgworker.messaging.doubts import found, must_look, why_looked
from tgworker.messaging.models import Copy, Doubt, Look, Owned
from tgworker.messaging.outcomes import Refused, Sent, Unsure

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOBODY = Owned(frozenset(), rivals=False)
ONE = Look((Copy(70, NOON),), whole=True)
TWO = Look((Copy(71, NOON), Copy(70, NOON)), whole=True)
NONE = Look((), whole=True)
NO = Refused("USER_IS_BLOCKED")


@pytest.mark.parametrize(
    ("doubt", "looks"),
    [
        (None, False),
        (Doubt(0, 0), False),
        (Doubt(1800, 0), False),
        (Doubt(1800.1, 0), True),
        (Doubt(-1, 0), True),
        (Doubt(1, 0, expired=True), True),
    ],
)
def test_within_the_window_nothing_is_looked_for(doubt: Doubt | None, looks: bool) -> None:
    assert must_look(doubt, 1800) is looks


@pytest.mark.parametrize(
    ("look", "owned", "telegram_id"),
    [
        (ONE, NOBODY, 70),
        (ONE, Owned(frozenset({5}), rivals=False), 70),
        (TWO, Owned(frozenset({71}), False), 70),
    ],
)
def test_the_only_one_that_is_nobody_elses_is_the_message(look: Look, owned: Owned, telegram_id: int) -> None:
    assert found(look, owned, "why") == Sent(telegram_id, NOON)
    assert found(look, owned, "why", NO) == Sent(telegram_id, NOON)


@pytest.mark.parametrize(
    ("look", "owned", "reason"),
    [
        (NONE, NOBODY, "why, and the chat's history does not show it"),
        (ONE, Owned(frozenset({70}), rivals=False), "why, and the chat's history does not show it"),
        (TWO, NOBODY, "why, and the chat's history shows 2 that it could be"),
        (
            ONE,
            Owned(frozenset(), rivals=True),
            "why, and what the chat's history shows could be another message with that text",
        ),
        (
            Look(ONE.copies, whole=False),
            NOBODY,
            "why, and too much was written in the chat since then to look for it",
        ),
    ],
)
def test_anything_else_is_for_a_person(look: Look, owned: Owned, reason: str) -> None:
    assert found(look, owned, "why") == Unsure(reason)


def test_a_refusal_stands_where_nothing_like_it_was_ever_sent() -> None:
    assert found(NONE, NOBODY, "why", NO) == NO
    assert found(Look((), whole=False), NOBODY, "why", NO) != NO
    assert found(ONE, Owned(frozenset({70}), rivals=False), "why", NO) != NO


def test_people_are_told_why() -> None:
    assert "clock was set back" in why_looked(Doubt(-1, 7))
    assert why_looked(Doubt(5400, 7)) == "it was in doubt for 90 min, too long to repeat it"
    assert (
        why_looked(Doubt(9, 7, expired=True)) == "its time ran out while nobody knew whether Telegram has it"
    )
