"""Files through a whole worker on a local stack, both ways: every byte, once, whatever breaks on the way."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
import trio
from psycopg.rows import dict_row

from sandbox.unmodified_files import PICTURE
from supabase.stack_world import OWNER, StackWorld, open_stack_world
from supabase.storage_world import of
from tgworker.devstack import Fault as Broken
from tgworker.devstack import Stack
from tgworker.messaging.file_store import Uploaded
from tgworker.messaging.media import FileKind, OutgoingFile
from tgworker.messaging.models import MessageId, Secret
from tgworker.messaging.places import Place
from tgworker.messaging.records import OutboxState
from tgworker.messaging.values import new_id
from tgworker.sandbox import Fault, PhoneFile
from tgworker.supabase.storage import Storage, open_storage
from transcoding.transcoding_inputs import make_film, make_sound

pytestmark = pytest.mark.slow

LONG = Random(4).randbytes(3 * 1024 * 1024 + 77)
PARTS = 7
OBJECTS = "/storage/v1/object/"
STICKER = b"RIFF\x1a\0\0\0WEBPVP8L" + bytes(30)


@dataclass
class Scene:
    """A worker that runs, the application's own way to Storage, and a person.

    Attributes:
        world: The worker.
        storage: What the application has of Storage.
        folder: The worker's data folder.
    """

    world: StackWorld
    storage: Storage
    folder: Path

    @property
    def peer(self) -> int:
        """The person's id."""
        return self.world.peers[0].id

    async def put(self, name: str, data: bytes, content_type: str) -> OutgoingFile:
        """What the application does with a file before it writes its row."""
        await self.storage.ensure_bucket("outgoing", public=False)
        place = Place("outgoing", f"{OWNER}/{new_id()}")
        said = await self.storage.upload(place, of(data), size=len(data), content_type=content_type)
        assert said == Uploaded(len(data))
        return OutgoingFile(new_id(), place.bucket, place.path, name, content_type, len(data))

    async def send(self, kind: FileKind, text: str, *files: OutgoingFile, to: int | None = None) -> MessageId:
        (message_id,) = await self.world.store.enqueue(
            self.world.account, str(to or self.peer), [text] if text else [], files=files, kind=kind
        )
        return message_id

    async def wait_sent(self, *message_ids: MessageId) -> None:
        with trio.fail_after(30):
            while True:
                records = (await self.world.store.outcomes(message_ids)).values()
                if all(record.state is OutboxState.SENT for record in records):
                    return
                assert not any(record.state is OutboxState.DEAD for record in records), records
                await trio.sleep(0.05)

    def break_by(self, fault: Broken | Fault) -> None:
        """At the gateway, or at Telegram."""
        if isinstance(fault, Fault):
            self.world.sandbox.faults.set(fault)
        else:
            self.world.stack.faults.set(fault)

    def arrived(self, at: int | None = None) -> list[tuple[str, str]]:
        """Caption and digest of each file that somebody (by default the person) has, in order."""
        sandbox, me, peer = self.world.sandbox, self.world.me.id, at or self.peer
        return [
            (line.text, sandbox.files.of(peer, me, line.id).sha256())
            for line in sandbox.chat(peer, me)
            if not line.outgoing
        ]

    def tell(self, *files: PhoneFile) -> None:
        """The person sends files, each by itself."""
        for file in files:
            self.world.sandbox.files.send(self.peer, self.world.me.id, file)

    def rows(self, query: str) -> list[dict[str, Any]]:
        with psycopg.connect(self.world.stack.db_url) as connection:
            return connection.cursor(row_factory=dict_row).execute(query.encode()).fetchall()

    async def wait_rows(self, number: int, query: str = "select * from attachments") -> list[dict[str, Any]]:
        with trio.fail_after(30):
            while len(rows := self.rows(query)) < number:
                await trio.sleep(0.05)
        assert len(rows) == number
        return rows

    async def content(self, row: dict[str, Any]) -> str:
        """The digest of the object that a row of ``attachments`` names."""
        async with self.storage.download(Place(row["storage_bucket"], row["storage_path"])) as reading:
            data = b"".join([piece async for piece in reading])
        assert (len(data), reading.content_type) == (row["byte_size"], row["mime_type"])
        return digest(data)

    async def wait_spool_empty(self) -> None:
        """(A file goes from there a moment after its row is there.)"""
        with trio.fail_after(5):
            while list((self.folder / "spool").iterdir()):
                await trio.sleep(0.02)


@pytest.fixture
async def scene(stack: Stack, tmp_path: Path) -> AsyncGenerator[Scene]:
    async with open_scene(stack, tmp_path / "data") as scene:
        yield scene


@asynccontextmanager
async def open_scene(stack: Stack, folder: Path) -> AsyncGenerator[Scene]:
    async with (
        open_stack_world(stack, folder, peers=2) as world,
        open_storage(stack.url, Secret(stack.service_role_key), rng=Random(2)) as storage,
    ):
        yield Scene(world, storage, folder)


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


# ---------------------------------------------------------------------------------- out


async def test_a_photo_a_voice_note_a_long_document_and_an_album_arrive(scene: Scene, tmp_path: Path) -> None:
    sound = await trio.to_thread.run_sync(make_sound, tmp_path / "a.webm")
    album = [PICTURE + bytes([number]) for number in range(3)]
    note = await scene.put("a.webm", sound.read_bytes(), "audio/webm")
    message_ids = [
        await scene.send(FileKind.PHOTO, "look", await scene.put("a.png", PICTURE, "image/png")),
        await scene.send(FileKind.VOICE, "", note),
        await scene.send(
            FileKind.DOCUMENT, "", await scene.put("Mañana.bin", LONG, "application/octet-stream")
        ),
        await scene.send(
            FileKind.PHOTO,
            "all",
            *[await scene.put(f"{n}.png", data, "image/png") for n, data in enumerate(album)],
        ),
    ]
    await scene.wait_sent(*message_ids)
    photo, voice, document, *pictures = scene.arrived()
    assert (photo, document) == (("look", digest(PICTURE)), ("", digest(LONG)))
    assert pictures == [("all" if n == 0 else "", digest(data)) for n, data in enumerate(album)]
    line = scene.world.sandbox.chat(scene.peer, scene.world.me.id)[-len(scene.arrived()) + 1]
    converted = scene.world.sandbox.files.of(scene.peer, scene.world.me.id, line.id)
    assert (voice[0], converted.content.read(0, 4)) == ("", b"OggS")
    assert scene.world.sandbox.statistics().requests["messages.sendMultiMedia"] == 1
    sent = scene.rows("select external_message_id from messages where direction = 'outbound'")
    assert len({row["external_message_id"] for row in sent}) == len(message_ids)
    await scene.wait_spool_empty()


async def test_whatever_breaks_a_file_arrives_once(scene: Scene) -> None:
    """Storage is away when the first one is wanted: it waits a few seconds, and others go meanwhile."""
    world = scene.world
    names = ["away", "torn", "dropped", "said twice"]
    files = [
        await scene.put(f"{name}.bin", name.encode() + LONG, "application/octet-stream") for name in names
    ]
    world.stack.faults.set(Broken("error", f"{OBJECTS}*", method="GET", status=503, count=1))
    other = world.peers[1].id
    waiting = await scene.send(FileKind.DOCUMENT, "away", files[0], to=other)
    with trio.fail_after(20):
        while not (error := (await world.store.outcomes([waiting]))[waiting].error):
            await trio.sleep(0.05)
    assert "a file cannot be read now" in error
    faults: list[Broken | Fault] = [
        Broken("cut_answer", f"{OBJECTS}*", method="GET", skip=1, count=1),
        Fault("drop", "upload.saveFilePart", after=3, count=1),
        Fault("accept_drop", "messages.sendMedia", count=1),
    ]
    for name, file, fault in zip(names[1:], files[1:], faults, strict=True):
        before = world.sandbox.statistics().requests.get("upload.saveFilePart", 0)
        scene.break_by(fault)
        await scene.wait_sent(await scene.send(FileKind.DOCUMENT, name, file))
        # Not all of its parts again.
        assert world.sandbox.statistics().requests.get("upload.saveFilePart", 0) - before < 2 * PARTS
    await scene.wait_sent(waiting)
    assert scene.arrived() == [(name, digest(name.encode() + LONG)) for name in names[1:]]
    assert scene.arrived(other) == [("away", digest(b"away" + LONG))]
    assert world.stack.faults.hits() == {"error": 1, "cut_answer": 1}
    assert world.sandbox.faults.hits() == {"drop": 1, "accept_drop": 1}


# ---------------------------------------------------------------------------------- in


async def test_every_kind_is_kept_in_a_bucket_that_did_not_exist(scene: Scene, tmp_path: Path) -> None:
    film = (await trio.to_thread.run_sync(make_film, tmp_path / "a.mp4")).read_bytes()
    sent = [
        PhoneFile("photo", PICTURE, caption="look"),
        PhoneFile("document", LONG, "../../a\u202e.bin"),
        PhoneFile("voice", b"OggS" + bytes(5000), "", "audio/ogg"),
        PhoneFile("video", film, "a.mp4", "video/mp4"),
        PhoneFile("video_note", film + b"1", "", "video/mp4"),
        PhoneFile("audio", b"ID3" + bytes(1000), "a.mp3", "audio/mpeg"),
        PhoneFile("sticker", STICKER, "s.webp", "image/webp"),
        PhoneFile("animation", film + b"2", "g.mp4", "video/mp4"),
        PhoneFile("document", b"<script>alert(1)</script>", "a.png", "image/png"),
    ]
    assert scene.world.stack.objects.bucket("attachments") is None
    scene.tell(*sent)
    rows = await scene.wait_rows(
        len(sent),
        "select a.*, m.message_type, m.text from attachments a join messages m on m.id = a.message_id",
    )
    kept = {await scene.content(row): row for row in rows}
    for file in sent:
        assert isinstance(file.data, bytes)
        row = kept.pop(digest(file.data))
        assert (row["message_type"], row["text"] or "") == (file.kind, file.caption)
        assert not set("/\u202e") & set(row["file_name"])
        believed = file.mime_type if file.data[:1] != b"<" else "application/octet-stream"
        assert row["mime_type"] == ("image/png" if file.kind == "photo" else believed)
    assert not kept
    assert scene.world.stack.objects.bucket("attachments") is not None
    await scene.wait_spool_empty()


async def test_whatever_breaks_a_file_is_kept_once(scene: Scene) -> None:
    faults: list[Broken | Fault] = [
        Broken("error", f"{OBJECTS}attachments/*", status=503, count=2),
        Broken("lose_answer", f"{OBJECTS}attachments/*", count=1),
        Broken("lose_answer", "/rest/v1/rpc/tgworker_finish_file", count=1),
        Fault("drop", "upload.getFile", after=3, count=1),
        Fault("rpc_error", "upload.getFile", message="FILE_REFERENCE_EXPIRED", after=2, count=1),
    ]
    world = scene.world
    for number, fault in enumerate(faults):
        before = world.sandbox.statistics().requests.get("upload.getFile", 0)
        scene.break_by(fault)
        scene.tell(PhoneFile("document", LONG + bytes([number]), f"{number}.bin"))
        rows = await scene.wait_rows(number + 1)
        (row,) = [row for row in rows if row["file_name"] == f"{number}.bin"]
        assert await scene.content(row) == digest(LONG + bytes([number]))
        assert world.sandbox.statistics().requests.get("upload.getFile", 0) - before <= PARTS + 4
        await scene.wait_spool_empty()
    assert len(scene.rows("select * from attachments")) == len(faults)
    assert world.stack.faults.hits() == {"error": 2, "lose_answer": 2}
    assert world.sandbox.faults.hits() == {"drop": 1, "rpc_error": 1}


async def test_a_file_that_was_kept_is_not_fetched_again_when_the_line_breaks_before_its_row(
    scene: Scene,
) -> None:
    world = scene.world
    world.stack.faults.set(Broken("error", "/rest/v1/rpc/tgworker_finish_file", status=503))
    scene.tell(PhoneFile("document", LONG, "a.bin"))
    with trio.fail_after(20):
        while not world.stack.faults.hits():
            await trio.sleep(0.02)
    asked = world.sandbox.statistics().requests["upload.getFile"]
    world.sandbox.drop_connections(world.me.id)
    with trio.fail_after(20):
        while world.worker.dispatch.online():
            await trio.sleep(0.001)
    world.stack.faults.clear()
    (row,) = await scene.wait_rows(1)
    assert await scene.content(row) == digest(LONG)
    assert world.sandbox.statistics().requests["upload.getFile"] == asked
    await scene.wait_spool_empty()


async def test_what_a_person_looks_like_is_kept_where_everybody_sees_it(scene: Scene) -> None:
    query = "select metadata from contact_identities where metadata ? 'avatar_url'"
    scene.world.sandbox.files.set_photo(scene.peer, PICTURE)
    scene.world.sandbox.send_text(scene.peer, scene.world.me.id, "how do I look?")
    (row,) = await scene.wait_rows(1, query)
    url = row["metadata"]["avatar_url"]
    bucket, _, path = url.removeprefix(f"{scene.world.stack.url}/storage/v1/object/public/").partition("/")
    async with scene.storage.download(Place(bucket, path)) as reading:
        assert b"".join([piece async for piece in reading]) == PICTURE
    kept = scene.world.stack.objects.bucket(bucket)
    assert kept is not None
    assert kept.public
