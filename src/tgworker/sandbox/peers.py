"""What stands for a user, a group or a channel as one number: the marked ids that client libraries print.

A user is his id, a basic group the negative of its id, a channel (supergroups are channels) its id below
-1,000,000,000,000. Sources: https://core.telegram.org/api/bots/ids
"""

from typing import Any, Literal, NamedTuple

from telethon.tl import types

CHANNEL_BASE = 1_000_000_000_000

PeerKind = Literal["user", "group", "channel"]


class Unmarked(NamedTuple):
    """A marked id, taken apart.

    Attributes:
        kind: Whose id space.
        id: The number in it.
    """

    kind: PeerKind
    id: int


def group_peer(group_id: int) -> int:
    """The marked id of a basic group."""
    return -group_id


def channel_peer(channel_id: int) -> int:
    """The marked id of a channel."""
    return -CHANNEL_BASE - channel_id


def unmarked(peer: int) -> Unmarked:
    """What a marked id stands for."""
    if peer > 0:
        return Unmarked("user", peer)
    if peer > -CHANNEL_BASE:
        return Unmarked("group", -peer)
    return Unmarked("channel", -peer - CHANNEL_BASE)


def peer_view(peer: int) -> Any:
    """A marked id as a TL ``Peer``."""
    kind, number = unmarked(peer)
    if kind == "user":
        return types.PeerUser(number)
    return types.PeerChat(number) if kind == "group" else types.PeerChannel(number)


def input_peer_of(peer: Any) -> int | None:
    """The marked id in an ``inputPeer``, ``inputUser`` or ``inputChannel``; ``None`` if it names nobody."""
    for field, mark in (("user_id", int), ("chat_id", group_peer), ("channel_id", channel_peer)):
        number = getattr(peer, field, None)
        if isinstance(number, int):
            return mark(number)
    return None
