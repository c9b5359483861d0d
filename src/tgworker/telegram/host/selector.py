"""The selector of a hosted loop: it only looks, it never waits."""

import selectors
from typing import Any


class GlanceSelector(selectors.DefaultSelector):
    """Which files are ready right now. Whoever wants to wait for one waits until `fileno` is readable.

    That a selector's own descriptor can be waited for is what the host is built on: epoll(7), "Can I add an
    epoll file descriptor to another epoll/poll/select set? Yes"; kqueue(2) says the same.

    Attributes:
        looks: Whether it sees files at all. A loop that is being left runs callbacks, and reads no more.
    """

    looks = True

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:  # noqa: ARG002
        """What is ready, whatever ``timeout`` says: asyncio wants to sleep here, and trio does that."""
        return super().select(0) if self.looks else []

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Change what a file is watched for.

        Always anew: a file that was closed while it was watched has left the kernel's table and not ours, and
        its number may serve another file by now. (A handle's ``cancel()`` is enough, trio-asyncio promises.)
        """
        self.unregister(fileobj)
        return self.register(fileobj, events, data)
