"""What the demo found, as numbers. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time on trio's clock, in seconds: from a fault's start until all was well again."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The demo's result; the object that ``--json`` prints.

    Attributes:
        ok: Nothing lost, doubled or out of order, no byte of a file different, and everything injected was
            recovered from.
        sent: Messages that were given to be sent and arrived at the other side.
        received: Messages that were sent to the accounts and arrived in the store.
        lost: Given and not arrived, both ways.
        duplicated: Copies beyond the first, both ways.
        out_of_order: Arrived after one that was given later, both ways.
        unexpected: Arrived and never given, both ways.
        files_sent: Files that were given to be sent and arrived at the other side, whole and in their place.
        files_received: Files that were sent to an account and are kept the same way.
        files_wrong: Missing, different, misplaced, or there and never given, both ways.
        edits: Messages that were edited by a job, and look so at the other side.
        reactions: Reactions of others that stand with their messages in the store.
        histories: Histories that were read back to their beginning, by a job.
        presences: People who were seen to come online and to type.
        five_messages_s: From the first of five rows inserted in a row to Telegram's answer to the fifth.
        send_p50_ms: Row inserted to Telegram's answer, median, of messages that no injected fault touched.
        send_p99_ms: The same, 99th percentile.
        hangs_injected: Loops put into an endless sleep.
        hangs_recovered: Of these, noticed, replaced and working again.
        crashes_injected: Children that were made to raise.
        crashes_recovered: Of these, restarted and working again.
        outages_injected: Times the network was turned into a black hole.
        outages_recovered: Of these, after which every account came back and messages went out.
        heartbeats: Heartbeats written.
        heartbeat_max_gap_s: The longest time between two of them.
        seconds: How long the demo took.
    """

    ok: bool
    sent: int
    received: int
    lost: int
    duplicated: int
    out_of_order: int
    unexpected: int
    files_sent: int
    files_received: int
    files_wrong: int
    edits: int
    reactions: int
    histories: int
    presences: int
    five_messages_s: float | None
    send_p50_ms: float | None
    send_p99_ms: float | None
    hangs_injected: int
    hangs_recovered: int
    crashes_injected: int
    crashes_recovered: int
    outages_injected: int
    outages_recovered: int
    heartbeats: int
    heartbeat_max_gap_s: float | None
    seconds: float

    def to_json(self) -> Mapping[str, Any]:
        """As one JSON-ready object."""
        return asdict(self)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least ``share`` (0 to 1) of the values do not exceed; ``None`` for none."""
    if not values:
        return None
    ranked = sorted(values)
    index = max(0, -(-len(ranked) * share // 1) - 1)
    return ranked[int(index)]


def longest_gap(times_s: Sequence[float]) -> float | None:
    """The longest time between two neighbours; ``None`` for fewer than two."""
    return max((b - a for a, b in pairwise(times_s)), default=None)


def untouched(sends: Iterable[tuple[float, float]], faults: Sequence[Span]) -> list[float]:
    """How long sends took that were not under way during any fault.

    Args:
        sends: For each, when its row was inserted and when Telegram answered.
        faults: When faults were at work.
    """
    return [
        answered_s - given_s
        for given_s, answered_s in sends
        if not any(given_s < fault.end_s and answered_s > fault.start_s for fault in faults)
    ]
