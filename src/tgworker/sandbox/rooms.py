"""A sandbox's groups and channels, as whoever opened it makes and changes them."""

from collections.abc import Iterable
from typing import Literal

from tgworker.sandbox import chat_actions, invites, membership
from tgworker.sandbox.accounts import Account
from tgworker.sandbox.allowing import allowed
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.contents import HeldContent
from tgworker.sandbox.errors import SandboxError, UnknownPeer
from tgworker.sandbox.groups import Group
from tgworker.sandbox.media import PhotoMedia, photo_size
from tgworker.sandbox.peers import channel_peer, unmarked
from tgworker.sandbox.room import Room
from tgworker.sandbox.values import SandboxRoom


class Rooms:
    """Groups and channels. Peers are marked ids, as client libraries print them.

    Nothing here waits. Every method raises `UnknownUser` or `UnknownPeer` for who is not there, and
    `SandboxError` for what Telegram would refuse.

    Args:
        cloud: What the sandbox remembers.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def listing(self) -> tuple[SandboxRoom, ...]:
        """All of them, groups first, in the order in which they were made."""
        return tuple(_shown(each) for each in (*self._cloud.groups, *self._cloud.channels))

    def get(self, peer: int) -> SandboxRoom:
        """One group or channel."""
        return _shown(self._room(peer))

    def find(self, peer: int) -> Room:
        """The user, group or channel with a marked id, as the sandbox's inside has it."""
        kind, number = unmarked(peer)
        if kind == "user":
            return self._cloud.directory.get(number)
        return self._cloud.groups.get(number) if kind == "group" else self._cloud.channels.get(number)

    def create_group(self, creator_id: int, member_ids: Iterable[int], title: str) -> SandboxRoom:
        """A basic group with a creator and at least one other member."""
        creator, members = self._users([creator_id])[0], self._users(member_ids)
        with allowed():
            group, _ = membership.create_group(self._cloud, creator, members, title)
        return _shown(group)

    def create_channel(
        self,
        creator_id: int,
        member_ids: Iterable[int],
        title: str,
        *,
        broadcast: bool = False,
        username: str = "",
    ) -> SandboxRoom:
        """A supergroup, or, if ``broadcast``, a channel in which only the creator writes.

        Args:
            creator_id: Who makes it.
            member_ids: Who else is in it.
            title: What it is called.
            broadcast: Whether only the creator writes.
            username: Under which anybody finds, reads and joins it; empty: nobody does.
        """
        creator, members = self._users([creator_id])[0], self._users(member_ids)
        if username and self._name_taken(username):
            raise SandboxError(f"the name {username} is taken")
        with allowed():
            channel, _ = membership.create_channel(
                self._cloud, creator, title, megagroup=not broadcast, username=username
            )
        membership.join_channel(self._cloud, creator, channel, members)
        return _shown(channel)

    def migrate(self, peer: int) -> SandboxRoom:
        """Make a basic group a supergroup; returns the supergroup."""
        room = self._room(peer)
        if isinstance(room, Channel):
            raise SandboxError(f"{peer} is no basic group")
        creator = self._cloud.directory.get(room.creator_id)
        with allowed():
            channel, _, _ = membership.migrate_group(self._cloud, creator, room)
        return _shown(channel)

    def add_member(self, peer: int, user_id: int, *, by: int | None = None) -> SandboxRoom:
        """Add a user to a group or channel, as its creator does or ``by`` another; by himself he joins."""
        room, account = self._room(peer), self._cloud.directory.get(user_id)
        actor = self._actor(room, by)
        with allowed():
            if isinstance(room, Channel):
                membership.join_channel(self._cloud, actor, room, [account])
            else:
                membership.add_to_group(self._cloud, actor, room, account)
        return _shown(room)

    def remove_member(self, peer: int, user_id: int, *, by: int | None = None) -> SandboxRoom:
        """Take a user out of one of them, as its creator does or ``by`` another; by himself he leaves."""
        room, account = self._room(peer), self._cloud.directory.get(user_id)
        actor = self._actor(room, by)
        with allowed():
            if isinstance(room, Channel):
                membership.leave_channel(self._cloud, actor, room, account)
            else:
                membership.remove_from_group(self._cloud, actor, room, account)
        return _shown(room)

    def edit_banned(self, peer: int, user_id: int, *, banned: bool = True) -> SandboxRoom:
        """Take a user out of a channel so that he does not come again by himself, or let him in again."""
        room, user = self._room(peer), self._cloud.directory.get(user_id)
        if not isinstance(room, Channel):
            raise SandboxError(f"{peer} is no channel or supergroup")
        if not banned:
            membership.unban(room, user)
        elif user.id == room.creator_id:
            raise SandboxError("Telegram would refuse that: USER_ADMIN_INVALID")
        else:
            membership.ban(self._cloud, self._cloud.directory.get(room.creator_id), room, user)
        return _shown(room)

    def edit_title(self, peer: int, title: str, *, by: int | None = None) -> SandboxRoom:
        """Give a group or channel another title, as its creator does or ``by`` another."""
        room = self._room(peer)
        with allowed():
            chat_actions.edit_title(self._cloud, self._actor(room, by), room, title)
        return _shown(room)

    def edit_photo(self, peer: int, data: bytes | None, *, by: int | None = None) -> SandboxRoom:
        """Give a group or channel another photo, or none, as its creator does or ``by`` another."""
        room, cloud = self._room(peer), self._cloud
        actor, photo = self._actor(room, by), None
        with allowed():
            if data is not None:
                content = HeldContent(data)
                size = photo_size(content)
                file = cloud.files.keep(content, cloud.behaviour.media_dc or actor.dc_id)
                photo = PhotoMedia(cloud.files, file, cloud.now(), size)
            chat_actions.edit_photo(cloud, actor, room, photo)
        return _shown(room)

    def export_chat_invite(self, peer: int, *, by: int | None = None) -> str:
        """Make a link by which anybody joins a group or channel, as its creator does or ``by`` another."""
        room = self._room(peer)
        with allowed():
            return invites.export_invite(self._cloud, self._actor(room, by), room).link

    def import_chat_invite(self, user_id: int, link: str) -> SandboxRoom:
        """Let a user join by a link; returns where it leads."""
        user = self._cloud.directory.get(user_id)
        with allowed():
            room, _ = invites.import_invite(self._cloud, user, link)
        return _shown(room)

    def set_slowmode(self, peer: int, seconds: int) -> SandboxRoom:
        """Let the members of a supergroup wait after each of their messages; 0: not at all."""
        room = self._room(peer)
        if not isinstance(room, Channel) or not room.megagroup:
            raise SandboxError(f"{peer} is no supergroup")
        if seconds < 0:
            raise SandboxError("seconds must be 0 or more")
        membership.slow_down(self._cloud, room, seconds)
        return _shown(room)

    def toggle_no_forwards(self, peer: int, *, enabled: bool) -> SandboxRoom:
        """Let nobody forward from a group or channel, or everybody again."""
        room = self._room(peer)
        room.noforwards = enabled
        return _shown(room)

    def _room(self, peer: int) -> Group | Channel:
        room = self.find(peer) if peer < 0 else None
        if room is None or isinstance(room, Account):
            raise UnknownPeer(peer)
        return room

    def _actor(self, room: Group | Channel, by: int | None) -> Account:
        return self._cloud.directory.get(room.creator_id if by is None else by)

    def _users(self, user_ids: Iterable[int]) -> list[Account]:
        return [self._cloud.directory.get(each) for each in user_ids]

    def _name_taken(self, username: str) -> bool:
        by_channel = self._cloud.channels.by_username(username)
        return by_channel is not None or self._cloud.directory.by_username(username) is not None


def _shown(room: Group | Channel) -> SandboxRoom:
    if isinstance(room, Channel):
        kind: Literal["supergroup", "channel"] = "supergroup" if room.megagroup else "channel"
        return SandboxRoom(room.peer, kind, room.title, tuple(room.members), room.log.pts, room.username)
    migrated_to = None if room.migrated_to is None else channel_peer(room.migrated_to)
    return SandboxRoom(room.peer, "group", room.title, tuple(room.members), migrated_to=migrated_to)
