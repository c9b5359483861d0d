"""Telegram's users and chats as peers, and peers as Telegram wants them addressed."""

from collections.abc import Iterable
from typing import Any

from telethon.tl import types

from tgworker.messaging.models import CHANNEL_IDS_BELOW, Peer, PeerKind

CHANNEL_MARK = -CHANNEL_IDS_BELOW
"""Marked ids of channels are below ``-10**12`` (https://core.telegram.org/api/bots/ids)."""


def kind_of(chat_id: int) -> PeerKind:
    """Which address space a marked id belongs to."""
    if chat_id > 0:
        return PeerKind.USER
    return PeerKind.CHAT if chat_id > -CHANNEL_MARK else PeerKind.CHANNEL


def bare_id(chat_id: int) -> int:
    """Telegram's own id in a marked one."""
    match kind_of(chat_id):
        case PeerKind.USER:
            return chat_id
        case PeerKind.CHAT:
            return -chat_id
        case PeerKind.CHANNEL:
            return -chat_id - CHANNEL_MARK


def channel_mark(channel_id: int) -> int:
    """The marked id of a channel, by its bare one."""
    return -int(channel_id) - CHANNEL_MARK


def marked_id(peer: Any) -> int:
    """The marked id of a ``peerUser``, ``peerChat`` or ``peerChannel``.

    Raises:
        TypeError: It is none of them.
    """
    match peer:
        case types.PeerUser():
            return int(peer.user_id)
        case types.PeerChat():
            return -int(peer.chat_id)
        case types.PeerChannel():
            return channel_mark(peer.channel_id)
        case _:
            raise TypeError(f"{type(peer).__name__} is no peer")


def peer_of(entity: Any) -> Peer | None:
    """A user or chat as a peer.

    Returns:
        ``None`` for what nobody can address: deleted or empty ones, and ``min`` ones, whose access hash is
        good for nothing (https://core.telegram.org/api/min).
    """
    match entity:
        case types.User() if entity.access_hash is not None and not entity.min:
            return Peer(
                chat_id=entity.id,
                kind=PeerKind.USER,
                access_hash=entity.access_hash,
                first_name=entity.first_name,
                last_name=entity.last_name,
                username=_username(entity),
                phone=entity.phone,
                is_self=bool(entity.is_self),
                is_contact=bool(entity.contact),
                photo_id=_photo_id(entity),
            )
        case types.Chat() | types.ChatForbidden():
            photo_id = _photo_id(entity)
            return Peer(chat_id=-entity.id, kind=PeerKind.CHAT, title=entity.title, photo_id=photo_id)
        case types.Channel() if entity.access_hash is not None and not entity.min:
            return Peer(
                chat_id=-entity.id - CHANNEL_MARK,
                kind=PeerKind.CHANNEL,
                access_hash=entity.access_hash,
                title=entity.title,
                username=_username(entity),
                photo_id=_photo_id(entity),
            )
        case types.ChannelForbidden():
            return Peer(
                chat_id=-entity.id - CHANNEL_MARK,
                kind=PeerKind.CHANNEL,
                access_hash=entity.access_hash,
                title=entity.title,
            )
        case _:
            return None


def peers_of(entities: Iterable[Any]) -> tuple[Peer, ...]:
    """All peers among users and chats, in order."""
    return tuple(peer for peer in map(peer_of, entities) if peer is not None)


def told_of(entities: Iterable[Any]) -> tuple[Peer, ...]:
    """All peers among users and chats, in order, and those of whom Telegram only tells the names."""
    found = (peer_of(entity) or _min_peer_of(entity) for entity in entities)
    return tuple(peer for peer in found if peer is not None)


def _min_peer_of(entity: Any) -> Peer | None:
    match entity:
        case types.User() if entity.min:
            return Peer(
                chat_id=entity.id,
                kind=PeerKind.USER,
                first_name=entity.first_name,
                last_name=entity.last_name,
                username=_username(entity),
                is_min=True,
            )
        case types.Channel() if entity.min:
            chat_id, title = channel_mark(entity.id), entity.title
            return Peer(chat_id, PeerKind.CHANNEL, title=title, username=_username(entity), is_min=True)
        case _:
            return None


def input_peer(peer: Peer) -> Any:
    """How requests address a peer. One without an access hash is addressed anyhow: Telegram refuses it."""
    if peer.is_self:
        return types.InputPeerSelf()
    match peer.kind:
        case PeerKind.USER:
            return types.InputPeerUser(peer.chat_id, peer.access_hash or 0)
        case PeerKind.CHAT:
            return types.InputPeerChat(bare_id(peer.chat_id))
        case PeerKind.CHANNEL:
            return types.InputPeerChannel(bare_id(peer.chat_id), peer.access_hash or 0)


def input_user(peer: Peer) -> Any | None:
    """How a mention names a user; ``None`` for a peer that is none, or that nobody can address."""
    if peer.kind is not PeerKind.USER:
        return None
    if peer.is_self:
        return types.InputUserSelf()
    return None if peer.access_hash is None else types.InputUser(peer.chat_id, peer.access_hash)


def _photo_id(entity: Any) -> int | None:
    """The photo that a user or chat has; none where Telegram shows none."""
    photo_id: int | None = getattr(getattr(entity, "photo", None), "photo_id", None)
    return photo_id


def _username(entity: Any) -> str | None:
    """The name in use: Telegram keeps it in ``username``, or in ``usernames`` once there are several."""
    if entity.username:
        return str(entity.username)
    return next((str(name.username) for name in entity.usernames or () if name.active), None)
