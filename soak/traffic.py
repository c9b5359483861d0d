"""Messages both ways, and a note of each."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random

import trio

from soak.site import Site

LONG_SHARE = 0.05
PARAGRAPH = "\n\n"

Chat = tuple[int, int]
"""The account's user and the partner, by their Telegram ids."""


class Traffic:
    """What was given to be sent, by the application and by the partners.

    Args:
        site: Between whom.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._out: defaultdict[Chat, list[str]] = defaultdict(list)
        self._in: defaultdict[Chat, list[str]] = defaultdict(list)
        self._number = 0

    @property
    def outbound(self) -> Mapping[Chat, Sequence[str]]:
        """What the application gave, in order."""
        return self._out

    @property
    def inbound(self) -> Mapping[Chat, Sequence[str]]:
        """What the partners wrote, in order."""
        return self._in

    @property
    def given(self) -> tuple[int, int]:
        """How many messages were given so far, out and in."""
        return sum(map(len, self._out.values())), sum(map(len, self._in.values()))

    async def write(self, rng: Random, stop: trio.Event) -> None:
        """The application writes, in bursts, until it is to stop; what it began it finishes."""
        while not stop.is_set():
            burst = rng.choice((1, 1, 1, 2, 5))
            with trio.move_on_after(rng.expovariate(self._site.plan.per_s / burst)):
                await stop.wait()
            number = rng.randrange(len(self._site.accounts))
            partner = rng.choice(self._site.partners)
            for _ in range(burst):
                # Telegram takes 4096 at a time: each paragraph of a long one becomes a message of its own.
                number_of_parts, more = (3, " long" * 600) if rng.random() < LONG_SHARE else (1, "")
                parts = [self._next("out") + more for _ in range(number_of_parts)]
                self._out[self._site.users[number].id, partner.id] += parts
                text = PARAGRAPH.join(parts)
                await self._site.application.enqueue(self._site.accounts[number], partner.id, text)

    async def answer(self, rng: Random, stop: trio.Event) -> None:
        """The partners write, from devices of their own, until they are to stop."""
        while not stop.is_set():
            with trio.move_on_after(rng.expovariate(self._site.plan.per_s)):
                await stop.wait()
            user, partner = rng.choice(self._site.users), rng.choice(self._site.partners)
            text = self._next("in")
            self._in[user.id, partner.id].append(text)
            self._site.sandbox.send_text(partner.id, user.id, text)

    def _next(self, direction: str) -> str:
        self._number += 1
        return f"soak {direction} {self._number:06d}"
