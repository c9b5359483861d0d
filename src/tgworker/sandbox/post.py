"""Messages between mailboxes: sending, editing, deleting, reading, typing, and telling everyone concerned."""

from collections.abc import Callable, Iterable
from typing import Any

from telethon.tl import types

from tgworker.sandbox.accounts import Account, Line
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.mailbox import Letter
from tgworker.sandbox.update_log import (
    DeletedMessages,
    EditedMessage,
    Entry,
    NewMessage,
    NumberedMessage,
    ReadInbox,
    ReadOutbox,
)
from tgworker.sandbox.views import short_message_view, update_view, user_views

MAX_TEXT = 4096
"""Characters in one message (https://core.telegram.org/api/config, ``message_length_max``)."""


def check_text(text: str | None) -> str:
    """A text that may be sent.

    Raises:
        RequestRefused: It is empty, or longer than `MAX_TEXT` (counted as Telegram does, in UTF-16 units).
    """
    if not text or not text.strip():
        raise RequestRefused(400, "MESSAGE_EMPTY")
    if len(text) * 2 > MAX_TEXT and len(text.encode("utf-16-le")) // 2 > MAX_TEXT:
        raise RequestRefused(400, "MESSAGE_TOO_LONG")
    return text


def deliver(
    cloud: Cloud,
    sender: Account,
    recipient: Account,
    text: str,
    *,
    entities: tuple[Any, ...] = (),
    random_id: int | None = None,
    via: Line | None = None,
) -> Letter:
    """Put a message into both mailboxes and tell both sides.

    Args:
        cloud: The sandbox.
        sender: Who writes.
        recipient: To whom; the sender himself for a note.
        text: What; it was checked.
        entities: Its formatting.
        random_id: The sender's name for it; it must be new.
        via: The connection that it came from, which is answered instead of told.

    Returns:
        The sender's side.
    """
    date = cloud.now()
    mine = sender.mailbox.add(recipient.id, outgoing=True, date=date, text=text, entities=entities)
    if random_id is not None:
        sender.mailbox.remember_sent(random_id, mine.id)
    entry = sender.mailbox.log.append(NewMessage(mine.id))
    mine.pts = entry.pts
    if random_id is not None:
        sender.mailbox.log.append(NumberedMessage(mine.id, random_id), 0)
    tell_message(cloud, sender, mine, entry, skip=via)
    if recipient is not sender:
        theirs = recipient.mailbox.add(sender.id, outgoing=False, date=date, text=text, entities=entities)
        mine.twin_id, theirs.twin_id = theirs.id, mine.id
        entry = recipient.mailbox.log.append(NewMessage(theirs.id))
        theirs.pts = entry.pts
        tell_message(cloud, recipient, theirs, entry)
    cloud.counts.delivered += 1
    return mine


def edit(
    cloud: Cloud,
    owner: Account,
    letter: Letter,
    text: str,
    entities: tuple[Any, ...],
    *,
    via: Line | None = None,
) -> Entry:
    """Change a message on both sides; returns the line in its owner's log."""
    date = cloud.now()
    mine: Entry | None = None
    for account, copy in _sides(cloud, owner, letter):
        copy.text, copy.entities, copy.edited = text, entities, date
        entry = account.mailbox.log.append(EditedMessage(copy.id))
        tell(cloud, account, entry, [copy.peer_id], skip=via)
        mine = mine or entry
    assert mine is not None, "a letter has at least its owner's side"
    return mine


def delete(
    cloud: Cloud, owner: Account, ids: Iterable[int], *, revoke: bool, via: Line | None = None
) -> Entry | None:
    """Delete messages, on both sides if ``revoke``.

    Returns:
        The line in the owner's log; ``None`` if none of them was there.
    """
    gone: list[int] = []
    twins: dict[int, list[int]] = {}
    for message_id in ids:
        letter = owner.mailbox.remove(message_id)
        if letter is None:
            continue
        gone.append(message_id)
        if revoke and letter.twin_id is not None:
            twins.setdefault(letter.peer_id, []).append(letter.twin_id)
    mine = _note_deleted(cloud, owner, gone, via)
    for peer_id, theirs in twins.items():
        peer = cloud.directory.get(peer_id)
        _note_deleted(cloud, peer, [each for each in theirs if peer.mailbox.remove(each) is not None], None)
    return mine


def read(
    cloud: Cloud, reader: Account, peer: Account, max_id: int, *, via: Line | None = None
) -> Entry | None:
    """Mark what came from ``peer`` as read up to ``max_id`` (0: all), and let him know.

    Returns:
        The line in the reader's log; ``None`` if nothing was unread.
    """
    newest = reader.mailbox.read(peer.id, max_id)
    if not newest:
        return None
    chat = reader.mailbox.chats[peer.id]
    entry = reader.mailbox.log.append(ReadInbox(peer.id, chat.read_inbox_max_id, len(chat.unread)))
    tell(cloud, reader, entry, [peer.id], skip=via)
    letter = reader.mailbox.letters[newest]
    theirs = peer.mailbox.chats.get(reader.id)
    if theirs is not None and letter.twin_id is not None and letter.twin_id > theirs.read_outbox_max_id:
        theirs.read_outbox_max_id = letter.twin_id
        tell(cloud, peer, peer.mailbox.log.append(ReadOutbox(reader.id, letter.twin_id)), [reader.id])
    return entry


def tell_message(
    cloud: Cloud, account: Account, letter: Letter, entry: Entry, *, skip: Line | None = None
) -> None:
    """Push a new message, in the form that the sandbox uses."""
    if cloud.behaviour.pushes == "short":
        push(account, lambda: short_message_view(letter, entry), skip=skip)
    else:
        tell(cloud, account, entry, [letter.peer_id], skip=skip)


def tell(
    cloud: Cloud, account: Account, entry: Entry, about: Iterable[int], *, skip: Line | None = None
) -> None:
    """Push a line of an account's log to its connections.

    Args:
        cloud: The sandbox.
        account: Whose line it is.
        entry: The line.
        about: The users whom it mentions.
        skip: A connection that gets to know otherwise.
    """
    push(account, lambda: updates_view(cloud, account, [update_view(account, entry)], about), skip=skip)


def updates_view(cloud: Cloud, account: Account, updates: list[Any], about: Iterable[int]) -> Any:
    """Updates with the users that they mention, as ``account`` sees them."""
    users = user_views(cloud.directory, account, [account.id, *about])
    return types.Updates(updates, users, [], cloud.now(), 0)


def push(account: Account, view: Callable[[], Any], *, skip: Line | None = None) -> None:
    """Send an update to an account's connections; ``view`` makes it, and is only called if there are any."""
    lines = [line for line in account.lines if line is not skip]
    if lines:
        body = bytes(view())
        for line in lines:
            line.push(body)


def _sides(cloud: Cloud, owner: Account, letter: Letter) -> list[tuple[Account, Letter]]:
    sides = [(owner, letter)]
    if letter.twin_id is not None:
        peer = cloud.directory.get(letter.peer_id)
        twin = peer.mailbox.letters.get(letter.twin_id)
        if twin is not None:
            sides.append((peer, twin))
    return sides


def _note_deleted(cloud: Cloud, account: Account, ids: list[int], via: Line | None) -> Entry | None:
    if not ids:
        return None
    entry = account.mailbox.log.append(DeletedMessages(tuple(ids)), len(ids))
    tell(cloud, account, entry, (), skip=via)
    return entry
