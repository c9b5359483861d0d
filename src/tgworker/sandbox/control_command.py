"""What all commands of the control connection have."""

import msgspec


class Command(msgspec.Struct, tag_field="cmd", forbid_unknown_fields=True, kw_only=True):
    """A command.

    Attributes:
        id: Comes back with the answer.
    """

    id: int | None = None
