"""Scenes of `unmodified_client.py` with files."""

import asyncio
import base64
import io
import struct
import zlib
from random import Random
from typing import Any

from telethon.tl import functions, types

from sandbox.unmodified_world import World, heard, refusal

BIG = Random(1).randbytes(11 * 1024 * 1024 + 77)


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(3 * width) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


PICTURE = png(40, 30)


def named(data: bytes, name: str) -> io.BytesIO:
    file = io.BytesIO(data)
    file.name = name
    return file


async def files(world: World) -> Any:
    """Every kind, up and down, and what is refused."""
    bob = world.users[1]
    found: dict[str, Any] = {}
    async with world.of(0) as alice, world.of(1) as other:
        await alice.get_dialogs()
        to = await alice.get_input_entity(bob["username"])
        came: asyncio.Queue[Any] = asyncio.Queue()
        other.add_event_handler(lambda event: came.put_nowait(event.message), _new_message())

        async def arrives(message: Any, data: bytes) -> list[Any]:
            theirs = await heard(came)
            both = [await alice.download_media(message, bytes), await other.download_media(theirs, bytes)]
            return [both == [data, data], theirs.message]

        photo = await alice.send_file(to, named(PICTURE, "a.png"), caption="look")
        found["photo"] = [*await arrives(photo, PICTURE), photo.photo.sizes[-1].w]
        note = await alice.send_file(
            to,
            named(b"OggS" + bytes(900), "v.ogg"),
            voice_note=True,
            attributes=[types.DocumentAttributeAudio(3, voice=True)],
        )
        found["voice"] = [*await arrives(note, b"OggS" + bytes(900)), note.voice is not None]
        document = await alice.send_file(to, named(b"%PDF" * 10, "b.pdf"), force_document=True)
        found["document"] = [
            *await arrives(document, b"%PDF" * 10),
            document.file.name,
            document.file.mime_type,
        ]
        big = await alice.send_file(to, named(BIG, "big.bin"), force_document=True)
        found["big"] = [*await arrives(big, BIG), big.file.size == len(BIG)]
        album = await alice.send_file(
            to, [named(PICTURE, "1.png"), named(PICTURE, "2.png")], caption=["one", ""]
        )
        theirs = [await heard(came), await heard(came)]
        found["album"] = [
            len({each.grouped_id for each in [*album, *theirs]}),
            [each.message for each in theirs],
            [await other.download_media(each, bytes) == PICTURE for each in theirs],
        ]
        again = await alice.send_file(to, photo.photo)
        found["again"] = [again.photo.id == photo.photo.id, (await heard(came)).photo.id == photo.photo.id]
        found["history"] = [type(each.media).__name__ for each in await alice.get_messages(to, limit=7)]
        found["no picture"] = await refusal(
            alice.send_file(
                to, types.InputMediaUploadedPhoto(await alice.upload_file(b"text", file_name="t"))
            )
        )
        found["long caption"] = await refusal(
            alice.send_file(to, named(PICTURE, "a.png"), caption="x" * 1025)
        )
        found["digest"] = await world.control(
            cmd="file_of", user=bob["id"], peer=world.users[0]["id"], message=theirs[0].id
        )
        found["others"] = await _others(alice, to, came)
        found["refusals"] = await _refusals(world, alice, to, document)
        found["centres"] = await _centres(world, alice, other, came, to)
    found["phone"] = await _phone(world)
    return found


async def _others(alice: Any, to: Any, came: Any) -> list[str]:
    poll = types.Poll(
        id=1,
        question=types.TextWithEntities("which?", []),
        answers=[
            types.PollAnswer(types.TextWithEntities("a", []), b"0"),
            types.PollAnswer(types.TextWithEntities("b", []), b"1"),
        ],
        hash=0,
    )
    point = types.InputGeoPoint(1.5, 2.5)
    kinds = []
    for media in (
        types.InputMediaGeoPoint(point),
        types.InputMediaVenue(point, "Bar", "Street 1", "", "", ""),
        types.InputMediaContact("1555", "Ann", "", ""),
        types.InputMediaPoll(poll),
    ):
        await alice.send_file(to, media)
        kinds.append(type((await heard(came)).media).__name__)
    return kinds


async def _refusals(world: World, alice: Any, to: Any, document: Any) -> dict[str, str]:
    found = {}
    small = functions.upload.SaveFilePartRequest
    found["empty"] = await refusal(alice(small(7, 0, b"")))
    found["part size"] = await refusal(alice(functions.upload.SaveBigFilePartRequest(8, 0, 3, bytes(1000))))
    await alice(small(9, 1, bytes(1024)))
    media = types.InputMediaUploadedDocument(types.InputFile(9, 2, "x", ""), "a/b", [])
    found["missing part"] = await refusal(alice.send_file(to, media))
    await world.control(cmd="expire_references")
    found["expired"] = await refusal(
        alice(functions.upload.GetFileRequest(document_location(document), 0, 4096))
    )
    (fresh,) = await alice.get_messages(to, ids=[document.id])
    found["renewed"] = str((await alice.download_media(fresh, bytes)) == b"%PDF" * 10)
    found["offset"] = await refusal(alice(functions.upload.GetFileRequest(document_location(fresh), 5, 4096)))
    found["limit"] = await refusal(alice(functions.upload.GetFileRequest(document_location(fresh), 0, 5000)))
    return found


def document_location(message: Any) -> Any:
    document = message.document
    return types.InputDocumentFileLocation(document.id, document.access_hash, document.file_reference, "")


async def _centres(world: World, alice: Any, other: Any, came: Any, to: Any) -> list[bool]:
    """Files of another data centre come from there."""
    await world.control(cmd="behave", media_dc=4)
    sent = await alice.send_file(to, named(BIG[:700_000], "far.bin"), force_document=True)
    theirs = await heard(came)
    found = [
        sent.document.dc_id == 4,
        await alice.download_media(sent, bytes) == BIG[:700_000],
        await other.download_media(theirs, bytes) == BIG[:700_000],
        await refusal(alice(functions.upload.GetFileRequest(document_location(sent), 0, 4096)))
        == "FileMigrateError",
    ]
    await world.control(cmd="behave", media_dc=None)
    return found


async def _phone(world: World) -> Any:
    """What users without a client send, and what they look like."""
    alice, bob = world.users[:2]
    picture = base64.b64encode(PICTURE).decode()
    files = [
        {"kind": "photo", "data": picture, "caption": "hello"},
        {"kind": "photo", "data": picture},
    ]
    album = await world.control(cmd="send_files", sender=bob["id"], recipient=alice["id"], files=files)
    made = [{"kind": "voice", "made": 5000, "mime_type": "audio/ogg", "duration_s": 3}]
    voice = await world.control(cmd="send_files", sender=bob["id"], recipient=alice["id"], files=made)
    photo = await world.control(cmd="set_photo", peer=bob["id"], data=picture)
    async with world.of(0) as client:
        ids = [each["recipient_message_id"] for each in [*album["sent"], *voice["sent"]]]
        things = await _things(world, client)
        messages = await client.get_messages(await client.get_input_entity(bob["username"]), ids=ids)
        who = await client.get_entity(bob["username"])
        return [
            [await client.download_media(each, bytes) == PICTURE for each in messages[:2]],
            messages[2].voice.size,
            who.photo.photo_id == photo["photo"],
            await client.download_profile_photo(who, bytes) == PICTURE,
            things,
        ]


async def _things(world: World, client: Any) -> Any:
    """Contacts, places, venues and polls of users without a client."""
    alice, bob = world.users[:2]
    place = {"latitude": 52.5, "longitude": -13.4}
    ids = []
    for what in (
        {"kind": "contact", "phone": "1555", "first_name": "Ann", "user": bob["id"]},
        {"kind": "place", **place},
        {"kind": "venue", "title": "Bar", "address": "Street 1", **place},
        {"kind": "poll", "question": "which?", "answers": ["a", "b"], "multiple": True},
        {"kind": "poll", "question": "which?", "answers": ["a", "b"], "quiz": True},
    ):
        sent = await world.control(cmd="send_other", sender=bob["id"], recipient=alice["id"], what=what)
        ids.append(sent["recipient_message_id"])
    messages = await client.get_messages(await client.get_input_entity(bob["username"]), ids=ids)
    contact, point, venue, poll, quiz = (each.media for each in messages)
    return [
        [contact.phone_number, contact.first_name, contact.user_id == bob["id"]],
        [(each.geo.lat, each.geo.long) for each in (point, venue)],
        [venue.title, venue.address],
        [poll.poll.question.text, [each.text.text for each in poll.poll.answers]],
        [poll.poll.multiple_choice, quiz.poll.quiz, poll.poll.id != quiz.poll.id],
    ]


def _new_message() -> Any:
    from telethon import events

    return events.NewMessage(incoming=True)
