"""Who is in which group or channel, how they come about, and how a group becomes a supergroup."""

import math
from collections.abc import Iterable
from typing import Any

from telethon.tl import types

from tgworker.sandbox.accounts import Account, Line
from tgworker.sandbox.channel_post import publish
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.groups import MEMBERS_MAX, Group
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.post import deliver
from tgworker.sandbox.telling import push, updates_view


def create_group(
    cloud: Cloud, creator: Account, members: Iterable[Account], title: str, *, via: Line | None = None
) -> tuple[Group, Letter]:
    """Make a basic group; returns it and the creator's copy of the message that says so.

    Raises:
        RequestRefused: It has no title, or nobody but its creator is in it, or too many are.
    """
    others = [each for each in dict.fromkeys(members) if each is not creator]
    if not others:
        raise RequestRefused(400, "USERS_TOO_FEW")
    if len(others) >= MEMBERS_MAX:
        raise RequestRefused(400, "USERS_TOO_MUCH")
    group = cloud.groups.add(check_title(title), creator.id, cloud.now())
    group.members.update(dict.fromkeys((each.id for each in others), cloud.now()))
    action = types.MessageActionChatCreate(group.title, [each.id for each in (creator, *others)])
    return group, deliver(cloud, creator, group, "", action=action, via=via)


def add_to_group(
    cloud: Cloud,
    actor: Account,
    group: Group,
    newcomer: Account,
    *,
    action: Any = None,
    via: Line | None = None,
) -> Letter:
    """Add a user to a basic group; returns the actor's copy of the message that says so, in an ``action``.

    Raises:
        RequestRefused: He is in it already, or the group is full.
    """
    if newcomer.id in group.members:
        raise RequestRefused(400, "USER_ALREADY_PARTICIPANT")
    if len(group.members) >= MEMBERS_MAX:
        raise RequestRefused(400, "USERS_TOO_MUCH")
    group.members[newcomer.id] = cloud.now()
    group.version += 1
    action = action or types.MessageActionChatAddUser([newcomer.id])
    return deliver(cloud, actor, group, "", action=action, via=via)


def remove_from_group(
    cloud: Cloud, actor: Account, group: Group, member: Account, *, via: Line | None = None
) -> Letter:
    """Take a user out of a basic group, himself or another; returns the actor's copy of what he hears last.

    Raises:
        RequestRefused: He is not in it.
    """
    if member.id not in group.members:
        raise RequestRefused(400, "USER_NOT_PARTICIPANT")
    action = types.MessageActionChatDeleteUser(member.id)
    letter = deliver(cloud, actor, group, "", action=action, via=via)
    del group.members[member.id]
    group.version += 1
    return letter


def create_channel(
    cloud: Cloud,
    creator: Account,
    title: str,
    *,
    megagroup: bool,
    username: str = "",
    via: Line | None = None,
) -> tuple[Channel, Letter]:
    """Make a channel or supergroup with its creator alone in it; returns it and its first message.

    Raises:
        RequestRefused: It has no title.
    """
    title = check_title(title)
    channel = cloud.channels.add(title, creator.id, cloud.now(), megagroup=megagroup, username=username)
    action = types.MessageActionChannelCreate(title)
    return channel, publish(cloud, creator, channel, "", action=action, via=via)


def join_channel(
    cloud: Cloud,
    actor: Account,
    channel: Channel,
    newcomers: Iterable[Account],
    *,
    action: Any = None,
    via: Line | None = None,
) -> Letter | None:
    """Make users members of a channel; supergroups say so in a message, in an ``action``.

    Returns:
        That message, if there is one.
    """
    came = [each for each in newcomers if cloud.channels.join(channel, each.id, cloud.now())]
    for account in came:
        channel.banned.discard(account.id)
        tell_of_channel(cloud, account, channel, skip=via)
    if not came or not channel.megagroup:
        return None
    action = action or types.MessageActionChatAddUser([each.id for each in came])
    return publish(cloud, actor, channel, "", action=action, via=via)


def leave_channel(
    cloud: Cloud, actor: Account, channel: Channel, member: Account, *, via: Line | None = None
) -> Letter | None:
    """Take a user out of a channel, himself or another; supergroups say so in a message.

    Returns:
        That message, if there is one.

    Raises:
        RequestRefused: He is not in it.
    """
    if not cloud.channels.leave(channel, member.id):
        raise RequestRefused(400, "USER_NOT_PARTICIPANT")
    tell_of_channel(cloud, member, channel, skip=via)
    if not channel.megagroup:
        return None
    return publish(cloud, actor, channel, "", action=types.MessageActionChatDeleteUser(member.id), via=via)


def ban(
    cloud: Cloud, actor: Account, channel: Channel, user: Account, *, via: Line | None = None
) -> Letter | None:
    """Take a user out of a channel if he is in it, and let him not in again by himself.

    Returns:
        The message that says that he was taken out, if there is one.
    """
    channel.banned.add(user.id)
    if user.id not in channel.members:
        return None
    return leave_channel(cloud, actor, channel, user, via=via)


def unban(channel: Channel, user: Account) -> None:
    """Let a user into a channel again."""
    channel.banned.discard(user.id)


def migrate_group(
    cloud: Cloud, actor: Account, group: Group, *, via: Line | None = None
) -> tuple[Channel, Letter, Letter]:
    """Make a basic group a supergroup: another id, another id space for its messages.

    Returns:
        The supergroup, the actor's copy of the group's last message, and the supergroup's first.

    Raises:
        RequestRefused: It became one before, or somebody else made it.

    Source: https://core.telegram.org/api/channel#migration
    """
    if group.migrated_to is not None:
        raise RequestRefused(400, "CHAT_ID_INVALID")
    if group.creator_id != actor.id:
        raise RequestRefused(400, "CHAT_ADMIN_REQUIRED")
    channel = cloud.channels.add(group.title, actor.id, cloud.now(), megagroup=True)
    channel.migrated_from = group.id
    for member_id in group.members:
        cloud.channels.join(channel, member_id, cloud.now())
    last = deliver(cloud, actor, group, "", action=types.MessageActionChatMigrateTo(channel.id), via=via)
    group.migrated_to = channel.id
    for member_id in group.members:
        tell_of_channel(cloud, cloud.directory.get(member_id), channel, skip=via)
    came_from = types.MessageActionChannelMigrateFrom(group.title, group.id)
    first = publish(cloud, actor, channel, "", action=came_from, via=via)
    return channel, last, first


def slow_down(cloud: Cloud, channel: Channel, seconds: int, *, via: Line | None = None) -> None:
    """Let members wait after each of their messages; 0: not at all."""
    channel.slowmode_s = seconds
    for member_id, member in channel.members.items():
        member.next_post_at_s = -math.inf
        tell_of_channel(cloud, cloud.directory.get(member_id), channel, skip=via)


def tell_of_channel(cloud: Cloud, account: Account, channel: Channel, *, skip: Line | None = None) -> None:
    """Push that a channel is another to an account than before: it joined, or left."""
    update: Any = types.UpdateChannel(channel.id)
    push(account, lambda: updates_view(cloud, account, [update], [channel.peer]), skip=skip)


def check_title(title: str) -> str:
    """A title that may be given. Raises RequestRefused if it is empty."""
    if not title.strip():
        raise RequestRefused(400, "CHAT_TITLE_EMPTY")
    return title
