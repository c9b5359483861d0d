"""The control connection's client side, as far as it is about groups and channels."""

import base64
from collections.abc import Sequence

from tgworker.sandbox.control_line import ControlLine
from tgworker.sandbox.control_rooms import (
    AddMember,
    CreateChannel,
    CreateGroup,
    EditBanned,
    EditPhoto,
    EditTitle,
    ExportChatInvite,
    ImportChatInvite,
    InviteLink,
    ListRooms,
    MigrateGroup,
    RemoveMember,
    RoomList,
    ToggleNoForwards,
)
from tgworker.sandbox.values import SandboxRoom


class RoomControl(ControlLine):
    """The groups and channels of a sandbox in another process; see `SandboxControl`, which is one."""

    async def create_group(self, creator_id: int, member_ids: Sequence[int], title: str) -> SandboxRoom:
        """Make a basic group."""
        command = CreateGroup(creator=creator_id, members=tuple(member_ids), title=title)
        return await self._ask(command, SandboxRoom)

    async def create_channel(
        self,
        creator_id: int,
        member_ids: Sequence[int],
        title: str,
        *,
        broadcast: bool = False,
        username: str = "",
    ) -> SandboxRoom:
        """Make a supergroup, or, if ``broadcast``, a channel."""
        command = CreateChannel(
            creator=creator_id,
            members=tuple(member_ids),
            title=title,
            broadcast=broadcast,
            username=username,
        )
        return await self._ask(command, SandboxRoom)

    async def migrate_group(self, peer: int) -> SandboxRoom:
        """Make a basic group a supergroup, which is returned."""
        return await self._ask(MigrateGroup(peer=peer), SandboxRoom)

    async def add_member(self, peer: int, user_id: int, *, by: int | None = None) -> SandboxRoom:
        """Add a user to a group or channel, as its creator does or ``by`` somebody else."""
        return await self._ask(AddMember(peer=peer, user=user_id, by=by), SandboxRoom)

    async def remove_member(self, peer: int, user_id: int, *, by: int | None = None) -> SandboxRoom:
        """Take a user out of a group or channel, as its creator does or ``by`` somebody else."""
        return await self._ask(RemoveMember(peer=peer, user=user_id, by=by), SandboxRoom)

    async def toggle_no_forwards(self, peer: int, *, enabled: bool) -> SandboxRoom:
        """Let nobody forward from a group or channel, or everybody again."""
        return await self._ask(ToggleNoForwards(peer=peer, enabled=enabled), SandboxRoom)

    async def rooms(self) -> tuple[SandboxRoom, ...]:
        """All groups and channels."""
        return (await self._ask(ListRooms(), RoomList)).rooms

    async def edit_banned(self, peer: int, user_id: int, *, banned: bool = True) -> SandboxRoom:
        """Take a user out of a channel so that he does not come again by himself, or let him in again."""
        return await self._ask(EditBanned(peer=peer, user=user_id, banned=banned), SandboxRoom)

    async def edit_title(self, peer: int, title: str, *, by: int | None = None) -> SandboxRoom:
        """Give a group or channel another title, as its creator does or ``by`` another."""
        return await self._ask(EditTitle(peer=peer, title=title, by=by), SandboxRoom)

    async def edit_photo(self, peer: int, data: bytes | None, *, by: int | None = None) -> SandboxRoom:
        """Give a group or channel another photo, or none, as its creator does or ``by`` another."""
        text = None if data is None else base64.b64encode(data).decode()
        return await self._ask(EditPhoto(peer=peer, data=text, by=by), SandboxRoom)

    async def export_chat_invite(self, peer: int, *, by: int | None = None) -> str:
        """Make a link by which anybody joins a group or channel."""
        return (await self._ask(ExportChatInvite(peer=peer, by=by), InviteLink)).link

    async def import_chat_invite(self, user_id: int, link: str) -> SandboxRoom:
        """Let a user join by a link; returns where it leads."""
        return await self._ask(ImportChatInvite(user=user_id, link=link), SandboxRoom)
