"""Reacting to a message, and who hears of it.

An ``updateMessageReactions`` has no ``pts``: whoever misses it finds the reactions with the message.

Source: https://core.telegram.org/api/reactions
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from telethon.tl import types

from tgworker.sandbox.accounts import Account, Line
from tgworker.sandbox.channel_post import note_edit
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.letters import History, Letter
from tgworker.sandbox.peers import peer_view
from tgworker.sandbox.post import copies, note_edits
from tgworker.sandbox.reactions import EMOJI, Choice, Chosen, Reactions
from tgworker.sandbox.room import Room
from tgworker.sandbox.telling import push, updates_view
from tgworker.sandbox.update_views import channel_update_view, update_view

MOST = 1
MOST_PREMIUM = 3
"""Reactions of one user to one message: ``reactions_user_max_default`` and ``…_premium``."""

MOST_KINDS = 11
"""Different reactions to one message: ``reactions_uniq_max``."""


def check_reactions(account: Account, chosen: Sequence[Chosen | None]) -> tuple[Chosen, ...]:
    """What an account may choose.

    Raises:
        RequestRefused: One of them is none, or they are too many for this account.
    """
    checked: list[Chosen] = []
    for each in chosen:
        if each is None or (isinstance(each, str) and each not in EMOJI):
            raise RequestRefused(400, "REACTION_INVALID")
        if isinstance(each, int) and not account.premium:
            raise RequestRefused(403, "PREMIUM_ACCOUNT_REQUIRED")
        checked.append(each)
    if len(checked) > (MOST_PREMIUM if account.premium else MOST):
        raise RequestRefused(400, "REACTIONS_TOO_MANY")
    return tuple(dict.fromkeys(checked))


def check_may_react(account: Account, room: Room) -> None:
    """Make sure that an account may react in a chat. Raises RequestRefused."""
    if not isinstance(room, Account) and account.id not in room.members:
        raise RequestRefused(403, "CHAT_WRITE_FORBIDDEN")


def react(
    cloud: Cloud,
    user: Account,
    room: Room,
    letter: Letter,
    chosen: tuple[Chosen, ...],
    *,
    big: bool = False,
    via: Line | None = None,
) -> Any:
    """Let a user's reactions to a message be these, or none, and tell those who hold it.

    Args:
        cloud: The sandbox.
        user: Who.
        room: The chat.
        letter: The message, as he holds it.
        chosen: What he may choose, by `check_reactions`.
        big: Whether it is shown large.
        via: The connection that it came from, which is answered instead of told.

    Returns:
        What is to be answered: ``updates``.

    Raises:
        RequestRefused: They are these already, or the message has too many kinds of them.
    """
    ledger = letter.reactions or Reactions()
    kinds = {each for other, each in ledger.chosen() if other != user.id} | set(chosen)
    if len(kinds) > MOST_KINDS:
        raise RequestRefused(400, "REACTIONS_TOO_MANY")
    if not ledger.choose(user.id, Choice(chosen, cloud.now(), big)):
        raise RequestRefused(400, "MESSAGE_NOT_MODIFIED")
    left = ledger if ledger.chosen() else None
    if isinstance(room, Channel):
        letter.reactions = left
        hears = room.members if room.megagroup else {user.id, letter.author_id} & set(room.members)
        held = [(cloud.directory.get(each), letter) for each in hears]
    else:
        held = copies(cloud, letter)
        for _, copy in held:
            copy.reactions = left
    if not isinstance(room, Channel) or room.megagroup:
        _note_unseen(user, held, chosen)
    if cloud.behaviour.reactions == "edit":
        return _told_as_edit(cloud, room, user, letter, via)
    for account, copy in held:
        if account.bot is not None:
            continue  # bots are told in another way, and seldom
        push(account, partial(reactions_update, cloud, account, room, [copy]), skip=via)
    return reactions_update(cloud, user, room, [letter])


def _note_unseen(user: Account, held: Sequence[tuple[Account, Letter]], chosen: tuple[Chosen, ...]) -> None:
    """Let the author of a message have a reaction that he has not seen, or no more."""
    for account, copy in held:
        if account is user or account.id != copy.author_id:
            continue
        ids = account.mailbox.unseen_reactions.setdefault(copy.peer_id, set())
        if chosen:
            ids.add(copy.id)
        elif all(other == account.id for other, _ in (copy.reactions or Reactions()).chosen()):
            ids.discard(copy.id)


def unseen(user: Account, peer: int, letters: Mapping[int, Letter]) -> History:
    """A user's messages in a chat with reactions that he has not seen.

    Args:
        user: Whose.
        peer: The chat, by its marked id.
        letters: What the chat holds, and maybe others.
    """
    ids = user.mailbox.unseen_reactions.get(peer, ())
    return History(sorted(each for each in ids if each in letters), letters)


def reactions_update(cloud: Cloud, viewer: Account, room: Room, letters: Sequence[Letter]) -> Any:
    """The reactions to some messages of a chat as ``updates``."""
    listed = not isinstance(room, Channel) or room.megagroup
    updates: list[Any] = [
        types.UpdateMessageReactions(
            peer_view(each.peer_id), each.id, (each.reactions or Reactions()).view(viewer.id, listed=listed)
        )
        for each in letters
    ]
    about = [peer for each in letters for peer in each.mentions()]
    return updates_view(cloud, viewer, updates, about, brief=True)


def _told_as_edit(cloud: Cloud, room: Room, user: Account, letter: Letter, via: Line | None) -> Any:
    """Telegram's other way: the message is pushed as edited, but not to be shown so (``edit_hide``)."""
    if isinstance(room, Channel):
        letter.touched = cloud.now()
        update = channel_update_view(user, room, note_edit(cloud, room, letter, via=via))
    else:
        for _, copy in copies(cloud, letter):
            copy.touched = cloud.now()
        update = update_view(user, note_edits(cloud, user, letter, via=via))
    return updates_view(cloud, user, [update], letter.mentions(), brief=True)
