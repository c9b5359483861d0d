"""A connection's files: `tgworker.messaging.media_ports.MediaConnection`, but for the limits."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from telethon.errors import RPCError
from telethon.tl import functions, types

from tgworker.messaging.formatted import FormattedText
from tgworker.messaging.media import FileFacts, FileKind, PartialUpload
from tgworker.messaging.media_ports import MediaMessage, PartsForgotten, RemoteFile
from tgworker.messaging.models import Look, Peer, PeerKind, Position
from tgworker.messaging.outcomes import Deferred, Outcome, Refused
from tgworker.telegram.client import AccountClient
from tgworker.telegram.downloading import LineDownload
from tgworker.telegram.file_facts import Location, facts_of, location_of
from tgworker.telegram.file_lines import FileLines
from tgworker.telegram.looking import look_for_media_aio
from tgworker.telegram.media_sending import MediaSender
from tgworker.telegram.peers import bare_id, input_peer, marked_id
from tgworker.telegram.rpc_errors import file_outcome
from tgworker.telegram.sending import Sender
from tgworker.telegram.uploading import Cross, LineUpload

MOST_MESSAGES = 100
"""So many are looked up in one question."""


class MediaLine:
    """One connection's files. What is called from trio crosses into the account's loop by itself.

    Args:
        client: A connected client.
        sender: Sends, and remembers what became of it.
        cross: Into its loop.
        peer: What the account knows of a peer.
        entities: Formatting, as Telegram's objects.
    """

    def __init__(
        self,
        client: AccountClient,
        sender: Sender,
        *,
        cross: Cross,
        peer: Callable[[Peer], Peer],
        entities: Callable[[FormattedText], list[Any]],
    ) -> None:
        self._client = client
        self._cross = cross
        self._peer = peer
        self._entities = entities
        self._lines = FileLines(client)
        self._sender = MediaSender(client, sender)

    def upload(self, file: PartialUpload) -> LineUpload:
        """See the port."""
        return LineUpload(self._client, self._cross, file)

    @asynccontextmanager
    async def download(self, file: RemoteFile, begin: int) -> AsyncGenerator[LineDownload]:
        """See the port."""
        download = LineDownload(self._lines, self._cross, file, begin)
        with self._lines.in_use():
            try:
                yield download
            finally:
                download.forget()

    async def send_aio(
        self, peer: Peer, messages: Sequence[MediaMessage], log_at: Position
    ) -> Outcome | PartsForgotten:
        """See the port.

        Args:
            peer: Whom to send to.
            messages: What.
            log_at: How far the update log was read before the attempt.
        """
        return await self._sender.send_aio(peer, messages, log_at, self._entities)

    async def look_aio(
        self, peer: Peer, messages: Sequence[MediaMessage], above: int
    ) -> Look | Deferred | Refused:
        """See the port."""
        entities = [self._entities(each.caption) for each in messages]
        return await look_for_media_aio(self._client, peer, messages, entities, above)

    async def find_aio(
        self, peer: Peer, telegram_ids: Sequence[int]
    ) -> Mapping[int, RemoteFile | Refused] | Deferred | Refused:
        """See the port."""
        ids: list[Any] = [types.InputMessageID(each) for each in telegram_ids[:MOST_MESSAGES]]
        known = self._peer(peer)
        request: Any = functions.messages.GetMessagesRequest(ids)
        if peer.kind is PeerKind.CHANNEL:
            channel = types.InputChannel(bare_id(peer.chat_id), known.access_hash or 0)
            request = functions.channels.GetMessagesRequest(channel, ids)
        try:
            answer: Any = await self._client.ask_aio(request)
        except RPCError as error:
            return file_outcome(error)
        found: dict[int, RemoteFile | Refused] = dict.fromkeys(
            telegram_ids[:MOST_MESSAGES], Refused("Telegram has the message no more")
        )
        for message in getattr(answer, "messages", ()):
            if isinstance(message, types.Message) and marked_id(message.peer_id) == peer.chat_id:
                found[message.id] = _remote(message.media)
        return found

    async def avatar_aio(self, peer: Peer, photo_id: int) -> RemoteFile | Deferred | Refused:
        """See the port."""
        known = self._peer(peer)
        if known.access_hash is None and known.kind is not PeerKind.CHAT and not known.is_self:
            return Refused("PEER_ID_INVALID")
        location = types.InputPeerPhotoFileLocation(input_peer(known), photo_id, big=True)
        # In which data centre it lies, Telegram says when it is asked at the wrong one.
        return RemoteFile(FileFacts(FileKind.PHOTO, 0, "image/jpeg"), Location(self._lines.home, location))


def _remote(media: Any) -> RemoteFile | Refused:
    facts, location = facts_of(media), location_of(media)
    if facts is None or location is None:
        return Refused("Telegram has the file no more")
    return RemoteFile(facts, location)
