"""What functions of the database take and give: as msgspec reads it, and as the messaging core means it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from tgworker.messaging.media import OutgoingFile
from tgworker.messaging.models import AccountId, ChatMessage, Peer, PeerKind, Position
from tgworker.messaging.values import storable


class Row(msgspec.Struct):
    """An object in an answer. What a newer schema adds to it is not looked at."""


class PeerRow(Row):
    """A peer."""

    chat_id: int
    kind: PeerKind
    access_hash: int | None = None
    first_name: str | None = None
    last_name: str | None = None
    title: str | None = None
    username: str | None = None
    phone: str | None = None
    is_self: bool = False
    is_contact: bool = False
    photo_id: int | None = None

    def peer(self) -> Peer:
        """As the messaging core has it."""
        return Peer(
            chat_id=self.chat_id,
            kind=self.kind,
            access_hash=self.access_hash,
            first_name=self.first_name,
            last_name=self.last_name,
            title=self.title,
            username=self.username,
            phone=self.phone,
            is_self=self.is_self,
            is_contact=self.is_contact,
            photo_id=self.photo_id,
        )


class FileRow(Row):
    """A file that a message is to carry."""

    id: str
    bucket: str
    path: str
    file_name: str | None
    mime_type: str | None
    byte_size: int | None

    def file(self) -> OutgoingFile:
        """As the messaging core has it."""
        return OutgoingFile(self.id, self.bucket, self.path, self.file_name, self.mime_type, self.byte_size)


class PositionRow(Row):
    """How far an account has read."""

    pts: int
    qts: int
    date: int
    seq: int
    channels: dict[str, int]
    user_id: int | None = None

    def position(self) -> Position:
        """As the messaging core has it."""
        channels = {int(channel): pts for channel, pts in self.channels.items()}
        return Position(self.pts, self.qts, self.date, self.seq, channels, self.user_id)


class FenceRow(Row):
    """The token of an account's lease."""

    account: AccountId
    fence: int


def fences_json(fences: Mapping[AccountId, int]) -> Sequence[Mapping[str, object]]:
    """Leases as arguments name them."""
    return [{"account": account, "fence": fence} for account, fence in fences.items()]


def peers_json(peers: Iterable[Peer]) -> Sequence[Mapping[str, object]]:
    """Peers as arguments name them."""
    return [
        {
            "chat_id": peer.chat_id,
            "kind": peer.kind.value,
            "access_hash": peer.access_hash,
            "first_name": kept(peer.first_name),
            "last_name": kept(peer.last_name),
            "title": kept(peer.title),
            "username": kept(peer.username),
            "phone": peer.phone.lstrip("+") if peer.phone else None,
            "is_self": peer.is_self,
            "is_contact": peer.is_contact,
            "photo_id": peer.photo_id,
            **({"is_min": True} if peer.is_min else {}),
        }
        for peer in peers
    ]


def files_json(files: Iterable[OutgoingFile]) -> Sequence[Mapping[str, object]]:
    """Files that a message is to carry as arguments name them."""
    return [
        {
            "id": file.id,
            "bucket": storable(file.bucket),
            "path": storable(file.path),
            "file_name": kept(file.file_name),
            "mime_type": kept(file.mime_type),
            "byte_size": file.byte_size,
        }
        for file in files
    ]


def messages_json(messages: Iterable[ChatMessage]) -> Sequence[Mapping[str, object]]:
    """Messages as arguments name them."""
    return [
        {
            "chat_id": message.chat_id,
            "telegram_id": message.telegram_id,
            "sender_id": message.sender_id,
            "outgoing": message.outgoing,
            "text": storable(message.text),
            "message_type": message.message_type,
            "sent_at": message.sent_at,
            "raw_payload": kept_json(message.raw_payload),
            "file": None if message.file is None else kept_json(asdict(message.file)),
        }
        for message in messages
    ]


def position_json(position: Position | None) -> Mapping[str, object] | None:
    """A position as arguments name it."""
    if position is None:
        return None
    return {
        "pts": position.pts,
        "qts": position.qts,
        "date": position.date,
        "seq": position.seq,
        "channels": {str(channel): pts for channel, pts in position.channels.items()},
    }


def kept_json(value: object) -> object:
    """JSON-ready values without the characters that ``jsonb`` does not keep."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value)
        return {storable(str(key)): kept_json(item) for key, item in pairs.items()}
    if isinstance(value, list | tuple):
        return [kept_json(item) for item in cast("Sequence[Any]", value)]
    return value


def utc(moment: datetime | None) -> datetime | None:
    """A time of the database, in UTC whatever its session's zone."""
    return None if moment is None else moment.astimezone(UTC)


def kept(text: str | None) -> str | None:
    """A text, or none, without the characters that PostgreSQL does not keep."""
    return None if text is None else storable(text)
