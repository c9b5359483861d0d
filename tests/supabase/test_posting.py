"""``send --file`` on Supabase: what it puts into Storage and the tables, and that it takes it back."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
import trio

from cli.cli_kit import TEXT, Shell
from stack_kit import Database
from supabase.storage_world import StorageWorld, open_storage_world
from tgworker.app.books import Books
from tgworker.cli import _posting
from tgworker.cli._attachments import local_files
from tgworker.cli._posting import Letter, post
from tgworker.cli._progress import Progress
from tgworker.devstack import Stack
from tgworker.embedded import DataFolder, HeartbeatFile, open_store
from tgworker.embedded.errors import RecipientUnknown
from tgworker.messaging.file_store import file_pieces
from tgworker.messaging.media import FileKind
from tgworker.messaging.models import MessageId, Secret
from tgworker.messaging.places import Place
from tgworker.supabase import Holder, KeyRefused, SupabaseLeases, SupabaseStore, open_rest, open_storage

OWNER = "00000000-0000-0000-0000-00000000000a"
BUCKET = "outgoing-files"
PDF = b"%PDF-1.7\n" + bytes(1_500_000)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")


async def send(world: StorageWorld, folder: DataFolder, *, to: str = "5") -> list[MessageId]:
    """Send a paper, twice."""
    paper = folder.path.parent / "paper.pdf"
    await trio.Path(paper).write_bytes(PDF)
    letter = Letter(to, "", local_files([str(paper)] * 2), FileKind.DOCUMENT)
    with open_store(folder, as_worker=False) as store, closing(HeartbeatFile(folder.heartbeats)) as hearts:
        await store.add_account("alice", OWNER, "", user_id=1)
        (record,) = await store.list_accounts()
        books = Books(store, store, store, hearts)
        return [*await post(letter, record.account, books, world.storage, BUCKET, Progress(quiet=True))]


def rows(folder: DataFolder) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(folder.database)) as database:
        return database.execute("select storage_bucket, storage_path from attachments").fetchall()


def stored(folder: DataFolder) -> list[Path]:
    """Every object that the stand-in holds, whatever its name; not what it has begun to receive."""
    files = [path for path in (folder.path.parent / "objects").rglob("*") if path.is_file()]
    return [path for path in files if path.name != "bucket.json" and path.suffix != ".part"]


async def test_the_bucket_is_made_and_each_file_lies_where_its_row_says(
    tmp_path: Path, folder: DataFolder
) -> None:
    async with open_storage_world(tmp_path) as world:
        assert len(await send(world, folder)) == 1
        (first, second) = rows(folder)
        for bucket, path in (first, second):
            assert bucket == BUCKET
            assert path.startswith(f"{OWNER}/outgoing/")
            assert world.content(path, bucket) == PDF
        assert first != second
        assert stored(folder)
        await send(world, folder)  # the bucket is there now
        assert len(rows(folder)) == 4


async def test_a_recipient_that_is_none_leaves_no_object(tmp_path: Path, folder: DataFolder) -> None:
    async with open_storage_world(tmp_path) as world:
        with pytest.raises(RecipientUnknown):
            await send(world, folder, to="nobody")
        assert stored(folder) == []
        assert rows(folder) == []


async def test_a_key_that_may_not_is_refused_with_the_right_one(tmp_path: Path, folder: DataFolder) -> None:
    async with open_storage_world(tmp_path, key=lambda keys: keys.anon) as world:
        with pytest.raises(KeyRefused, match="SUPABASE_SERVICE_ROLE_KEY"):
            await send(world, folder)
        assert rows(folder) == []


async def test_what_is_cancelled_in_the_middle_leaves_no_object(
    tmp_path: Path, folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    async with open_storage_world(tmp_path) as world:
        with trio.CancelScope() as scope:

            async def cancelled(path: Path) -> AsyncGenerator[bytes]:
                read.append(path)
                async for piece in file_pieces(path):
                    yield piece
                    if len(read) == 2:
                        scope.cancel()

            monkeypatch.setattr(_posting, "file_pieces", cancelled)
            await send(world, folder)
        assert scope.cancelled_caught
        assert len(read) == 2
        assert stored(folder) == []
        assert rows(folder) == []


async def test_the_whole_command_on_a_project(
    stack: Stack,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shell = Shell(tmp_path, monkeypatch, capsys)
    shell.set(SUPABASE_URL=stack.url, SUPABASE_SERVICE_ROLE_KEY=stack.keys.secret)
    key = Secret(stack.keys.secret)
    async with open_rest(stack.url, key) as rest:
        leases = SupabaseLeases(rest, Holder(uuid4(), 1, "nobody"), clock=trio.current_time)
        account = await SupabaseStore(rest, leases).add_account("alice", OWNER, "", user_id=1)
    files = {"a.jpg": (b"\xff\xd8\xff\xe0" + bytes(700_000), "image/jpeg"), "b.pdf": (PDF, "application/pdf")}
    for name, (content, _) in files.items():
        await trio.Path(tmp_path / name).write_bytes(content)
    options = [word for name in files for word in ("--file", name)]
    send = ("send", "--account", "alice", "--json", *options)
    done = await shell.along(*send, "--to", "5", "--text", TEXT)
    assert (done.code, done.complaints) == (0, [])
    assert (done.last["enqueued"], done.last["files"]) == (1, 2)
    (listed,) = (await shell.along("outbox", "list", "--json")).rows
    assert [listed["message_id"]] == done.last["message_ids"]
    assert (listed["account_id"], listed["state"], listed["files"]) == (account, "waiting", 2)
    assert await database.sql("select text, message_type from messages") == f"{TEXT}|photo"
    stored = (await database.sql("select file_name, storage_bucket, storage_path from attachments")).split()
    assert sorted(row.partition("|")[0] for row in stored) == sorted(files)
    async with open_storage(stack.url, key) as storage:
        for name, bucket, path in (row.split("|") for row in stored):
            async with storage.download(Place(bucket, path)) as download:
                assert (b"".join([piece async for piece in download]), download.content_type) == files[name]
    (await shell.along(*send, "--to", "nobody")).refused(2, "'nobody' is no recipient")
    assert await database.sql("select count(*) from messages") == "1"
    assert await database.sql("select count(*) from attachments") == "2"
    shell.set(SUPABASE_SERVICE_ROLE_KEY=stack.keys.anon)
    (await shell.along(*send, "--to", "5")).refused(2, "SUPABASE_SERVICE_ROLE_KEY")
