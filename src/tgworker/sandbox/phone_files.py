"""Files and other things that users send without a client."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from telethon.tl import types

from tgworker.sandbox import post
from tgworker.sandbox.accounts import Account
from tgworker.sandbox.addressing import check_may_write, history_of
from tgworker.sandbox.channel_post import publish
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.contents import Content, HeldContent
from tgworker.sandbox.errors import RequestRefused, SandboxError
from tgworker.sandbox.files import StoredFile
from tgworker.sandbox.media import DocumentMedia, Media, OtherMedia, PhotoMedia, family_of, photo_size
from tgworker.sandbox.profile import set_profile_photo
from tgworker.sandbox.room import Room
from tgworker.sandbox.rooms import Rooms
from tgworker.sandbox.values import SentText

Kind = Literal["photo", "video", "video_note", "animation", "audio", "voice", "sticker", "document"]


@dataclass(frozen=True, slots=True)
class PhoneFile:
    """A file that a user sends.

    Attributes:
        kind: What it is sent as.
        data: Its bytes; those that are not in memory as a `Content`.
        name: What it is called; empty: it has no name.
        mime_type: What it is said to be.
        caption: What stands under it.
        duration_s: Of sound and moving pictures.
    """

    kind: Kind
    data: bytes | Content = field(repr=False)
    name: str = ""
    mime_type: str = "application/octet-stream"
    caption: str = field(default="", repr=False)
    duration_s: int = 1

    def content(self) -> Content:
        """Its bytes."""
        return HeldContent(self.data) if isinstance(self.data, bytes) else self.data


class PhoneFiles:
    """The files of a sandbox, as whoever opens one sees them.

    Args:
        cloud: What it remembers.
        rooms: Finds groups and channels.
    """

    def __init__(self, cloud: Cloud, rooms: Rooms) -> None:
        self._cloud = cloud
        self._rooms = rooms

    def send(self, sender_id: int, recipient_id: int, *files: PhoneFile) -> list[SentText]:
        """Send a file as a user who needs no client, or several as an album.

        Raises:
            UnknownUser, UnknownPeer: There is no such user, group or channel.
            SandboxError: They cannot be sent.
        """
        sender, room = self._cloud.directory.get(sender_id), self._rooms.find(recipient_id)
        return _send_files(self._cloud, sender, room, files)

    def send_other(self, sender_id: int, recipient_id: int, what: Any) -> SentText:
        """Send what has no file, as a TL object: ``messageMediaContact``, ``…Geo``, ``…Venue``, ``…Poll``.

        Raises:
            UnknownUser, UnknownPeer: There is no such user, group or channel.
            SandboxError: It cannot be sent.
        """
        sender, room = self._cloud.directory.get(sender_id), self._rooms.find(recipient_id)
        try:
            check_may_write(sender, room)
        except RequestRefused as refusal:
            raise SandboxError(f"this cannot be sent: {refusal.message}") from None
        return _post(self._cloud, sender, room, OtherMedia(what), post.Content("", ()), None)

    def new_id(self) -> int:
        """A number that nothing else has: polls have one."""
        return self._cloud.rng.getrandbits(62)

    def set_photo(self, peer: int, data: bytes) -> int:
        """Give a user, group or channel a photo; returns its id. Members are told nothing."""
        return _set_photo(self._cloud, self._rooms.find(peer), data)

    def of(self, user_id: int, peer: int, message_id: int) -> StoredFile:
        """The file of a message as a user holds it. Raises SandboxError if there is none."""
        return _file_of(self._cloud.directory.get(user_id), self._rooms.find(peer), message_id)

    def expire_references(self) -> None:
        """Let all file references expire that were given out so far."""
        self._cloud.files.generation += 1

    def forget_parts(self, numbers: Iterable[int] | None = None) -> None:
        """Lose parts of files that no message carries yet: those of each, or all."""
        self._cloud.files.forget_parts(None if numbers is None else frozenset(numbers))


def _send_files(cloud: Cloud, sender: Account, room: Room, files: Sequence[PhoneFile]) -> list[SentText]:
    """Send files: one, or several as an album. Raises SandboxError if they cannot be sent."""
    try:
        check_may_write(sender, room)
        media = [_media(cloud, sender, each) for each in files]
        if len(files) > 1 and len({family_of(each) for each in media}) > 1:
            raise RequestRefused(400, "MEDIA_GROUPED_INVALID")
        captions = [post.checked_caption(cloud, sender, each.caption) for each in files]
    except RequestRefused as refusal:
        raise SandboxError(f"this cannot be sent: {refusal.message}") from None
    group = cloud.rng.getrandbits(62) if len(files) > 1 else None
    pairs = zip(media, captions, strict=True)
    return [_post(cloud, sender, room, each, caption, group) for each, caption in pairs]


def _set_photo(cloud: Cloud, room: Room, data: bytes) -> int:
    """Give a user, group or channel a photo; returns its id."""
    content = HeldContent(data)
    try:
        photo_size(content)
    except RequestRefused as refusal:
        raise SandboxError(f"this is no photo: {refusal.message}") from None
    photo = cloud.files.keep(content, cloud.behaviour.media_dc or cloud.dc_id)
    if isinstance(room, Account):
        set_profile_photo(cloud, room, photo)
    else:
        room.photo = photo
    return photo.id


def _file_of(user: Account, room: Room, message_id: int) -> StoredFile:
    """The file of a message as a user holds it. Raises SandboxError if there is none."""
    letter = history_of(user, room).letters.get(message_id)
    media = None if letter is None or letter.peer_id != room.peer else letter.media
    if media is None or isinstance(media, OtherMedia):
        raise SandboxError(f"user {user.id} has no file in message {message_id} of the chat with {room.peer}")
    return media.file


def _post(
    cloud: Cloud, sender: Account, room: Room, media: Media, caption: post.Content, group: int | None
) -> SentText:
    if isinstance(room, Channel):
        letter = publish(
            cloud, sender, room, caption.text, entities=caption.entities, media=media, group=group
        )
        return SentText(letter.id, letter.id)
    letter = post.deliver(
        cloud, sender, room, caption.text, entities=caption.entities, media=media, group=group
    )
    theirs = letter.copies.get(room.id, 0) if isinstance(room, Account) else 0
    return SentText(letter.id, theirs)


def _media(cloud: Cloud, sender: Account, file: PhoneFile) -> Media:
    content = file.content()
    if not content.size:
        raise RequestRefused(400, "FILE_PARTS_INVALID")
    size = photo_size(content) if file.kind == "photo" else None
    stored = cloud.files.keep(content, cloud.behaviour.media_dc or sender.dc_id)
    if size is not None:
        return PhotoMedia(cloud.files, stored, cloud.now(), size)
    media = DocumentMedia(cloud.files, stored, cloud.now(), file.mime_type, tuple(_attributes(file)))
    return cloud.documents.setdefault(stored.id, media)


def _attributes(file: PhoneFile) -> list[Any]:
    attributes: list[Any] = [types.DocumentAttributeFilename(file.name)] if file.name else []
    match file.kind:
        case "audio" | "voice":
            attributes.append(
                types.DocumentAttributeAudio(file.duration_s, voice=file.kind == "voice" or None)
            )
        case "video" | "video_note":
            is_round = file.kind == "video_note" or None
            attributes.append(
                types.DocumentAttributeVideo(float(file.duration_s), 320, 240, round_message=is_round)
            )
        case "animation":
            attributes += [
                types.DocumentAttributeAnimated(),
                types.DocumentAttributeVideo(float(file.duration_s), 320, 240),
            ]
        case "sticker":
            attributes.append(types.DocumentAttributeSticker("🙂", types.InputStickerSetEmpty()))
        case _:
            pass
    return attributes
