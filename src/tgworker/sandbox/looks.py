"""What users look like to others, serialised, so that it is not made again for each message."""

LOOKS_KEPT = 20_000
"""How many looks of users are remembered; a look is some 100 bytes."""


class Looks:
    """The looks that were made so far, until what they show changes."""

    def __init__(self) -> None:
        self._of: dict[int, dict[int, bytes]] = {}
        self._kept = 0

    def get(self, viewer_id: int, user_id: int) -> bytes | None:
        """A user as another sees him, if that is remembered."""
        seen = self._of.get(user_id)
        return None if seen is None else seen.get(viewer_id)

    def keep(self, viewer_id: int, user_id: int, body: bytes) -> None:
        """Remember a look."""
        if self._kept >= LOOKS_KEPT:
            self._of.clear()
            self._kept = 0
        self._of.setdefault(user_id, {})[viewer_id] = body
        self._kept += 1

    def forget(self, user_id: int) -> None:
        """A user looks different from now on, to all."""
        self._kept -= len(self._of.pop(user_id, ()))
