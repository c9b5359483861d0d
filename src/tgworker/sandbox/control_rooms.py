"""The part of the control connection's language that is about groups and channels."""

import base64
from typing import TYPE_CHECKING, assert_never

import msgspec

from tgworker.sandbox.control_command import Command
from tgworker.sandbox.errors import SandboxError
from tgworker.sandbox.values import SandboxRoom

if TYPE_CHECKING:
    from tgworker.sandbox.rooms import Rooms


class CreateGroup(Command, tag="create_group"):
    """Make a basic group. Result: ``{"peer", "kind", "title", "members", …}``, as of the others here."""

    creator: int
    members: tuple[int, ...]
    title: str = "A group"


class CreateChannel(Command, tag="create_channel"):
    """Make a supergroup, or, if ``broadcast``, a channel in which only its creator writes.

    Attributes:
        creator: Who makes it.
        members: Who else is in it.
        title: What it is called.
        broadcast: Whether only the creator writes.
        username: Under which anybody finds it; empty: nobody does.
    """

    creator: int
    members: tuple[int, ...] = ()
    title: str = "A channel"
    broadcast: bool = False
    username: str = ""


class MigrateGroup(Command, tag="migrate_group"):
    """Make the basic group ``peer`` a supergroup, which is the result."""

    peer: int


class AddMember(Command, tag="add_member"):
    """Add ``user`` to the group or channel ``peer``, as its creator does or ``by`` somebody else."""

    peer: int
    user: int
    by: int | None = None


class RemoveMember(Command, tag="remove_member"):
    """Take ``user`` out of the group or channel ``peer``, as its creator does or ``by`` somebody else."""

    peer: int
    user: int
    by: int | None = None


class EditBanned(Command, tag="edit_banned"):
    """Take ``user`` out of the channel ``peer`` so that he does not come again, or let him in again."""

    peer: int
    user: int
    banned: bool = True


class EditTitle(Command, tag="edit_title"):
    """Give the group or channel ``peer`` another title, as its creator does or ``by`` somebody else."""

    peer: int
    title: str
    by: int | None = None


class EditPhoto(Command, tag="edit_photo"):
    """Give the group or channel ``peer`` another photo, in base64, or with ``null`` none."""

    peer: int
    data: str | None = None
    by: int | None = None


class ExportChatInvite(Command, tag="export_chat_invite"):
    """Make a link by which anybody joins the group or channel ``peer``. Result: ``{"link"}``."""

    peer: int
    by: int | None = None


class ImportChatInvite(Command, tag="import_chat_invite"):
    """Let ``user`` join by a ``link``. Result: where it leads."""

    user: int
    link: str


class ToggleNoForwards(Command, tag="toggle_no_forwards"):
    """Let nobody forward from the group or channel ``peer``, or everybody again."""

    peer: int
    enabled: bool


class ListRooms(Command, tag="rooms"):
    """Result: ``{"rooms": [{"peer", "kind", "title", "members", "pts", …}, …]}``."""


RoomCommand = (
    CreateGroup
    | CreateChannel
    | MigrateGroup
    | AddMember
    | RemoveMember
    | EditBanned
    | EditTitle
    | EditPhoto
    | ExportChatInvite
    | ImportChatInvite
    | ToggleNoForwards
    | ListRooms
)


class InviteLink(msgspec.Struct, frozen=True):
    """The result of ``export_chat_invite``."""

    link: str


class RoomList(msgspec.Struct, frozen=True):
    """The result of ``rooms``."""

    rooms: tuple[SandboxRoom, ...]


def obey_room_command(rooms: "Rooms", command: RoomCommand) -> SandboxRoom | RoomList | InviteLink:
    """Carry out a command about groups and channels.

    Raises:
        SandboxError: It cannot be carried out; the text says why.
    """
    match command:
        case CreateGroup():
            return rooms.create_group(command.creator, command.members, command.title)
        case CreateChannel():
            return rooms.create_channel(
                command.creator,
                command.members,
                command.title,
                broadcast=command.broadcast,
                username=command.username,
            )
        case MigrateGroup():
            return rooms.migrate(command.peer)
        case AddMember():
            return rooms.add_member(command.peer, command.user, by=command.by)
        case RemoveMember():
            return rooms.remove_member(command.peer, command.user, by=command.by)
        case EditBanned():
            return rooms.edit_banned(command.peer, command.user, banned=command.banned)
        case EditTitle():
            return rooms.edit_title(command.peer, command.title, by=command.by)
        case EditPhoto():
            return rooms.edit_photo(command.peer, _data(command.data), by=command.by)
        case ExportChatInvite():
            return InviteLink(rooms.export_chat_invite(command.peer, by=command.by))
        case ImportChatInvite():
            return rooms.import_chat_invite(command.user, command.link)
        case ToggleNoForwards():
            return rooms.toggle_no_forwards(command.peer, enabled=command.enabled)
        case ListRooms():
            return RoomList(rooms.listing())
        case _:
            assert_never(command)


def _data(text: str | None) -> bytes | None:
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except ValueError:
        raise SandboxError("data is base64") from None
