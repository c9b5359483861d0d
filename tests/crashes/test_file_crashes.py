"""Workers as people run them are killed in the middle of files, both ways, on both stores.

The next one finishes: each file arrives once with all its bytes, as an unmodified Telethon client downloads
it, and each that this client sends is kept once. (With `--no-guard`, the process is the worker itself.)
"""

import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from subprocess import PIPE
from typing import Any

import psycopg
import pytest
import trio
from psycopg.rows import dict_row

from embedded.embedded_kit import SqliteApplication
from sandbox.unmodified_files import PICTURE
from tgworker.app.books import Books, open_books, open_file_store
from tgworker.devstack import Fault as Broken
from tgworker.devstack import Stack
from tgworker.embedded import DataFolder
from tgworker.messaging.file_store import BucketMissing, FileStore, ObjectMissing
from tgworker.messaging.media import FileKind, OutgoingFile
from tgworker.messaging.models import AccountId
from tgworker.messaging.places import Place
from tgworker.messaging.values import new_id
from tgworker.sandbox import Fault, Sandbox, open_sandbox
from tgworker.settings import load_settings
from tgworker.vault import FernetVault, new_key
from transcoding.transcoding_inputs import make_film, make_sound

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

OWNER = "00000000-0000-0000-0000-000000000001"
TESTS = Path(__file__).parents[1]
LONG = Random(4).randbytes(3 * 1024 * 1024 + 77)
PARTS = 7
WITHIN_S = 30
FINISHING = "/rest/v1/rpc/tgworker_finish_file"


class Person:
    """The process of `crashes.unmodified_peer`."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders, self._answers = process.stdin, process.stdout

    async def tell(self, line: Any) -> None:
        await self._orders.send_all(json.dumps(line).encode() + b"\n")

    async def ask(self, order: Mapping[str, Any]) -> Any:
        await self.tell(order)
        answer = b""
        with trio.fail_after(WITHIN_S):
            while not answer.endswith(b"\n"):
                some = await self._answers.receive_some()
                assert some, "the client has ended: see standard error"
                answer += some
        return json.loads(answer)

    async def send(self, *files: tuple[str, Path, str]) -> None:
        """Kind, path and caption of each."""
        given = [(kind, str(path), caption) for kind, path, caption in files]
        assert await self.ask({"send": given}) == len(files)


@dataclass
class Scene:
    """What survives every worker.

    Attributes:
        sandbox: Telegram; its first user is the account, its second the person.
        person: The person.
        env: Of workers.
        folder: Where they run.
        account: The account.
        books: The application's way to the store.
        files: Its way to the file store.
        rows: What stands in one of its tables.
        stack: The store's server, if it has one.
    """

    sandbox: Sandbox
    person: Person
    env: Mapping[str, str]
    folder: Path
    account: AccountId
    books: Books
    files: FileStore
    rows: Callable[[str], Sequence[Mapping[str, Any]]]
    stack: Stack | None = None
    sent: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])

    async def send(self, kind: FileKind, text: str, content_type: str, **files: bytes) -> None:
        """One row of the application's, with its files, which it has put into the file store before."""
        outgoing: list[OutgoingFile] = []
        await self.files.ensure_bucket("outgoing", public=False)
        for name, data in files.items():
            place = Place("outgoing", f"{OWNER}/{new_id()}")
            await self.files.upload(place, partial(_pieces, data), size=len(data), content_type=content_type)
            outgoing.append(OutgoingFile(new_id(), place.bucket, place.path, name, content_type, len(data)))
            self.sent.append((text if name == next(iter(files)) else "", kind.value, _digest(data)))
        await self.books.outbox.enqueue(
            self.account, str(self.sandbox.users[1].id), [text] if text else [], files=outgoing, kind=kind
        )

    @asynccontextmanager
    async def worker(self, how_it_ends: signal.Signals = signal.SIGKILL) -> AsyncGenerator[None]:
        """A worker for the length of the block, and what ends it."""
        with (self.folder / "log").open("ab") as log:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "tgworker", "run", "--no-guard"],
                env=dict(self.env),
                cwd=self.folder,
                stderr=log,
            )
        try:
            with trio.fail_after(WITHIN_S):
                yield
            assert process.poll() is None, "it has ended by itself"
            process.send_signal(how_it_ends)
            with trio.fail_after(WITHIN_S):
                assert await process.wait() == (0 if how_it_ends is signal.SIGTERM else -how_it_ends)
        finally:
            if process.poll() is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()

    async def die_by(self, fault: Fault | Broken) -> None:
        """A worker that finishes what it finds, and is killed when the fault has happened to it."""
        if isinstance(fault, Fault):
            hits, clear = self.sandbox.faults.hits, self.sandbox.faults.clear
            self.sandbox.faults.set(fault)
        else:
            assert self.stack is not None
            hits, clear = self.stack.faults.hits, self.stack.faults.clear
            self.stack.faults.set(fault)
        before = hits().get(fault.action, 0)
        async with self.worker():
            while hits().get(fault.action, 0) == before:
                await trio.sleep(0.005)
        clear()
        self.pass_minute()

    def pass_minute(self) -> None:
        """Nobody holds the account any more. (A guard would have given its next worker the same lease.)"""
        if self.stack is not None:
            with psycopg.connect(self.stack.db_url) as connection:
                connection.execute("update tgworker_leases set expires_at = now() where holder is not null")

    async def wait_kept(self, number: int) -> Sequence[Mapping[str, Any]]:
        """Wait for so many rows of files that came."""
        while len(rows := self.incoming()) < number:
            await trio.sleep(0.05)
        return rows

    def incoming(self) -> Sequence[Mapping[str, Any]]:
        return [row for row in self.rows("attachments") if row["storage_bucket"] == "attachments"]

    async def content(self, place: Place) -> bytes | None:
        """An object's bytes, if there is one."""
        try:
            async with self.files.download(place) as reading:
                return b"".join([piece async for piece in reading])
        except (ObjectMissing, BucketMissing):
            return None


async def _pieces(data: bytes) -> AsyncGenerator[bytes]:
    await trio.lowlevel.checkpoint()
    for begin in range(0, len(data), 100_000):
        yield data[begin : begin + 100_000]


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


@asynccontextmanager
async def open_scene(
    folder: Path, rows: Callable[[str], Sequence[Mapping[str, Any]]], stack: Stack | None = None
) -> AsyncGenerator[Scene]:
    """A Telegram with an account and a person, a store and no worker yet."""
    key = new_key()
    async with open_sandbox(users=2, control_port=0) as sandbox:
        pem = folder / "server.pem"
        pem.write_text(sandbox.public_key_pem)
        env = {
            "PATH": os.defpath,
            "TELEGRAM_API_ID": "1",
            "TELEGRAM_API_HASH": "sandbox",
            "TGWORKER_DATA_DIR": str(folder / "data"),
            "TGWORKER_PACING": "off",
            "TGWORKER_TELEGRAM_SERVER": sandbox.server,
            "TGWORKER_TELEGRAM_SERVER_KEY": str(pem),
            "TGWORKER_TELEGRAM_DC": str(sandbox.dc),
            "TGWORKER_STATUS_BIND": "off",
            "ENCRYPTION_KEY": key.value,
        }
        if stack is not None:
            env |= {"SUPABASE_URL": stack.url, "SUPABASE_SERVICE_ROLE_KEY": stack.service_role_key}
        settings = load_settings(env, require=())
        async with (
            open_books(settings) as books,
            open_file_store(settings) as files,
            _person(sandbox) as person,
        ):
            me = sandbox.users[0]
            account = await books.accounts.add_account(
                "me", OWNER, FernetVault([key]).encrypt(me.session), user_id=me.id
            )
            yield Scene(sandbox, person, env, folder, account, books, files, rows, stack)


@asynccontextmanager
async def _person(sandbox: Sandbox) -> AsyncGenerator[Person]:
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "crashes.unmodified_peer"], cwd=TESTS, stdin=PIPE, stdout=PIPE
    )
    try:
        person = Person(process)
        users = [{"username": user.username, "session": user.session} for user in sandbox.users]
        await person.tell(
            {
                "server": sandbox.server,
                "public_key": sandbox.public_key_pem,
                "control": sandbox.control,
                "users": users,
            }
        )
        yield person
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def test_files_and_kills_on_the_embedded_store(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "data")

    def rows(table: str) -> Sequence[Mapping[str, Any]]:
        with closing(SqliteApplication(data.database)) as app:
            return [dict(row) for row in app.rows(table)]

    async def die_unfinished(scene: Scene) -> None:
        """Whoever else writes, for long: the file is there, and its row cannot be."""
        scene.sandbox.faults.set(Fault("delay", "upload.getFile", seconds=1, count=1))
        async with scene.worker():
            while "delay" not in scene.sandbox.faults.hits():
                await trio.sleep(0.01)
            (message,) = [
                row
                for row in rows("messages")
                if row["message_type"] == "photo" and row["direction"] == "inbound"
            ]
            place = Place("attachments", f"{OWNER}/{scene.account}/{message['id']}.png")
            writer = sqlite3.connect(data.database, isolation_level=None)
            writer.execute("begin immediate")
            assert await scene.content(place) is None
            while await scene.content(place) is None:
                await trio.sleep(0.01)
        assert message["id"] not in [row["message_id"] for row in scene.incoming()]
        writer.rollback()
        writer.close()

    async with open_scene(tmp_path, rows) as scene:
        scene.sandbox.behave(repeats="original")
        await _send_and_be_killed(scene)
        await _fetch_and_be_killed(scene, die_unfinished)


async def test_files_and_kills_on_supabase(tmp_path: Path, stack: Stack) -> None:
    def rows(table: str) -> Sequence[Mapping[str, Any]]:
        with psycopg.connect(stack.db_url) as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(f"select * from {table}".encode()).fetchall()

    async def die_unfinished(scene: Scene) -> None:
        """Before its row is finished, and after that before anybody knows."""
        for action in ("blackhole", "mute"):
            await scene.die_by(Broken(action, FINISHING, count=1))

    async with open_scene(tmp_path, rows, stack) as scene:
        scene.sandbox.behave(repeats="error")
        await _send_and_be_killed(scene)
        await _fetch_and_be_killed(scene, die_unfinished)


async def _send_and_be_killed(scene: Scene) -> None:
    sound = await trio.to_thread.run_sync(make_sound, scene.folder / "a.webm")
    album = {f"{n}.png": PICTURE + bytes([n]) for n in range(6)}
    names = sorted(album)
    await scene.send(FileKind.DOCUMENT, "long", "application/octet-stream", **{"Mañana.bin": LONG})
    await scene.die_by(Fault("blackhole", "upload.saveFilePart", after=3))
    await scene.send(FileKind.PHOTO, "one", "image/png", **{name: album[name] for name in names[:3]})
    await scene.die_by(Fault("blackhole", "messages.sendMultiMedia", count=1))
    await scene.send(FileKind.PHOTO, "two", "image/png", **{name: album[name] for name in names[3:]})
    await scene.die_by(Fault("accept_mute", "messages.sendMultiMedia", after=1, count=1))
    await scene.send(FileKind.VOICE, "said", "audio/webm", **{"a.webm": sound.read_bytes()})
    await scene.die_by(Fault("accept_mute", "messages.sendMedia", count=1))


async def _fetch_and_be_killed(scene: Scene, die_unfinished: Callable[[Scene], Awaitable[None]]) -> None:
    folder = scene.folder
    film = (await trio.to_thread.run_sync(make_film, folder / "a.mp4")).read_bytes()
    contents = {
        "document": ("long.bin", LONG),
        "photo": ("a.png", PICTURE),
        "voice": ("v.ogg", b"OggS" + bytes(5000)),
        "audio": ("a.mp3", b"ID3" + bytes(1000)),
        "video": ("v.mp4", film),
        "video_note": ("n.mp4", film + b"1"),
        "animation": ("g.mp4", film + b"2"),
        "sticker": ("s.webp", b"RIFF\x1a\0\0\0WEBPVP8L" + bytes(30)),
    }
    files: dict[str, tuple[str, Path, str]] = {}
    for kind, (name, data) in contents.items():
        (folder / name).write_bytes(data)
        files[kind] = (kind, folder / name, f"a {kind}")

    await scene.person.send(files.pop("document"))
    await scene.die_by(Fault("blackhole", "upload.getFile", after=4))
    (part,) = (folder / "data" / "spool").glob("*.part")
    assert 0 < part.stat().st_size < len(LONG)
    asked = scene.sandbox.statistics().requests["upload.getFile"]
    async with scene.worker():
        await scene.wait_kept(1)
    scene.pass_minute()
    assert scene.sandbox.statistics().requests["upload.getFile"] - asked < PARTS

    await scene.person.send(files.pop("photo"))
    await die_unfinished(scene)
    await scene.person.send(*files.values())
    async with scene.worker(signal.SIGTERM):
        rows = await scene.wait_kept(len(contents))
        while any(row.state.value != "sent" for row in await scene.books.outbox.list_outbox()):
            await trio.sleep(0.05)

    messages = {row["id"]: row for row in scene.rows("messages")}
    kept = {
        messages[row["message_id"]]["message_type"]: (
            messages[row["message_id"]]["text"],
            await scene.content(Place(row["storage_bucket"], row["storage_path"])),
        )
        for row in rows
    }
    assert kept == {kind: (f"a {kind}", data) for kind, (_, data) in contents.items()}
    assert len(scene.incoming()) == len(contents)
    assert list((folder / "data" / "spool").iterdir()) == []
    await _everything_arrived_once(scene)


async def _everything_arrived_once(scene: Scene) -> None:
    """As the unmodified client sees it."""
    came = await scene.person.ask({"read": True})
    *_, (_, _, _, _, begins, _) = came
    assert begins == "OggS"  # it was converted: its bytes are its own
    assert [line[:3] for line in came[:-1]] == [list(line) for line in scene.sent[:-1]]
    assert came[-1][:2] == ["said", "voice"]
    assert came[0][3] == "Mañana.bin"
    albums = [line[5] for line in came]
    assert (len(set(albums[1:4])), len(set(albums[4:7])), len(set(albums))) == (1, 1, 3)
