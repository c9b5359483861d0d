"""The part of the control connection's language that is about groups and channels."""

from typing import TYPE_CHECKING, assert_never

import msgspec

from tgworker.sandbox.control_command import Command
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


class ToggleNoForwards(Command, tag="toggle_no_forwards"):
    """Let nobody forward from the group or channel ``peer``, or everybody again."""

    peer: int
    enabled: bool


class ListRooms(Command, tag="rooms"):
    """Result: ``{"rooms": [{"peer", "kind", "title", "members", "pts", …}, …]}``."""


RoomCommand = (
    CreateGroup | CreateChannel | MigrateGroup | AddMember | RemoveMember | ToggleNoForwards | ListRooms
)


class RoomList(msgspec.Struct, frozen=True):
    """The result of ``rooms``."""

    rooms: tuple[SandboxRoom, ...]


def obey_room_command(rooms: "Rooms", command: RoomCommand) -> SandboxRoom | RoomList:
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
        case ToggleNoForwards():
            return rooms.toggle_no_forwards(command.peer, enabled=command.enabled)
        case ListRooms():
            return RoomList(rooms.listing())
        case _:
            assert_never(command)
