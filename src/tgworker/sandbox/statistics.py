"""What happened so far, in numbers."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """A snapshot.

    Attributes:
        requests: How many of each method came, in Telegram's spelling, whatever became of them.
        delivered: Messages delivered, each counted once for both mailboxes.
        repeats: Sends whose ``random_id`` was known: answered, and not delivered again.
        connections: TCP connections so far.
        open: TCP connections now.
        handshakes: Authorization keys made by handshake.
        overflows: Connections cut because their client did not read.
        duplicated_keys: Authorization keys that died of `AUTH_KEY_DUPLICATED`.
        faults: How often each fault happened, by action.
        floods: How often `Limits` refused something, by the error: ``FLOOD_WAIT``, ``SLOWMODE_WAIT``…
    """

    requests: dict[str, int]
    delivered: int
    repeats: int
    connections: int
    open: int
    handshakes: int
    overflows: int
    duplicated_keys: int
    faults: dict[str, int]
    floods: dict[str, int]


@dataclass(slots=True)
class Counts:
    """What `Statistics` is a snapshot of."""

    requests: Counter[str] = field(default_factory=Counter[str])
    delivered: int = 0
    repeats: int = 0
    connections: int = 0
    open: int = 0
    handshakes: int = 0
    overflows: int = 0
    duplicated_keys: int = 0

    def snapshot(self, faults: dict[str, int], floods: dict[str, int]) -> Statistics:
        """The numbers now."""
        return Statistics(
            requests=dict(self.requests),
            delivered=self.delivered,
            repeats=self.repeats,
            connections=self.connections,
            open=self.open,
            handshakes=self.handshakes,
            overflows=self.overflows,
            duplicated_keys=self.duplicated_keys,
            faults=faults,
            floods=dict(floods),
        )
