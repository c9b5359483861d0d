"""Keys that Telegram did not know. Once may be trouble inside Telegram, twice in a row is final."""

from collections.abc import Hashable


class KeyDoubts:
    """Remembers, between disposable connections, whose key Telegram did not know the last time it saw it."""

    def __init__(self) -> None:
        self._doubted: set[Hashable] = set()

    def confirms(self, key: Hashable) -> bool:
        """Note a transport error -404; returns whether it is the second in a row for this key."""
        if key in self._doubted:
            return True
        self._doubted.add(key)
        return False

    def clear(self, key: Hashable) -> None:
        """Telegram knows the key after all."""
        self._doubted.discard(key)
