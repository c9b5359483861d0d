"""Pinning messages, and who hears of it.

Source: https://core.telegram.org/api/pin
"""

from telethon.tl import types

from tgworker.sandbox.accounts import Account, Line
from tgworker.sandbox.addressing import history_of
from tgworker.sandbox.channel_post import note, publish, tell_members
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.post import copies, deliver
from tgworker.sandbox.room import Room
from tgworker.sandbox.telling import tell
from tgworker.sandbox.update_log import Entry, PinnedMessages


def set_pinned(
    cloud: Cloud,
    user: Account,
    room: Room,
    letters: list[Letter],
    *,
    pinned: bool,
    oneside: bool = False,
    via: Line | None = None,
) -> Entry | None:
    """Pin messages or take their pins off, without a word about it.

    Args:
        cloud: The sandbox.
        user: Who does it.
        room: The chat.
        letters: The messages, as he holds them.
        pinned: Whether they are to be pinned.
        oneside: Whether for himself alone; in a private chat.
        via: The connection that it came from, which is answered instead of told.

    Returns:
        The line in his log, or in the channel's; ``None``: all of them were so before.
    """
    changed = [each for each in letters if each.pinned is not pinned]
    if not changed:
        return None
    if isinstance(room, Channel):
        for each in changed:
            each.pinned = pinned
        entry = note(
            cloud, room, PinnedMessages(room.peer, tuple(each.id for each in changed), pinned), len(changed)
        )
        tell_members(cloud, room, entry, [room.peer], skip=via)
        return entry
    alone = oneside and isinstance(room, Account)
    held: dict[Account, list[Letter]] = {user: []}
    for letter in changed:
        for account, copy in [(user, letter)] if alone else copies(cloud, letter):
            copy.pinned = pinned
            held.setdefault(account, []).append(copy)
    mine: Entry | None = None
    for account, mail in held.items():
        peer_id = mail[0].peer_id
        event = PinnedMessages(peer_id, tuple(each.id for each in mail), pinned)
        entry = account.mailbox.log.append(event, len(mail))
        tell(cloud, account, entry, [peer_id], skip=via)
        mine = entry if account is user else mine
    return mine


def announce_pin(
    cloud: Cloud, user: Account, room: Room, letter: Letter, *, silent: bool = False, via: Line | None = None
) -> Letter:
    """Say in a chat that a message was pinned; returns the user's copy of what is said."""
    action = types.MessageActionPinMessage()
    if isinstance(room, Channel):
        return publish(cloud, user, room, "", action=action, reply=letter, silent=silent, via=via)
    return deliver(cloud, user, room, "", action=action, reply=letter, silent=silent, via=via)


def is_announced(user: Account, room: Room, *, oneside: bool) -> bool:
    """Whether a pin is spoken of: not among one's notes, and not if it is for oneself alone."""
    return room is not user and not (oneside and isinstance(room, Account))


def pinned_letters(user: Account, room: Room) -> list[Letter]:
    """The pinned messages of a chat as an account holds them, oldest first."""
    history = history_of(user, room)
    return [history.letters[each] for each in history.ids if history.letters[each].pinned]


def pinned_msg_id(user: Account, room: Room) -> int | None:
    """The newest of them."""
    pinned = pinned_letters(user, room)
    return pinned[-1].id if pinned else None
