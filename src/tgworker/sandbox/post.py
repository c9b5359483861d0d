"""Messages between mailboxes, in private chats and basic groups: sending, editing, deleting, reading."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tgworker.sandbox.accounts import Account, Line
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.formatting import checked_entities, utf16_length, with_found
from tgworker.sandbox.forwards import Forward
from tgworker.sandbox.groups import Group
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.mailbox import Sent
from tgworker.sandbox.media import Media
from tgworker.sandbox.telling import tell, tell_message
from tgworker.sandbox.update_log import (
    DeletedMessages,
    EditedMessage,
    Entry,
    NewMessage,
    NumberedMessage,
    ReadInbox,
    ReadOutbox,
)


class Content(NamedTuple):
    """What a message says.

    Attributes:
        text: Its text.
        entities: The formatting of it.
    """

    text: str
    entities: tuple[Any, ...]


def checked_content(cloud: Cloud, text: str | None, entities: Sequence[Any] | None = None) -> Content:
    """A text that may be sent, with its formatting, and with what the server finds in it if it looks.

    Raises:
        RequestRefused: It is empty, or longer than `Behaviour.message_length_max` (in UTF-16 units), or its
            formatting does not fit.
    """
    if not text or not text.strip():
        raise RequestRefused(400, "MESSAGE_EMPTY")
    if utf16_length(text) > cloud.behaviour.message_length_max:
        raise RequestRefused(400, "MESSAGE_TOO_LONG")
    checked = checked_entities(text, entities)
    return Content(text, with_found(text, checked) if cloud.behaviour.finds_links else checked)


def checked_caption(
    cloud: Cloud, account: Account, text: str | None, entities: Sequence[Any] | None = None
) -> Content:
    """What may stand under a file: perhaps nothing.

    Raises:
        RequestRefused: It is too long for this account, or its formatting does not fit.
    """
    if not text or not text.strip():
        return Content("", ())
    behaviour = cloud.behaviour
    most = behaviour.caption_length_limit_default
    if account.premium:
        most = behaviour.caption_length_limit_premium
    if utf16_length(text) > most:
        raise RequestRefused(400, "MEDIA_CAPTION_TOO_LONG")
    checked = checked_entities(text, entities)
    return Content(text, with_found(text, checked) if behaviour.finds_links else checked)


def deliver(
    cloud: Cloud,
    sender: Account,
    to: Account | Group,
    text: str,
    *,
    entities: tuple[Any, ...] = (),
    action: Any = None,
    media: Media | None = None,
    group: int | None = None,
    forward: Forward | None = None,
    reply: Letter | None = None,
    silent: bool = False,
    random_id: int | None = None,
    via: Line | None = None,
) -> Letter:
    """Put a message into the mailboxes of all whom it concerns, and tell them.

    Args:
        cloud: The sandbox.
        sender: Who writes.
        to: To whom: another, himself for a note, or a group.
        text: What; it was checked.
        entities: Its formatting.
        action: What it says, if it is a service message.
        media: What it carries.
        group: The album that it stands in.
        forward: Where it comes from.
        reply: The message that it refers to, as the sender holds it.
        silent: Whether it comes without a sound.
        random_id: The sender's name for it; it must be new.
        via: The connection that it came from, which is answered instead of told.

    Returns:
        The sender's copy.
    """
    date = cloud.now()
    numbers: dict[int, int] = {}
    mine: Letter | None = None
    for account, peer_id in _holders(cloud, sender, to):
        letter = account.mailbox.add(
            peer_id,
            author_id=sender.id,
            date=date,
            text=text,
            entities=entities,
            action=action,
            media=media,
            group=group,
        )
        letter.copies = numbers
        numbers[account.id] = letter.id
        letter.forward, letter.silent = forward, silent
        letter.reply_to = None if reply is None else reply.copies.get(account.id)
        entry = account.mailbox.log.append(NewMessage(letter.id))
        letter.pts = entry.pts
        if mine is None:
            mine = letter
            if random_id is not None:
                account.mailbox.remember_sent(random_id, Sent(peer_id, letter.id, cloud.clock()))
                account.mailbox.log.append(NumberedMessage(letter.id, random_id), 0)
        tell_message(cloud, account, letter, entry, skip=via)
    cloud.counts.delivered += action is None
    assert mine is not None, "a letter has at least its sender's copy"
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
    """Change a message for all who hold it; returns the line in its owner's log."""
    date = cloud.now()
    for _, copy in copies(cloud, letter):
        copy.text, copy.entities, copy.edited = text, entities, date
    return note_edits(cloud, owner, letter, via=via)


def note_edits(cloud: Cloud, owner: Account, letter: Letter, *, via: Line | None = None) -> Entry:
    """Tell all who hold a message that it is another than before; returns the line in its owner's log."""
    mine: Entry | None = None
    for account, copy in copies(cloud, letter):
        entry = account.mailbox.log.append(EditedMessage(copy.id))
        tell(cloud, account, entry, copy.mentions(), skip=via)
        mine = entry if account is owner else mine
    assert mine is not None, "a letter has at least its owner's copy"
    return mine


def delete(
    cloud: Cloud, owner: Account, ids: Iterable[int], *, revoke: bool, via: Line | None = None
) -> Entry | None:
    """Delete messages from a mailbox, and from all others if ``revoke``.

    Returns:
        The line in the owner's log; ``None`` if none of them was there.
    """
    gone: dict[int, list[int]] = {owner.id: []}
    for message_id in ids:
        letter = owner.mailbox.remove(message_id)
        if letter is None:
            continue
        gone[owner.id].append(message_id)
        del letter.copies[owner.id]
        if not revoke:
            continue
        for holder_id, copy_id in letter.copies.items():
            if cloud.directory.get(holder_id).mailbox.remove(copy_id) is not None:
                gone.setdefault(holder_id, []).append(copy_id)
    mine: Entry | None = None
    for holder_id, removed in gone.items():
        if removed:
            account = cloud.directory.get(holder_id)
            entry = account.mailbox.log.append(DeletedMessages(tuple(removed)), len(removed))
            tell(cloud, account, entry, (), skip=via)
            mine = entry if account is owner else mine
    return mine


def read(
    cloud: Cloud, reader: Account, peer: Account | Group, max_id: int, *, via: Line | None = None
) -> Entry | None:
    """Mark what came into a chat as read up to ``max_id`` (0: all), and let those who wrote it know.

    Returns:
        The line in the reader's log; ``None`` if nothing was unread.
    """
    peer_id = peer.peer
    news = reader.mailbox.read(peer_id, max_id)
    if not news:
        return None
    chat = reader.mailbox.chats[peer_id]
    entry = reader.mailbox.log.append(ReadInbox(peer_id, chat.read_inbox_max_id, len(chat.unread)))
    tell(cloud, reader, entry, [peer_id], skip=via)
    newest_of = {reader.mailbox.letters[each].author_id: reader.mailbox.letters[each] for each in news}
    for author_id, letter in newest_of.items():
        author = cloud.directory.get(author_id)
        seen_as = reader.id if isinstance(peer, Account) else peer_id
        theirs, their_id = author.mailbox.chats.get(seen_as), letter.copies.get(author_id, 0)
        if theirs is not None and their_id > theirs.read_outbox_max_id:
            theirs.read_outbox_max_id = their_id
            if author.bot is not None:
                continue  # bots are not told who reads what they write
            tell(cloud, author, author.mailbox.log.append(ReadOutbox(seen_as, their_id)), [seen_as])
    return entry


def _holders(cloud: Cloud, sender: Account, to: Account | Group) -> list[tuple[Account, int]]:
    """Who gets a copy, the sender first, and under which peer."""
    if isinstance(to, Group):
        others = [cloud.directory.get(each) for each in to.members if each != sender.id]
        return [(each, to.peer) for each in (sender, *others)]
    return [(sender, to.id)] if to is sender else [(sender, to.id), (to, sender.id)]


def copies(cloud: Cloud, letter: Letter) -> list[tuple[Account, Letter]]:
    """Who holds a message, each with his copy of it."""
    holders = [(cloud.directory.get(holder_id), copy_id) for holder_id, copy_id in letter.copies.items()]
    return [
        (account, account.mailbox.letters[copy_id])
        for account, copy_id in holders
        if copy_id in account.mailbox.letters
    ]
