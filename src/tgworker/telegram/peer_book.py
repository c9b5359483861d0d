"""The peers that one account can address."""

from collections.abc import Iterable

from tgworker.messaging.models import Peer

MOST_PEERS = 20_000
"""Who was met longest ago is forgotten here; the store, which every claim asks, forgets nobody."""


class PeerBook:
    """The peers that one account can address, by marked id: those that it met last.

    Args:
        peers: Whom it has met.
        most: How many are remembered.
    """

    def __init__(self, peers: Iterable[Peer] = (), *, most: int = MOST_PEERS) -> None:
        self._peers: dict[int, Peer] = {}
        self._most = most
        self.learn(peers)

    def learn(self, peers: Iterable[Peer]) -> tuple[Peer, ...]:
        """Add peers; a newer one replaces an older one. Those that nobody can address are left out.

        Returns:
            Those that were known otherwise.
        """
        changed: list[Peer] = []
        for peer in peers:
            if peer.is_min:
                continue
            known = self._peers.pop(peer.chat_id, None)
            if known is not None and known != peer:
                changed.append(peer)
            self._peers[peer.chat_id] = peer  # the newest stands last
        while len(self._peers) > self._most:
            del self._peers[next(iter(self._peers))]
        return tuple(changed)

    def get(self, chat_id: int) -> Peer | None:
        """The peer with this marked id, if the account has met it."""
        return self._peers.get(chat_id)

    def __len__(self) -> int:
        return len(self._peers)

    def __contains__(self, chat_id: int) -> bool:
        return chat_id in self._peers
