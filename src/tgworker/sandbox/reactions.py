"""The reactions to one message: who chose what, and how each of them sees it.

Source: https://core.telegram.org/api/reactions
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from telethon.tl import types

Chosen = str | int
"""An emoji, or the number of a custom one."""

RECENT_SHOWN = 3
"""So many of those who chose a reaction are named with the message, the newest first."""

_USUAL = (
    "❤ 👍 👎 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮 💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤\u200d🔥 🌚 🌭 💯"
    " 🤣 ⚡ 🍌 🏆 💔 🤨 😐 🍓 🍾 💋 🖕 😈 😴 😭 🤓 👻 👨\u200d💻 👀 🎃 🙈 😇 😨 🤝 ✍ 🤗 🫡 🎅"
    " 🎄 ☃ 💅 🤪 🗿 🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 🤷\u200d♂ 🤷 🤷\u200d♀ 😡"
)

EMOJI = frozenset(_USUAL.split())
"""What anybody may choose, without variation selectors (https://core.telegram.org/bots/api#reactiontypeemoji)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What one user chose.

    Attributes:
        reactions: One, or several of who pays; in his order.
        date: When.
        big: Whether it was shown large.
    """

    reactions: tuple[Chosen, ...]
    date: datetime
    big: bool = False


class Reactions:
    """All reactions to one message; its copies share them."""

    def __init__(self) -> None:
        self._by_user: dict[int, Choice] = {}

    def of(self, user_id: int) -> tuple[Chosen, ...]:
        """What a user chose."""
        choice = self._by_user.get(user_id)
        return () if choice is None else choice.reactions

    def choose(self, user_id: int, choice: Choice) -> bool:
        """Note what a user chose, in place of what he had chosen; returns whether that is another."""
        if self.of(user_id) == choice.reactions:
            return False
        self._by_user.pop(user_id, None)
        if choice.reactions:
            self._by_user[user_id] = choice
        return True

    def chosen(self) -> tuple[tuple[int, Chosen], ...]:
        """Who chose what, oldest first."""
        return tuple((user, each) for user, choice in self._by_user.items() for each in choice.reactions)

    def recent(self) -> list[tuple[int, Chosen, Choice]]:
        """Those who are named with the message, newest first."""
        shown: dict[Chosen, int] = {}
        found: list[tuple[int, Chosen, Choice]] = []
        for user_id, choice in reversed(self._by_user.items()):
            for each in choice.reactions:
                shown[each] = shown.get(each, 0) + 1
                if shown[each] <= RECENT_SHOWN:
                    found.append((user_id, each, choice))
        return found

    def view(self, viewer_id: int, *, listed: bool) -> Any:
        """As a ``messageReactions``; ``None``: there are none.

        Args:
            viewer_id: Who sees them.
            listed: Whether he may see whose they are: everywhere but in channels.
        """
        counts: dict[Chosen, int] = {}
        for _, each in self.chosen():
            counts[each] = counts.get(each, 0) + 1
        mine = self.of(viewer_id)
        results: list[Any] = [
            types.ReactionCount(
                reaction_view(each), count, chosen_order=mine.index(each) if each in mine else None
            )
            for each, count in sorted(counts.items(), key=lambda item: -item[1])
        ]
        recent: list[Any] = [
            types.MessagePeerReaction(
                peer_id=types.PeerUser(user_id),
                date=choice.date,
                reaction=reaction_view(each),
                big=choice.big or None,
                my=user_id == viewer_id or None,
            )
            for user_id, each, choice in self.recent()
        ]
        if not listed:
            return types.MessageReactions(results)
        return types.MessageReactions(results, can_see_list=True, recent_reactions=recent or None)


def reaction_view(chosen: Chosen) -> Any:
    """A reaction as a TL object."""
    return types.ReactionEmoji(chosen) if isinstance(chosen, str) else types.ReactionCustomEmoji(chosen)


def chosen_of(reactions: Sequence[Any]) -> tuple[Chosen | None, ...]:
    """What TL objects name; ``None`` for what is neither an emoji nor a custom one."""
    return tuple(
        each.emoticon
        if isinstance(each, types.ReactionEmoji)
        else each.document_id
        if isinstance(each, types.ReactionCustomEmoji)
        else None
        for each in reactions
        if not isinstance(each, types.ReactionEmpty)
    )
