"""Counting on both sides: what was given to be sent against what the other side holds. Pure."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Chat = TypeVar("Chat", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Count:
    """How one direction came out.

    Attributes:
        expected: How many messages were given.
        arrived: How many of them stand on the other side, each counted once.
        lost: Given, and not there.
        duplicated: There more often than once: the copies beyond the first.
        out_of_order: There, but after a message that was given later.
        unexpected: There, and never given.
    """

    expected: int = 0
    arrived: int = 0
    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    unexpected: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(
            self.expected + other.expected,
            self.arrived + other.arrived,
            self.lost + other.lost,
            self.duplicated + other.duplicated,
            self.out_of_order + other.out_of_order,
            self.unexpected + other.unexpected,
        )

    @property
    def clean(self) -> bool:
        """Whether everything arrived, once and in order, and nothing else did."""
        return not (self.lost or self.duplicated or self.out_of_order or self.unexpected)


def compare(given: Sequence[str], held: Sequence[str]) -> Count:
    """Compare one chat, one direction.

    Args:
        given: The texts in the order in which they were given; all different.
        held: The texts in the order in which the other side holds them.
    """
    rank = {text: number for number, text in enumerate(given)}
    copies = Counter(text for text in held if text in rank)
    first_seen = list(dict.fromkeys(text for text in held if text in rank))
    highest, late = -1, 0
    for text in first_seen:
        late += rank[text] < highest
        highest = max(highest, rank[text])
    return Count(
        expected=len(given),
        arrived=len(first_seen),
        lost=len(given) - len(first_seen),
        duplicated=sum(copies.values()) - len(copies),
        out_of_order=late,
        unexpected=sum(1 for text in held if text not in rank),
    )


def compare_chats(given: Mapping[Chat, Sequence[str]], held: Mapping[Chat, Sequence[str]]) -> Count:
    """Compare all chats of one direction; a chat that only one side knows counts as well."""
    chats = dict.fromkeys([*given, *held])
    return sum((compare(given.get(chat, ()), held.get(chat, ())) for chat in chats), Count())
