"""Messages with files: what Telegram is told of them, and one attempt to send them."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from telethon.errors import BadMessageError, RPCError, TypeNotFoundError
from telethon.tl import functions, types

from tgworker.messaging.formatted import FormattedText
from tgworker.messaging.media import FileFacts, FileKind
from tgworker.messaging.media_ports import MediaMessage, PartsForgotten
from tgworker.messaging.models import Peer, Position
from tgworker.messaging.outcomes import Outcome, Refused, Released, Unknown
from tgworker.telegram.books import LineLost
from tgworker.telegram.client import AccountClient
from tgworker.telegram.peers import input_peer
from tgworker.telegram.rpc_errors import send_outcome
from tgworker.telegram.sending import Sender
from tgworker.telegram.uploading import input_file

Entities = Callable[[FormattedText], list[Any]]
"""Formatting, as Telegram's objects."""

_FORGOTTEN = re.compile(r"FILE_PART_(\d+)_MISSING|FILE_PARTS_INVALID|FILE_PART_SIZE_CHANGED")


class MediaSender:
    """Sends messages with files, once each.

    Args:
        client: A connected client.
        sender: Remembers what became of each ``random_id``.
    """

    def __init__(self, client: AccountClient, sender: Sender) -> None:
        self._client = client
        self._sender = sender

    async def send_aio(
        self, peer: Peer, messages: Sequence[MediaMessage], log_at: Position, entities: Entities
    ) -> Outcome | PartsForgotten:
        """One attempt. See `tgworker.messaging.media_ports.MediaConnection.send_media`."""
        if len(messages) == 1:
            (message,) = messages
            request = functions.messages.SendMediaRequest(
                input_peer(peer),
                input_media(message),
                message.caption.text,
                random_id=message.random_id,
                entities=entities(message.caption) or None,
            )
            outcome = await self._sender.attempt_aio(request, [message.random_id], log_at)
            return _forgotten(outcome, 0) or outcome
        singles: list[Any] = []
        for number, message in enumerate(messages):
            known = await self._known_aio(peer, message)
            if isinstance(known, Outcome):
                return _forgotten(known, number) or known
            singles.append(
                types.InputSingleMedia(
                    known,
                    message.caption.text,
                    random_id=message.random_id,
                    entities=entities(message.caption) or None,
                )
            )
        request = functions.messages.SendMultiMediaRequest(input_peer(peer), singles)
        return await self._sender.attempt_aio(request, [each.random_id for each in messages], log_at)

    async def _known_aio(self, peer: Peer, message: MediaMessage) -> Any:
        """What an album names: a file that Telegram has looked at. Until then nothing is sent."""
        request = functions.messages.UploadMediaRequest(input_peer(peer), input_media(message))
        try:
            media: Any = await self._client.ask_aio(request)
        except LineLost as error:
            return Released(str(error))
        except RPCError as error:
            said = send_outcome(error)
            return Released(said.reason) if isinstance(said, Unknown) else said
        except (BadMessageError, TypeNotFoundError) as error:
            return Released(type(error).__name__)
        match media:
            case types.MessageMediaPhoto(photo=types.Photo() as photo):
                return types.InputMediaPhoto(
                    types.InputPhoto(photo.id, photo.access_hash, photo.file_reference)
                )
            case types.MessageMediaDocument(document=types.Document() as document):
                return types.InputMediaDocument(
                    types.InputDocument(document.id, document.access_hash, document.file_reference)
                )
            case _:
                return Refused("MEDIA_INVALID")


def input_media(message: MediaMessage) -> Any:
    """A file that was uploaded, as what it is to be."""
    facts, file = message.facts, input_file(message.file)
    if facts.kind is FileKind.PHOTO:
        return types.InputMediaUploadedPhoto(file)
    return types.InputMediaUploadedDocument(
        file,
        mime_type=facts.mime_type or "application/octet-stream",
        attributes=_attributes(facts, message.waveform),
        force_file=facts.kind is FileKind.DOCUMENT or None,
        # Otherwise a film without sound becomes an animation.
        nosound_video=facts.kind is FileKind.VIDEO or None,
    )


def _attributes(facts: FileFacts, waveform: bytes | None) -> list[Any]:
    attributes: list[Any] = []
    if facts.file_name and facts.kind not in (FileKind.VOICE, FileKind.VIDEO_NOTE):
        attributes.append(types.DocumentAttributeFilename(facts.file_name))
    duration_s = facts.duration_s or 0.0
    match facts.kind:
        case FileKind.AUDIO:
            attributes.append(types.DocumentAttributeAudio(round(duration_s)))
        case FileKind.VOICE:
            attributes.append(types.DocumentAttributeAudio(round(duration_s), voice=True, waveform=waveform))
        case FileKind.VIDEO | FileKind.VIDEO_NOTE | FileKind.ANIMATION:
            attributes.append(
                types.DocumentAttributeVideo(
                    duration_s,
                    facts.width or 0,
                    facts.height or 0,
                    round_message=facts.kind is FileKind.VIDEO_NOTE or None,
                    supports_streaming=facts.kind is FileKind.VIDEO or None,
                )
            )
            if facts.kind is FileKind.ANIMATION:
                attributes.append(types.DocumentAttributeAnimated())
        case FileKind.STICKER:
            attributes.append(types.DocumentAttributeSticker("", types.InputStickerSetEmpty()))
        case FileKind.PHOTO | FileKind.DOCUMENT:
            pass
    return attributes


def _forgotten(outcome: Outcome, number: int) -> PartsForgotten | None:
    """What a refusal means that is about parts which Telegram has no more."""
    match = _FORGOTTEN.fullmatch(outcome.reason) if isinstance(outcome, Refused) else None
    if match is None:
        return None
    return PartsForgotten({number: None if match[1] is None else int(match[1])})
