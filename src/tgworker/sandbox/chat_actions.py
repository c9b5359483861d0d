"""What is done to a group or channel itself: its title, its photo. Its members read of it in a message."""

from typing import Any

from telethon.tl import types

from tgworker.sandbox.accounts import Account, Line
from tgworker.sandbox.channel_post import publish
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.groups import Group
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.media import PhotoMedia
from tgworker.sandbox.membership import check_title
from tgworker.sandbox.post import deliver


def check_may_change(actor: Account, room: Group | Channel) -> None:
    """Make sure that an account may change a group or channel: any member, in a channel its creator.

    Raises:
        RequestRefused: It may not.
    """
    if isinstance(room, Group) and (room.migrated_to is not None or actor.id not in room.members):
        raise RequestRefused(400, "CHAT_ID_INVALID")
    if isinstance(room, Channel):
        if actor.id not in room.members:
            raise RequestRefused(400, "CHANNEL_PRIVATE")
        if not room.megagroup and actor.id != room.creator_id:
            raise RequestRefused(400, "CHAT_ADMIN_REQUIRED")


def edit_title(
    cloud: Cloud, actor: Account, room: Group | Channel, title: str, *, via: Line | None = None
) -> Letter:
    """Give a group or channel another title; returns the actor's copy of the message that says so.

    Raises:
        RequestRefused: He may not, or it is empty, or its title already.
    """
    check_may_change(actor, room)
    if check_title(title) == room.title:
        raise RequestRefused(400, "CHAT_NOT_MODIFIED")
    room.title = title
    return say(cloud, actor, room, types.MessageActionChatEditTitle(title), via=via)


def edit_photo(
    cloud: Cloud, actor: Account, room: Group | Channel, photo: PhotoMedia | None, *, via: Line | None = None
) -> Letter:
    """Give a group or channel another photo, or none; returns the actor's copy of the message that says so.

    Raises:
        RequestRefused: He may not, or there is none to be taken away.
    """
    check_may_change(actor, room)
    if photo is None and room.photo is None:
        raise RequestRefused(400, "CHAT_NOT_MODIFIED")
    room.photo = None if photo is None else photo.file
    action: Any = types.MessageActionChatDeletePhoto()
    if photo is not None:
        action = types.MessageActionChatEditPhoto(photo.view().photo)
    return say(cloud, actor, room, action, via=via)


def say(
    cloud: Cloud, actor: Account, room: Group | Channel, action: Any, *, via: Line | None = None
) -> Letter:
    """Put a service message into a group or channel; returns the actor's copy."""
    if isinstance(room, Channel):
        return publish(cloud, actor, room, "", action=action, via=via)
    return deliver(cloud, actor, room, "", action=action, via=via)
