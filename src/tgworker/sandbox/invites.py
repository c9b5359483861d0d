"""Making invitations and following them.

Source: https://core.telegram.org/api/invites
"""

import base64

from telethon.tl import types

from tgworker.sandbox.accounts import Account, Line
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.groups import Group
from tgworker.sandbox.invitation import LINK, Invitation
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.membership import add_to_group, join_channel
from tgworker.sandbox.peers import unmarked


def export_invite(cloud: Cloud, actor: Account, room: Group | Channel) -> Invitation:
    """Make a link to a group or channel.

    Raises:
        RequestRefused: The actor is not in it, or it is a channel of another's, or a supergroup now.
    """
    moved = isinstance(room, Group) and room.migrated_to is not None
    if moved or actor.id not in room.members:
        raise RequestRefused(400, "PEER_ID_INVALID")
    if isinstance(room, Channel) and not room.megagroup and actor.id != room.creator_id:
        raise RequestRefused(400, "CHAT_ADMIN_REQUIRED")
    secret = base64.urlsafe_b64encode(cloud.rng.randbytes(12)).decode()
    invitation = Invitation(secret, room.peer, actor.id, cloud.now())
    cloud.invitations[secret] = invitation
    return invitation


def find_invite(cloud: Cloud, account: Account, link: str) -> tuple[Invitation, Group | Channel]:
    """Where a link, or what stands in it, leads to.

    Raises:
        RequestRefused: Nowhere, or to where this account was banned from.
    """
    invitation = cloud.invitations.get(link.removeprefix(LINK))
    if invitation is None:
        raise RequestRefused(400, "INVITE_HASH_INVALID")
    kind, number = unmarked(invitation.peer)
    room = cloud.groups.get(number) if kind == "group" else cloud.channels.get(number)
    shut = account.id in room.banned if isinstance(room, Channel) else room.migrated_to is not None
    if shut:
        raise RequestRefused(400, "INVITE_HASH_EXPIRED")
    return invitation, room


def import_invite(
    cloud: Cloud, account: Account, link: str, *, via: Line | None = None
) -> tuple[Group | Channel, Letter | None]:
    """Follow a link.

    Returns:
        Where it led, and the account's copy of the message that says so: channels have none.

    Raises:
        RequestRefused: It leads nowhere, or the account is there already.
    """
    invitation, room = find_invite(cloud, account, link)
    if account.id in room.members:
        raise RequestRefused(400, "USER_ALREADY_PARTICIPANT")
    action = types.MessageActionChatJoinedByLink(invitation.admin_id)
    if isinstance(room, Channel):
        return room, join_channel(cloud, account, room, [account], action=action, via=via)
    return room, add_to_group(cloud, account, room, account, action=action, via=via)
