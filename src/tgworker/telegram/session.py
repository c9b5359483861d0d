"""Session strings, and the session object that Telethon gets."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from telethon.client.telegrambaseclient import DEFAULT_DC_ID, DEFAULT_IPV4_IP, DEFAULT_PORT
from telethon.sessions import MemorySession, StringSession
from telethon.tl import types

from tgworker.messaging.errors import AccountRefused
from tgworker.messaging.models import AccountState, Peer, PeerKind, Position, Secret
from tgworker.telegram.peers import bare_id
from tgworker.telegram.settings import ServerOverride


class NotASession(AccountRefused):
    """A text is not a StringSession of Telethon. Remedy: export the session again, or log in."""

    def __init__(self) -> None:
        super().__init__(
            AccountState.NEEDS_LOGIN, "this is not a Telethon StringSession: export it again, or log in"
        )


class AccountSession(MemorySession):  # type: ignore[misc] # Telethon has no types
    """One account's key and server, the position and the channels it starts from. Remembers nothing itself.

    Telethon reads the position once, when it connects. What it would save (positions each minute, every user
    it ever met) is ignored: positions are stored with the messages before them or not at all.

    Args:
        session: The StringSession.
        server: Replaces the session's server, unless the session is one of another data centre of it.
        position: How far the account's updates were stored; ``None`` for an account never seen.
        peers: Peers that the account has met; only the channels' access hashes are used, to ask for what was
            missed there.

    Raises:
        NotASession: ``session`` cannot be read.
    """

    def __init__(
        self,
        session: Secret,
        server: ServerOverride | None,
        position: Position | None = None,
        peers: Sequence[Peer] = (),
    ) -> None:
        super().__init__()
        stored = _parsed(session)
        if server is None or (stored.dc_id != server.dc and stored.server_address == server.host):
            self.set_dc(stored.dc_id, stored.server_address, stored.port)
        else:
            self.set_dc(server.dc, server.host, server.port)
        self.auth_key = stored.auth_key
        self._position = position
        self._channel_hashes = {
            bare_id(peer.chat_id): peer.access_hash
            for peer in peers
            if peer.kind is PeerKind.CHANNEL and peer.access_hash is not None
        }

    @property
    def key_id(self) -> int:
        """Which key it is, without the key."""
        key: Any = self.auth_key
        return int(key.key_id)

    def get_update_states(self) -> Any:
        """The stored position as Telethon asks for it: the account's under 0, a channel's under its id."""
        position = self._position
        if position is None:
            return []
        when = datetime.fromtimestamp(position.date, UTC)
        account = types.updates.State(position.pts, position.qts, when, position.seq, unread_count=0)
        channels = [
            (channel_id, types.updates.State(pts, 0, when, 0, unread_count=0))
            for channel_id, pts in position.channels.items()
        ]
        return [(0, account), *channels]

    def get_input_entity(self, key: Any) -> Any:
        """A channel by its bare id, which is all that Telethon's connect asks for.

        Raises:
            ValueError: The channel's access hash is not known.
        """
        access_hash = self._channel_hashes.get(key) if isinstance(key, int) else None
        if access_hash is None:
            raise ValueError("no access hash stored")
        return types.InputPeerChannel(key, access_hash)

    def set_update_state(self, entity_id: int, state: Any) -> None:
        """Ignored: see the class."""

    def process_entities(self, tlo: Any) -> None:
        """Ignored: see the class."""


def fresh_session(server: ServerOverride | None) -> Any:
    """A session without a key, at the data centre where a login begins; Telegram sends it on from there."""
    session = MemorySession()
    if server is None:
        session.set_dc(DEFAULT_DC_ID, DEFAULT_IPV4_IP, DEFAULT_PORT)
    else:
        session.set_dc(server.dc, server.host, server.port)
    return session


def check_session(session: Secret) -> None:
    """See whether a text is a session, without asking anybody.

    Raises:
        NotASession: It is none.
    """
    _parsed(session)


def _parsed(session: Secret) -> Any:
    try:
        stored = StringSession(session.value.strip())
    except Exception:  # noqa: BLE001 # base64, struct and ipaddress each raise their own; all mean the same
        raise NotASession from None  # the errors' texts quote the session
    if stored.auth_key is None:
        raise NotASession
    return stored
