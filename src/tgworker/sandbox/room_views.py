"""Groups and channels as TL objects, and whom a message is about, as an account sees them."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from telethon.tl import types

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.files import StoredFile
from tgworker.sandbox.groups import Group
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.peers import unmarked
from tgworker.sandbox.views import message_view, min_user_view, user_view


class People(NamedTuple):
    """Who is mentioned.

    Attributes:
        users: Users.
        chats: Groups and channels.
    """

    users: list[Any]
    chats: list[Any]


def people_view(cloud: Cloud, viewer: Account, peers: Iterable[int], *, brief: bool = False) -> People:
    """Some peers as an account sees them, each once.

    Args:
        cloud: The sandbox.
        viewer: Who sees them.
        peers: They, as marked ids.
        brief: Whether strangers are shown as ``min``, with nothing by which to address them.
    """
    users: list[Any] = []
    chats: list[Any] = []
    for peer in sorted(set(peers)):
        if peer > 0:  # nearly all are: they are told apart without taking the id to pieces
            account = cloud.directory.get(peer)
            look = min_user_view if brief and _is_strange(cloud, viewer, account) else user_view
            users.append(look(cloud.directory, viewer, account))
            continue
        kind, number = unmarked(peer)
        if kind == "group":
            chats.append(group_view(cloud, viewer, cloud.groups.get(number)))
        else:
            chats.append(channel_view(cloud, viewer, cloud.channels.get(number)))
    return People(users, chats)


def _is_strange(cloud: Cloud, viewer: Account, account: Account) -> bool:
    """Whether an account knows another neither as a contact nor from a private chat."""
    return not (
        viewer is account
        or account.id in viewer.mailbox.chats
        or cloud.directory.contacts.has(viewer.id, account.id)
    )


def group_view(cloud: Cloud, viewer: Account, group: Group) -> Any:
    """A basic group; whoever holds nothing of it learns its title and no more."""
    inside = viewer.id in group.members
    if not inside and group.peer not in viewer.mailbox.chats:
        return types.ChatForbidden(group.id, group.title)
    migrated_to: Any = None
    if group.migrated_to is not None:
        migrated_to = input_channel(cloud, viewer, cloud.channels.get(group.migrated_to))
    return types.Chat(
        id=group.id,
        title=group.title,
        photo=_photo(group.photo),
        participants_count=len(group.members),
        date=group.made,
        version=group.version,
        creator=viewer.id == group.creator_id or None,
        left=not inside or None,
        noforwards=group.noforwards or None,
        deactivated=group.migrated_to is not None or None,
        migrated_to=migrated_to,
    )


def channel_view(cloud: Cloud, viewer: Account, channel: Channel) -> Any:
    """A channel or supergroup; whoever may not see it learns its title and no more."""
    access_hash = cloud.directory.access_hash(viewer, channel.peer)
    kind: dict[str, Any] = {
        "broadcast": not channel.megagroup or None,
        "megagroup": channel.megagroup or None,
    }
    if not sees(viewer, channel):
        return types.ChannelForbidden(channel.id, access_hash, channel.title, **kind)
    return types.Channel(
        id=channel.id,
        title=channel.title,
        photo=_photo(channel.photo),
        date=channel.made,
        creator=viewer.id == channel.creator_id or None,
        left=viewer.id not in channel.members or None,
        noforwards=channel.noforwards or None,
        access_hash=access_hash,
        username=channel.username or None,
        participants_count=len(channel.members),
        slowmode_enabled=bool(channel.slowmode_s) or None,
        **kind,
    )


def _photo(photo: StoredFile | None) -> Any:
    return types.ChatPhotoEmpty() if photo is None else types.ChatPhoto(photo.id, photo.dc_id)


def sees(viewer: Account, channel: Channel) -> bool:
    """Whether an account may read a channel: as a member, or because it has a name."""
    return viewer.id in channel.members or (bool(channel.username) and viewer.id not in channel.banned)


def input_channel(cloud: Cloud, viewer: Account, channel: Channel) -> Any:
    """What an account must say to address a channel."""
    return types.InputChannel(channel.id, cloud.directory.access_hash(viewer, channel.peer))


def post_view(viewer: Account, channel: Channel, letter: Letter) -> Any:
    """A message of a channel."""
    return message_view(viewer, letter, post=not channel.megagroup)
