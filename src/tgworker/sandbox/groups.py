"""Basic groups: a list of members, each of whom holds every message in his own mailbox under his own number.

Source: https://core.telegram.org/api/channel#basic-groups
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from tgworker.sandbox.errors import UnknownPeer
from tgworker.sandbox.files import StoredFile
from tgworker.sandbox.peers import group_peer

FIRST_ID = 5001
MEMBERS_MAX = 200
"""What ``help.getConfig`` calls ``chat_size_max``."""


@dataclass(eq=False, slots=True)
class Group:
    """One basic group.

    Attributes:
        id: Its bare id.
        title: What it is called.
        creator_id: Who made it.
        made: When.
        members: Who is in it and since when, in the order in which they came.
        version: Grows with every change of the members.
        migrated_to: The bare id of the supergroup that it became: nobody writes into it any more.
        photo: What it looks like.
        noforwards: Whether nothing may be forwarded from it.
    """

    id: int
    title: str
    creator_id: int
    made: datetime
    members: dict[int, datetime] = field(default_factory=dict[int, datetime])
    version: int = 1
    migrated_to: int | None = None
    photo: StoredFile | None = field(default=None, repr=False)
    noforwards: bool = False

    @property
    def peer(self) -> int:
        """Its marked id."""
        return group_peer(self.id)


class Groups:
    """All basic groups of a sandbox."""

    def __init__(self) -> None:
        self._by_id: dict[int, Group] = {}

    def __iter__(self) -> Iterator[Group]:
        return iter(self._by_id.values())

    def add(self, title: str, creator_id: int, made: datetime) -> Group:
        """A new group, under the next id, with its creator in it."""
        group = Group(FIRST_ID + len(self._by_id), title, creator_id, made, {creator_id: made})
        self._by_id[group.id] = group
        return group

    def find(self, group_id: int) -> Group | None:
        """The group with a bare id."""
        return self._by_id.get(group_id)

    def get(self, group_id: int) -> Group:
        """The group with a bare id.

        Raises:
            UnknownPeer: There is none.
        """
        group = self._by_id.get(group_id)
        if group is None:
            raise UnknownPeer(group_peer(group_id))
        return group
