"""Files through the whole worker, both ways: every byte, once, whatever breaks on the way.

On the real clock: disks are read in threads, for which no other waits.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import cast

import pytest
import trio

from embedded.embedded_kit import SqliteApplication
from sandbox.unmodified_files import PICTURE
from tgworker.app.parts import Parts
from tgworker.embedded import DataFolder, EmbeddedFiles
from tgworker.messaging.events import AccountChanged, FileFetched
from tgworker.messaging.file_store import FileStore, Uploaded
from tgworker.messaging.limits import Limits
from tgworker.messaging.media import FileKind, OutgoingFile
from tgworker.messaging.media_rules import MediaRules
from tgworker.messaging.models import AccountState, MessageId
from tgworker.messaging.places import Place
from tgworker.messaging.records import OutboxState
from tgworker.messaging.values import new_id
from tgworker.sandbox import Fault, PhoneFile
from tgworker.supervision import Backoff
from transcoding.transcoding_inputs import make_film, make_sound
from worker.worker_world import OWNER, Ground, World, open_ground

LONG = Random(4).randbytes(3 * 1024 * 1024 + 77)


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncGenerator[Ground]:
    limits = Limits(outbound_every_s=0.05)
    async with open_ground(
        tmp_path / "data", limits=limits, line_backoff=Backoff(initial_s=0.05, cap_s=0.1)
    ) as ground:
        yield ground


@asynccontextmanager
async def working(ground: Ground) -> AsyncGenerator[World]:
    """A worker whose account is online."""
    async with ground.worker() as world:
        with trio.fail_after(20):
            while not online(world):
                await trio.sleep(0.01)
        ground.notes.clear()
        yield world


def online(world: World) -> bool:
    return any(event.state is AccountState.ONLINE for _, event in world.seen(AccountChanged))


def files_of(world: World) -> EmbeddedFiles:
    return EmbeddedFiles(DataFolder(world.folder).files)


async def put(files: FileStore, name: str, data: bytes, content_type: str) -> OutgoingFile:
    """What the application does with a file before it writes its row."""
    await files.ensure_bucket("attachments", public=False)

    async def content() -> AsyncGenerator[bytes]:
        for begin in range(0, len(data), 100_000):
            yield data[begin : begin + 100_000]

    place = Place("attachments", f"out/{name}")
    assert await files.upload(place, content, size=len(data), content_type=content_type) == Uploaded(
        len(data)
    )
    return OutgoingFile(new_id(), place.bucket, place.path, name, content_type, len(data))


async def send(world: World, kind: FileKind, text: str, *files: OutgoingFile) -> MessageId:
    (message_id,) = await world.store.enqueue(
        world.account, str(world.peer.id), [text] if text else [], files=files, kind=kind
    )
    return message_id


async def settled(world: World, message_id: MessageId) -> OutboxState:
    with trio.fail_after(30):
        while not (state := await world.state_of(message_id)).settled:
            await trio.sleep(0.02)
    return state


def arrived(world: World) -> list[tuple[str, str]]:
    """What the other side holds: the caption and the digest of the file of each message."""
    found: list[tuple[str, str]] = []
    for line in world.sandbox.chat(world.peer.id, world.me.id):
        file = world.sandbox.files.of(world.peer.id, world.me.id, line.id)
        found.append((line.text, file.sha256()))
    return found


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


# ---------------------------------------------------------------- out


@pytest.mark.parametrize(
    ("kind", "name", "content_type", "data"),
    [
        (FileKind.PHOTO, "a.png", "image/png", PICTURE),
        (FileKind.DOCUMENT, "a.bin", "application/octet-stream", LONG),
        (FileKind.DOCUMENT, "a.pdf", "application/pdf", b"%PDF-1.7 " + bytes(700_000)),
        (FileKind.STICKER, "a.webp", "image/webp", b"RIFF\x1a\0\0\0WEBPVP8L" + bytes(30)),
    ],
)
async def test_a_file_arrives_with_its_caption(
    ground: Ground, kind: FileKind, name: str, content_type: str, data: bytes
) -> None:
    async with working(ground) as world:
        file = await put(files_of(world), name, data, content_type)
        assert await settled(world, await send(world, kind, "look", file)) is OutboxState.SENT
        said = [line.text for line in world.sandbox.chat(world.peer.id, world.me.id)]
        assert said == (["", "look"] if kind is FileKind.STICKER else ["look"])
        assert world.sandbox.files.of(world.peer.id, world.me.id, 1).sha256() == digest(data)


async def test_a_voice_note_is_converted_and_a_film_is_sent_as_it_is(ground: Ground, tmp_path: Path) -> None:
    sound = await trio.to_thread.run_sync(make_sound, tmp_path / "a.webm")
    film = await trio.to_thread.run_sync(make_film, tmp_path / "a.mp4")
    async with working(ground) as world:
        files = files_of(world)
        voice = await put(files, "a.webm", await trio.Path(sound).read_bytes(), "audio/webm")
        moving = await trio.Path(film).read_bytes()
        video = await put(files, "a.mp4", moving, "video/mp4")
        for kind, file in ((FileKind.VOICE, voice), (FileKind.VIDEO, video)):
            assert await settled(world, await send(world, kind, "", file)) is OutboxState.SENT
        note, sent = (
            world.sandbox.files.of(world.peer.id, world.me.id, line.id)
            for line in world.sandbox.chat(world.peer.id, world.me.id)
        )
        assert note.content.read(0, 4) == b"OggS"
        assert sent.sha256() == digest(moving)
        assert list((world.folder / "spool").iterdir()) == []


async def test_an_album_is_one_and_its_row_is_settled_once(ground: Ground) -> None:
    async with working(ground) as world:
        files = files_of(world)
        pictures = [await put(files, f"{n}.png", PICTURE + bytes([n]), "image/png") for n in range(12)]
        message_id = await send(world, FileKind.PHOTO, "all of them", *pictures)
        assert await settled(world, message_id) is OutboxState.SENT
        assert arrived(world) == [
            ("all of them" if n == 0 else "", digest(PICTURE + bytes([n]))) for n in range(12)
        ]
        requests = world.sandbox.statistics().requests
        assert (requests["messages.sendMultiMedia"], requests["messages.uploadMedia"]) == (2, 12)


async def test_a_long_caption_goes_on_behind_the_files(ground: Ground) -> None:
    async with working(ground) as world:
        files = [await put(files_of(world), f"{n}.png", PICTURE, "image/png") for n in range(2)]
        text = " ".join(f"word {n}" for n in range(300))
        assert await settled(world, await send(world, FileKind.PHOTO, text, *files)) is OutboxState.SENT
        said = [line.text for line in world.sandbox.chat(world.peer.id, world.me.id)]
        assert said[1] == ""
        assert " ".join([said[0], *said[2:]]) == text


@pytest.mark.parametrize(
    ("data", "name", "reason"),
    [
        (b"", "a.png", "its file: it is empty, and Telegram takes no empty files"),
        (None, "gone.png", "upload it, or correct its row in attachments"),
    ],
)
async def test_a_file_that_cannot_be_sent_is_said_and_its_text_does_not_go_without_it(
    ground: Ground, data: bytes | None, name: str, reason: str
) -> None:
    async with working(ground) as world:
        files = files_of(world)
        await files.ensure_bucket("attachments", public=False)
        file = OutgoingFile(new_id(), "attachments", f"out/{name}", name, "image/png", 5)
        if data is not None:
            file = await put(files, name, data, "image/png")
        message_id = await send(world, FileKind.PHOTO, "look", file)
        with trio.fail_after(20):
            while (await world.store.outcomes([message_id]))[message_id].error is None:
                await trio.sleep(0.02)
        record = (await world.store.outcomes([message_id]))[message_id]
        assert record.state is (OutboxState.DEAD if data is not None else OutboxState.DEFERRED)
        assert reason in str(record.error)
        assert world.sandbox.chat(world.peer.id, world.me.id) == ()


async def test_a_picture_that_is_none_goes_as_a_document(ground: Ground) -> None:
    async with working(ground) as world:
        file = await put(files_of(world), "a.png", b"this is text", "image/png")
        assert await settled(world, await send(world, FileKind.PHOTO, "", file)) is OutboxState.SENT
        assert arrived(world) == [("", digest(b"this is text"))]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("drop", "upload.saveFilePart", after=2, count=1),
        Fault("flood_wait", "upload.saveFilePart", seconds=1, after=3, count=1),
        Fault("accept_drop", "messages.sendMedia", count=1),
        Fault("rpc_error", "messages.sendMedia", code=500, message="INTERNAL", count=1),
        Fault("flood_wait", "messages.sendMedia", seconds=1, count=1),
    ],
    ids=lambda fault: f"{fault.action} {fault.method}",
)
async def test_whatever_breaks_a_file_arrives_once(ground: Ground, fault: Fault) -> None:
    async with working(ground) as world:
        world.sandbox.faults.set(fault)
        file = await put(files_of(world), "a.bin", LONG, "application/octet-stream")
        assert await settled(world, await send(world, FileKind.DOCUMENT, "once", file)) is OutboxState.SENT
        assert arrived(world) == [("once", digest(LONG))]
        sent = world.sandbox.statistics().requests["upload.saveFilePart"]
        assert sent <= 7 + 5  # seven parts, and not all of them again


async def test_parts_that_telegram_forgets_are_sent_again(ground: Ground) -> None:
    async with working(ground) as world:
        world.sandbox.faults.set(Fault("flood_wait", "messages.sendMedia", seconds=1, count=1))
        file = await put(files_of(world), "a.bin", LONG, "application/octet-stream")
        message_id = await send(world, FileKind.DOCUMENT, "", file)
        with trio.fail_after(20):
            while not world.sandbox.faults.hits():
                await trio.sleep(0.01)
        world.sandbox.files.forget_parts([2])
        assert await settled(world, message_id) is OutboxState.SENT
        assert arrived(world) == [("", digest(LONG))]
        assert world.sandbox.statistics().requests["upload.saveFilePart"] == 7 + 1


async def test_a_text_to_another_chat_does_not_wait_for_a_file(ground: Ground) -> None:
    async with working(ground) as world:
        world.sandbox.faults.set(Fault("delay", "upload.saveFilePart", seconds=1, after=1, count=1))
        file = await put(files_of(world), "a.bin", LONG, "application/octet-stream")
        slow = await send(world, FileKind.DOCUMENT, "", file)
        with trio.fail_after(20):
            while not world.sandbox.faults.hits():
                await trio.sleep(0.01)
        quick = await world.give("hi", str(world.stranger.id))
        assert await settled(world, quick) is OutboxState.SENT
        assert not (await world.state_of(slow)).settled
        assert await settled(world, slow) is OutboxState.SENT


# ---------------------------------------------------------------- in


async def fetched(world: World, number: int = 1) -> list[FileFetched]:
    with trio.fail_after(30):
        while len(found := [event for _, event in world.seen(FileFetched)]) < number:
            await trio.sleep(0.02)
    return found


def rows(world: World, table: str) -> list[dict[str, object]]:
    app = SqliteApplication(DataFolder(world.folder).database)
    try:
        return [dict(row) for row in app.rows(table)]
    finally:
        app.close()


async def kept(world: World) -> list[tuple[str, str, str]]:
    """Name, type and digest of every attachment, by the order of the rows."""
    found: list[tuple[str, str, str]] = []
    for row in rows(world, "attachments"):
        async with files_of(world).download(
            Place(str(row["storage_bucket"]), str(row["storage_path"]))
        ) as reading:
            data = b"".join([piece async for piece in reading])
        assert len(data) == row["byte_size"]
        assert reading.content_type == row["mime_type"]
        found.append((str(row["file_name"]), str(row["mime_type"]), digest(data)))
    return found


async def test_every_kind_that_arrives_is_kept(ground: Ground) -> None:
    sent = [
        PhoneFile("photo", PICTURE, caption="look"),
        PhoneFile("document", LONG, "a.bin"),
        PhoneFile("voice", b"OggS" + bytes(5000), "", "audio/ogg"),
        PhoneFile("video", bytes(900_000), "a.mp4", "video/mp4"),
        PhoneFile("video_note", bytes(1000), "", "video/mp4"),
        PhoneFile("audio", bytes(1000), "a.mp3", "audio/mpeg"),
        PhoneFile("sticker", b"RIFF\x1a\0\0\0WEBPVP8L" + bytes(30), "s.webp", "image/webp"),
        PhoneFile("animation", bytes(1000), "g.mp4", "video/mp4"),
    ]
    contents = [file.data for file in sent if isinstance(file.data, bytes)]
    async with working(ground) as world:
        for file in sent:
            world.sandbox.files.send(world.peer.id, world.me.id, file)
        events = await fetched(world, len(sent))
        assert {event.outcome for event in events} == {"fetched"}
        assert {event.kind for event in events} == {file.kind for file in sent}
        assert sorted(found[2] for found in await kept(world)) == sorted(map(digest, contents))
        assert sorted(str(row["message_type"]) for row in rows(world, "messages")) == sorted(
            file.kind for file in sent
        )
        assert list((world.folder / "spool").iterdir()) == []
        paths = [Path(str(row["storage_path"])) for row in rows(world, "attachments")]
        assert {path.parent for path in paths} == {Path(OWNER) / world.account}
        assert {path.stem for path in paths} == {str(row["id"]) for row in rows(world, "messages")}


async def test_the_text_is_there_before_its_file(ground: Ground) -> None:
    async with working(ground) as world:
        world.sandbox.faults.set(Fault("delay", "upload.getFile", seconds=1, count=1))
        world.sandbox.files.send(world.peer.id, world.me.id, PhoneFile("photo", PICTURE, caption="look"))
        with trio.fail_after(0.9):
            while not rows(world, "messages"):
                await trio.sleep(0.01)
        assert rows(world, "attachments") == []
        await fetched(world)
        assert [found[2] for found in await kept(world)] == [digest(PICTURE)]


async def test_names_and_types_of_strangers_are_made_harmless(ground: Ground) -> None:
    async with working(ground) as world:
        page = b"<html><script>alert(1)</script></html>"
        for name, mime_type in (("../../etc/passwd", "image/png"), ("a\u202egnp.exe", "text/html")):
            world.sandbox.files.send(world.peer.id, world.me.id, PhoneFile("document", page, name, mime_type))
        await fetched(world, 2)
        for name, mime_type, _ in await kept(world):
            assert "/" not in name
            assert "\u202e" not in name
            assert mime_type == "application/octet-stream"


@pytest.mark.parametrize(
    "fault",
    [
        Fault("drop", "upload.getFile", after=3, count=1),
        Fault("flood_wait", "upload.getFile", seconds=1, after=2, count=1),
        Fault("rpc_error", "upload.getFile", code=400, message="FILE_REFERENCE_EXPIRED", after=2, count=1),
        Fault("flood_wait", "messages.getMessages", seconds=1, count=1),
    ],
    ids=lambda fault: f"{fault.action} {fault.method}",
)
async def test_whatever_breaks_a_file_is_kept_and_not_begun_anew(ground: Ground, fault: Fault) -> None:
    async with working(ground) as world:
        world.sandbox.faults.set(fault)
        world.sandbox.files.send(world.peer.id, world.me.id, PhoneFile("document", LONG, "a.bin"))
        with trio.fail_after(40):
            while not await kept(world):
                await trio.sleep(0.05)
        assert [found[2] for found in await kept(world)] == [digest(LONG)]
        assert world.sandbox.statistics().requests["upload.getFile"] <= 7 + 6


async def test_what_is_not_wanted_stays_at_telegram_and_says_so(ground: Ground) -> None:
    rules = MediaRules(kinds=frozenset({FileKind.PHOTO}), most_bytes=100)
    ground.rewire = lambda parts: replaced(parts, rules)
    async with working(ground) as world:
        for file in (PhoneFile("photo", PICTURE + bytes(100)), PhoneFile("document", b"x", "a.bin")):
            world.sandbox.files.send(world.peer.id, world.me.id, file)
        events = await fetched(world, 2)
        assert {event.outcome for event in events} == {"left"}
        assert sorted(str(event.reason) for event in events) == [
            "document files are not fetched here (TGWORKER_MEDIA_KINDS)",
            "it has 0.0 MB, and at most 0.0001 are fetched here (TGWORKER_MEDIA_MAX_MB)",
        ]
        assert world.sandbox.statistics().requests.get("upload.getFile", 0) == 0


def replaced(parts: Parts, rules: MediaRules) -> Parts:
    return replace(parts, media=rules)


async def test_a_worker_that_dies_in_the_middle_is_gone_on_with(ground: Ground) -> None:
    async with working(ground) as world:
        world.sandbox.faults.set(Fault("blackhole", "upload.getFile", after=4, count=100))
        world.sandbox.files.send(world.peer.id, world.me.id, PhoneFile("document", LONG, "a.bin"))
        with trio.fail_after(20):
            while not world.sandbox.faults.hits():
                await trio.sleep(0.01)
    asked = ground.sandbox.statistics().requests["upload.getFile"]
    ground.sandbox.faults.clear()
    async with working(ground) as world:
        await fetched(world)
        assert [found[2] for found in await kept(world)] == [digest(LONG)]
    assert ground.sandbox.statistics().requests["upload.getFile"] - asked < 7


async def test_what_people_look_like_is_kept_once(ground: Ground) -> None:
    ground.sandbox.files.set_photo(ground.sandbox.users[1].id, PICTURE)
    async with working(ground) as world:
        world.sandbox.send_text(world.peer.id, world.me.id, "hi")
        with trio.fail_after(20):
            while not any("avatar_url" in str(row["metadata"]) for row in rows(world, "contact_identities")):
                await trio.sleep(0.02)
        urls = [
            json.loads(str(row["metadata"])).get("avatar_url") for row in rows(world, "contact_identities")
        ]
        (url,) = [each for each in urls if each]
        assert await trio.Path(url.removeprefix("file://").replace("%25", "%")).read_bytes() == PICTURE
        asked = world.sandbox.statistics().requests["upload.getFile"]
        world.sandbox.send_text(world.peer.id, world.me.id, "again")
        await trio.sleep(0.3)
        assert world.sandbox.statistics().requests["upload.getFile"] == asked


# ---------------------------------------------------------------- what does not take the account along


class Breaking:
    """A file store whose uploads meet a bug, or a disk that is full."""

    def __init__(self, files: FileStore, error: Exception) -> None:
        self._files = files
        self._error = error

    def __getattr__(self, name: str) -> object:
        return getattr(self._files, name)

    async def upload(self, *_: object, **__: object) -> object:
        raise self._error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("x"), "a bug, report it: KeyError"),
        (OSError(28, "No space left on device"), "the spool cannot be written: No space left on device"),
    ],
    ids=["a bug", "a full disk"],
)
async def test_a_file_that_cannot_be_kept_leaves_the_account_alone(
    ground: Ground, error: Exception, reason: str
) -> None:
    ground.rewire = lambda parts: replace(parts, files=cast("FileStore", Breaking(parts.files, error)))
    async with working(ground) as world:
        world.sandbox.files.send(world.peer.id, world.me.id, PhoneFile("photo", PICTURE))
        (event,) = await fetched(world)
        assert (event.outcome, event.reason) == ("later", reason)
        world.sandbox.send_text(world.peer.id, world.me.id, "hi")
        with trio.fail_after(5):
            while len(rows(world, "messages")) < 2:
                await trio.sleep(0.01)
        assert not world.seen(AccountChanged)  # it is online all the while
