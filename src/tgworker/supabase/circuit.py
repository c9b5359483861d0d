"""While the database is away one request at a time asks whether it is back, and all others fail at once."""

from collections.abc import Generator
from contextlib import contextmanager
from random import Random
from typing import Final

import trio

from tgworker.messaging.errors import StoreAway, StoreRefused

FIRST_S: Final = 0.05
CEILING_S: Final = 0.5
"""Longest pause between two probes, seconds. The loops ask again after half a second at most, too: together
the database's return is noticed within a second."""


class Turn:
    """One request's turn: it says what it learned about the database."""

    def __init__(self) -> None:
        self.outcome: bool | None = None
        self.refused: StoreRefused | None = None

    def answered(self) -> None:
        """The database is there, whatever it said."""
        self.outcome = True

    def away(self, refused: StoreRefused | None = None) -> None:
        """The database is not there, or not for us.

        Args:
            refused: Why a person must act, if one must; whoever fails at once is told the same.
        """
        self.outcome = False
        self.refused = refused


class Circuit:
    """Knows whether the database is away.

    Args:
        rng: Jitter: workers that lost the same database do not come back in step.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._failed = 0
        self._since_s = 0.0
        self._probe_at_s = 0.0
        self._probing = False
        self._refused: StoreRefused | None = None

    @property
    def is_open(self) -> bool:
        """Whether the database is taken for away."""
        return self._failed > 0

    def check(self, what: str) -> None:
        """Say whether a request may try now.

        Args:
            what: What is asked, for people: ``Supabase (tgworker_claim)``.

        Raises:
            StoreAway: The database is away, and it is nobody's turn to ask, or somebody else's.
        """
        now_s = trio.current_time()
        if self.is_open and (self._probing or now_s < self._probe_at_s):
            if self._refused is not None:
                raise type(self._refused)(str(self._refused))
            raise StoreAway(f"{what} has been away for {now_s - self._since_s:.1f} s")

    @contextmanager
    def turn(self, what: str) -> Generator[Turn]:
        """Let a request through, if it may try; raises at once, as `check`, if it may not.

        A turn that ends without having learned anything (cancelled at a deadline) changes nothing, but that
        the next one may probe.
        """
        self.check(what)
        probe = self.is_open
        if probe:
            self._probing = True
        turn = Turn()
        try:
            yield turn
        finally:
            if probe:
                self._probing = False
            if turn.outcome is True:
                self._failed = 0
            elif turn.outcome is False and (probe or not self.is_open):
                self._refused = turn.refused
                self._note_failure()

    def _note_failure(self) -> None:
        now_s = trio.current_time()
        if not self._failed:
            self._since_s = now_s
        self._failed += 1
        bound_s = min(CEILING_S, FIRST_S * 2.0 ** min(self._failed - 1, 10))
        self._probe_at_s = now_s + self._rng.uniform(0, bound_s)
