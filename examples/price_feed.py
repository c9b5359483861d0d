"""A small service kept alive: it fetches a price every five seconds and publishes it every second.

It uses trio and `tgworker.supervision`, nothing else. The tutorial builds it step by step, and a test lets it
live through a day of faults.
"""

import random
from collections.abc import Awaitable, Callable

import trio

from tgworker.supervision import (
    Backoff,
    ChildSpec,
    Intensity,
    Pulse,
    Silence,
    SupervisorSpec,
    open_supervisor,
)

FETCH_EVERY_S = 5.0
FETCH_WITHIN_S = 3.0
PUBLISH_EVERY_S = 1.0


class PriceFeed:
    """Fetches, remembers, publishes.

    Args:
        fetch: Asks the source for a price; it may take long, or for ever.
        publish: Takes a price and says it to the world; it must not block.
    """

    def __init__(self, fetch: Callable[[], Awaitable[float]], publish: Callable[[float], None]) -> None:
        self._fetch = fetch
        self._publish = publish
        self.price: float | None = None

    async def keep_fetching(self, pulse: Pulse, /, *, task_status: trio.TaskStatus[None]) -> None:
        """A child: ask the source again and again; ready once the first price is there."""
        while True:
            pulse.beat()
            with pulse.deadline("source.fetch", FETCH_WITHIN_S) as asked:
                price = await self._fetch()
                if self.price is None:
                    task_status.started()
                self.price = price
            if asked.expired:
                continue  # no answer is an outcome: ask again at once
            await trio.sleep(FETCH_EVERY_S)

    async def keep_publishing(self, pulse: Pulse, /, *, task_status: trio.TaskStatus[None]) -> None:
        """A child: say the newest price every second."""
        task_status.started()
        while True:
            pulse.beat()
            if self.price is not None:
                self._publish(self.price)
            await trio.sleep(PUBLISH_EVERY_S)

    def tree(self) -> SupervisorSpec:
        """Both children under one supervisor; a child that is silent for 20 s is taken for hung."""
        silence = Silence(stall_after_s=20)
        backoff = Backoff(initial_s=0.5, cap_s=10, reset_after_s=60)
        return SupervisorSpec(
            "feed",
            intensity=Intensity.unlimited(),
            children=(
                ChildSpec("fetch", self.keep_fetching, silence=silence, backoff=backoff, start_within_s=None),
                ChildSpec("publish", self.keep_publishing, silence=silence, backoff=backoff),
            ),
        )


async def serve(feed: PriceFeed) -> None:
    """Run the feed until it is cancelled."""
    async with open_supervisor(feed.tree(), rng=random.Random()):
        await trio.sleep_forever()


if __name__ == "__main__":

    async def fetch() -> float:
        """A source that is always there."""
        await trio.sleep(0.1)
        return 42.0

    trio.run(serve, PriceFeed(fetch, print))
