"""``messages.sendMedia``, ``uploadMedia`` and ``sendMultiMedia``: files and other things as messages."""

from typing import Any

from telethon.tl import types

from tgworker.sandbox import post
from tgworker.sandbox.addressing import check_may_write, room_of
from tgworker.sandbox.channel_post import publish
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.files import StoredFile
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.media import DocumentMedia, Media, OtherMedia, PhotoMedia, family_of, photo_size
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.requests.messages import known_send, new_messages, repeat, sent_letter
from tgworker.sandbox.room import Room

MAX_ALBUM = 10


def send_media(call: Call, request: Any) -> Answer:
    """``messages.sendMedia``; what it replies to is ignored."""
    known = known_send(call, request.random_id)
    if known is not None:
        return repeat(call, request.random_id, known)
    room = room_of(call.cloud, call.me, request.peer)
    caption = post.checked_caption(call.cloud, call.me, request.message, request.entities)
    check_may_write(call.me, room)
    media = _media(call, request.media)
    call.cloud.throttle.check_send(call.me, room)
    letter = _post(call, room, caption, media, request.random_id)
    return new_messages(call, room, [(letter, request.random_id)])


def upload_media(call: Call, request: Any) -> Answer:
    """``messages.uploadMedia``: what came in becomes something that an album may name."""
    room_of(call.cloud, call.me, request.peer)
    return _media(call, request.media).view()


def send_multi_media(call: Call, request: Any) -> Answer:
    """``messages.sendMultiMedia``: an album, whole or not at all.

    Source: https://core.telegram.org/api/files#albums-grouped-media
    """
    singles = request.multi_media
    if not 1 <= len(singles) <= MAX_ALBUM:
        raise RequestRefused(400, "MULTI_MEDIA_TOO_LONG" if singles else "MEDIA_EMPTY")
    known = {
        each.random_id: sent_letter(call, sent)
        for each in singles
        if (sent := known_send(call, each.random_id)) is not None
    }
    if known and (call.cloud.behaviour.repeats == "error" or None in known.values()):
        raise RequestRefused(500, "RANDOM_ID_DUPLICATE")
    room = room_of(call.cloud, call.me, request.peer)
    check_may_write(call.me, room)
    captions = [post.checked_caption(call.cloud, call.me, each.message, each.entities) for each in singles]
    if any(not isinstance(each.media, types.InputMediaPhoto | types.InputMediaDocument) for each in singles):
        raise RequestRefused(400, "MEDIA_INVALID")
    media = [_media(call, each.media) for each in singles]
    if len({family_of(each) for each in media}) > 1:
        raise RequestRefused(400, "MEDIA_GROUPED_INVALID")
    call.cloud.throttle.check_send(call.me, room)
    group = call.cloud.rng.getrandbits(62)
    letters: list[tuple[Letter, int]] = []
    for single, caption, each in zip(singles, captions, media, strict=True):
        letter = known.get(single.random_id)
        if letter is None:
            letter = _post(call, room, caption, each, single.random_id, group)
        else:
            call.cloud.counts.repeats += 1
        letters.append((letter, single.random_id))
    return new_messages(call, room, letters, repeated=known)


def _post(
    call: Call, room: Room, caption: post.Content, media: Media, random_id: int, group: int | None = None
) -> Letter:
    text, entities = caption
    if isinstance(room, Channel):
        return publish(
            call.cloud,
            call.me,
            room,
            text,
            entities=entities,
            media=media,
            group=group,
            random_id=random_id,
            via=call.line,
        )
    return post.deliver(
        call.cloud,
        call.me,
        room,
        text,
        entities=entities,
        media=media,
        group=group,
        random_id=random_id,
        via=call.line,
    )


def _media(call: Call, asked: Any) -> Media:
    """What a client wants to send.

    Raises:
        RequestRefused: It is none, or not all there.
    """
    shelf, now = call.cloud.files, call.cloud.now()
    match asked:
        case types.InputMediaUploadedPhoto():
            file = uploaded_file(call, asked.file)
            return PhotoMedia(shelf, file, now, photo_size(file.content))
        case types.InputMediaUploadedDocument():
            file, attributes = uploaded_file(call, asked.file), tuple(asked.attributes)
            media = DocumentMedia(shelf, file, now, asked.mime_type, attributes)
            return call.cloud.documents.setdefault(file.id, media)
        case types.InputMediaPhoto():
            file = known_file(call, asked.id)
            return PhotoMedia(shelf, file, now, photo_size(file.content))
        case types.InputMediaDocument():
            file = known_file(call, asked.id)
            return call.cloud.documents[file.id]
        case types.InputMediaContact():
            contact = types.MessageMediaContact(
                asked.phone_number, asked.first_name, asked.last_name, asked.vcard, 0
            )
            return OtherMedia(contact)
        case types.InputMediaGeoPoint():
            return OtherMedia(types.MessageMediaGeo(_point(asked.geo_point)))
        case types.InputMediaGeoLive():
            return OtherMedia(types.MessageMediaGeoLive(_point(asked.geo_point), asked.period or 60))
        case types.InputMediaVenue():
            venue = types.MessageMediaVenue(
                _point(asked.geo_point),
                asked.title,
                asked.address,
                asked.provider,
                asked.venue_id,
                asked.venue_type,
            )
            return OtherMedia(venue)
        case types.InputMediaDice():
            return OtherMedia(types.MessageMediaDice(call.cloud.rng.randint(1, 6), asked.emoticon))
        case types.InputMediaPoll():
            results = types.PollResults(total_voters=0)
            return OtherMedia(types.MessageMediaPoll(asked.poll, results))
        case _:
            raise RequestRefused(400, "MEDIA_EMPTY")


def known_file(call: Call, named: Any) -> StoredFile:
    """The file that an ``inputPhoto`` or ``inputDocument`` names. Raises RequestRefused if there is none."""
    if isinstance(named, types.InputPhotoEmpty | types.InputDocumentEmpty):
        raise RequestRefused(400, "MEDIA_EMPTY")
    return call.cloud.files.find(named.id, named.access_hash, named.file_reference, "MEDIA_EMPTY")


def uploaded_file(call: Call, asked: Any) -> StoredFile:
    """The file whose parts came in as an ``inputFile``. Raises RequestRefused if they are not all there."""
    dc_id = call.cloud.behaviour.media_dc or call.me.dc_id
    match asked:
        case types.InputFile():
            checksum, big = asked.md5_checksum, False
        case types.InputFileBig():
            checksum, big = "", True
        case _:
            raise RequestRefused(400, "FILE_PARTS_INVALID")
    return call.cloud.files.take(call.me.id, asked.id, asked.parts, checksum, dc_id, big=big)


def _point(asked: Any) -> Any:
    if not isinstance(asked, types.InputGeoPoint):
        raise RequestRefused(400, "MEDIA_EMPTY")
    return types.GeoPoint(asked.long, asked.lat, 0, asked.accuracy_radius)
