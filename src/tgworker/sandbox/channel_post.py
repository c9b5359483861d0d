"""Messages in channels and supergroups: one copy and one log for all, told to every member."""

from bisect import bisect_right
from collections.abc import Iterable
from functools import partial
from typing import Any

from telethon.tl import types

from tgworker.sandbox.accounts import Account, Line
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.forwards import Forward
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.mailbox import Sent
from tgworker.sandbox.media import Media
from tgworker.sandbox.telling import push, updates_view
from tgworker.sandbox.update_log import (
    DeletedMessages,
    EditedMessage,
    Entry,
    NewMessage,
    NumberedMessage,
    PinnedMessages,
)
from tgworker.sandbox.update_views import channel_update_view


def publish(
    cloud: Cloud,
    author: Account,
    channel: Channel,
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
    """Put a message into a channel and tell its members.

    Args:
        cloud: The sandbox.
        author: Who writes.
        channel: Where.
        text: What; it was checked.
        entities: Its formatting.
        action: What it says, if it is a service message.
        media: What it carries.
        group: The album that it stands in.
        forward: Where it comes from.
        reply: The message that it refers to.
        silent: Whether it comes without a sound.
        random_id: The author's name for it; it must be new.
        via: The connection that it came from, which is answered instead of told.
    """
    letter = channel.add(
        author.id, date=cloud.now(), text=text, entities=entities, action=action, media=media, group=group
    )
    letter.forward, letter.silent = forward, silent
    letter.reply_to = None if reply is None else reply.id
    entry = note(cloud, channel, NewMessage(letter.id))
    letter.pts = entry.pts
    if random_id is not None:
        author.mailbox.remember_sent(random_id, Sent(channel.peer, letter.id, cloud.clock()))
        note(cloud, channel, NumberedMessage(letter.id, random_id), 0)
    tell_members(cloud, channel, entry, letter.mentions(), skip=via)
    cloud.counts.delivered += action is None
    return letter


def edit_post(
    cloud: Cloud,
    channel: Channel,
    letter: Letter,
    text: str,
    entities: tuple[Any, ...],
    *,
    via: Line | None = None,
) -> Entry:
    """Change a message; returns the line in the channel's log."""
    letter.text, letter.entities, letter.edited = text, entities, cloud.now()
    return note_edit(cloud, channel, letter, via=via)


def note_edit(cloud: Cloud, channel: Channel, letter: Letter, *, via: Line | None = None) -> Entry:
    """Tell the members that a message is another than before; returns the line in the channel's log."""
    entry = note(cloud, channel, EditedMessage(letter.id))
    tell_members(cloud, channel, entry, letter.mentions(), skip=via)
    return entry


def delete_posts(
    cloud: Cloud, channel: Channel, ids: Iterable[int], *, via: Line | None = None
) -> Entry | None:
    """Delete messages for everybody.

    Returns:
        The line in the channel's log; ``None`` if none of them was there.
    """
    gone = [each for each in ids if channel.remove(each) is not None]
    if not gone:
        return None
    entry = note(cloud, channel, DeletedMessages(tuple(gone)), len(gone))
    tell_members(cloud, channel, entry, [channel.peer], skip=via)
    return entry


def read_channel(
    cloud: Cloud, reader: Account, channel: Channel, max_id: int, *, via: Line | None = None
) -> bool:
    """Note how far a member has read; his other devices and those who wrote it get to know.

    Returns:
        Whether that is news.
    """
    member = channel.members[reader.id]
    before, after = member.read_inbox_max_id, min(max_id or channel.last_id, channel.last_id)
    if after <= before:
        return False
    member.read_inbox_max_id = after
    inbox = types.UpdateReadChannelInbox(channel.id, after, channel.unread(reader.id), channel.log.pts)
    push(reader, lambda: updates_view(cloud, reader, [inbox], [channel.peer]), skip=via)
    news = channel.ids[bisect_right(channel.ids, before) : bisect_right(channel.ids, after)]
    newest_of = {channel.letters[each].author_id: each for each in news}
    for author_id, newest in newest_of.items():
        writer = channel.members.get(author_id)
        if channel.megagroup and writer is not None and author_id != reader.id:
            _seen(cloud, cloud.directory.get(author_id), channel, newest)
    return True


def note(
    cloud: Cloud,
    channel: Channel,
    event: NewMessage | NumberedMessage | EditedMessage | DeletedMessages | PinnedMessages,
    pts_count: int = 1,
) -> Entry:
    """Put a line into a channel's log."""
    channel.changed = cloud.now()
    return channel.log.append(event, pts_count)


def tell_members(
    cloud: Cloud, channel: Channel, entry: Entry, about: Iterable[int], *, skip: Line | None = None
) -> None:
    """Push a line of a channel's log to its members, in the form that the sandbox uses."""
    for member_id in channel.members:
        account = cloud.directory.get(member_id)
        push(account, partial(_pushed, cloud, account, channel, entry, about), skip=skip)


def _pushed(cloud: Cloud, account: Account, channel: Channel, entry: Entry, about: Iterable[int]) -> Any:
    if cloud.behaviour.channel_pushes == "too_long":
        update: Any = types.UpdateChannelTooLong(channel.id, entry.pts)
        return updates_view(cloud, account, [update], [channel.peer])
    return updates_view(cloud, account, [channel_update_view(account, channel, entry)], about, brief=True)


def _seen(cloud: Cloud, author: Account, channel: Channel, newest: int) -> None:
    writer = channel.members[author.id]
    if newest > writer.read_outbox_max_id:
        writer.read_outbox_max_id = newest
        outbox = types.UpdateReadChannelOutbox(channel.id, newest)
        push(author, lambda: updates_view(cloud, author, [outbox], [channel.peer]))
