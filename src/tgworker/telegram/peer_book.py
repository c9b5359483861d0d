"""The peers that one account can address."""

from collections.abc import Iterable

from tgworker.messaging.models import Peer


class PeerBook:
    """The peers that one account can address, by marked id. Grows with what the account meets."""

    def __init__(self, peers: Iterable[Peer] = ()) -> None:
        self._peers: dict[int, Peer] = {}
        self.learn(peers)

    def learn(self, peers: Iterable[Peer]) -> None:
        """Add peers; a newer one replaces an older one."""
        for peer in peers:
            self._peers[peer.chat_id] = peer

    def get(self, chat_id: int) -> Peer | None:
        """The peer with this marked id, if the account has met it."""
        return self._peers.get(chat_id)

    def __contains__(self, chat_id: int) -> bool:
        return chat_id in self._peers
