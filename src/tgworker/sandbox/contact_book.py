"""Who has whom among his contacts: in a sandbox everybody, but for strangers and for those who parted."""


class ContactBook:
    """The contacts of all users: one may have another who does not have him."""

    def __init__(self) -> None:
        self._strangers: set[int] = set()
        self._said: dict[tuple[int, int], bool] = {}

    def make_stranger(self, user_id: int) -> None:
        """From now on nobody has a user among his contacts, and he has nobody, unless that is said."""
        self._strangers.add(user_id)

    def note(self, owner_id: int, other_id: int, *, has: bool) -> None:
        """Say whether one user has another."""
        self._said[owner_id, other_id] = has

    def has(self, owner_id: int, other_id: int) -> bool:
        """Whether one user has another; nobody has himself."""
        if owner_id == other_id:
            return False
        both_usual = not self._strangers & {owner_id, other_id}
        return self._said.get((owner_id, other_id), both_usual)
