"""A link by which anybody joins a group or channel."""

from dataclasses import dataclass, field
from datetime import datetime

LINK = "https://t.me/+"


@dataclass(frozen=True, slots=True)
class Invitation:
    """One link.

    Attributes:
        hash: What stands in it.
        peer: The group or channel, as a marked id.
        admin_id: Who made it.
        date: When.
    """

    hash: str = field(repr=False)
    peer: int
    admin_id: int
    date: datetime

    @property
    def link(self) -> str:
        """The link."""
        return LINK + self.hash
