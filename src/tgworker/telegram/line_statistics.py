"""What a line holds in memory."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LineStatistics:
    """What a line holds in memory. Each is bounded, however fast updates come and however slow the store is.

    Attributes:
        packets: Packets of updates that wait for the client.
        held: Updates that wait for what is missing before them.
        messages: Messages that wait for the store.
        peers: Peers that are remembered.
    """

    packets: int
    held: int
    messages: int
    peers: int
