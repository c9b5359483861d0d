"""Files in the data folder: what people and other programs find there, and what a crash leaves behind."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import trio

from supabase.storage_world import of
from tgworker.embedded.files import EmbeddedFiles
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.file_store import ObjectMissing, Uploaded
from tgworker.messaging.places import Place

PLACE = Place("files", "a/note.txt")

WRITER = """
import sys, trio
from pathlib import Path
from tgworker.embedded.files import EmbeddedFiles
from tgworker.messaging.places import Place
async def main():
    files = EmbeddedFiles(Path(sys.argv[1]))
    n = 0
    while True:
        n += 1
        body = bytes([n % 251]) * 400_000
        async def content():
            for begin in range(0, len(body), 50_000):
                yield body[begin:begin + 50_000]
        await files.upload(Place("files", "a/note.txt"), content, size=len(body), content_type="text/plain")
        print(n, flush=True)
trio.run(main)
"""


async def put(files: EmbeddedFiles, content: bytes) -> None:
    outcome = await files.upload(PLACE, of(content), size=len(content), content_type="text/plain")
    assert outcome == Uploaded(len(content))


async def test_people_find_the_file_under_its_link_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    files = EmbeddedFiles(tmp_path / "files")
    await files.ensure_bucket("files", public=True)
    path = trio.Path(unquote(urlsplit(files.link(PLACE)).path))
    for content in (b"first", b"second"):
        await put(files, content)
        assert await path.read_bytes() == content
    assert path.parent == trio.Path(tmp_path / "files" / "files")
    assert stat.S_IMODE((await path.stat()).st_mode) == 0o600
    assert stat.S_IMODE((await path.parent.stat()).st_mode) == 0o700


async def test_a_disk_that_takes_nothing_is_an_outage(tmp_path: Path) -> None:
    files = EmbeddedFiles(tmp_path / "files")
    await files.ensure_bucket("files", public=True)
    data = tmp_path / "files" / "files" / ".data"
    data.rmdir()
    data.write_text("no folder")
    with pytest.raises(StoreAway, match="the files in the data folder cannot be written: Not a directory"):
        await put(files, b"x")


async def test_a_link_that_somebody_has_put_there_is_not_followed(tmp_path: Path) -> None:
    files = EmbeddedFiles(tmp_path / "files")
    await files.ensure_bucket("files", public=True)
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "files" / "files" / "a%2Fnote.txt").symlink_to(outside)
    await put(files, b"theirs")
    assert outside.read_text() == "mine"


@pytest.mark.slow
async def test_a_kill_at_any_moment_leaves_one_whole_version(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    files = EmbeddedFiles(folder)
    await files.ensure_bucket("files", public=False)
    for kill in range(8):
        command = [sys.executable, "-c", WRITER, str(folder)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: ASYNC220
        assert writer.stdout is not None
        with writer:
            await trio.to_thread.run_sync(writer.stdout.readline)
            time.sleep(0.003 * kill)  # noqa: ASYNC251 - the other process goes on meanwhile
            writer.kill()
        async with files.download(PLACE) as reading:
            body = b"".join([piece async for piece in reading])
        assert len(body) == reading.size == 400_000
        assert len(set(body)) == 1
    await files.sweep()
    assert len(os.listdir(folder / "files" / ".data")) == 1  # noqa: PTH208
    assert len(os.listdir(folder / "files" / ".index")) == 1  # noqa: PTH208
    await files.delete("files", [PLACE.path])
    with pytest.raises(ObjectMissing):
        async with files.download(PLACE):
            pass
    assert sorted(os.listdir(folder / "files")) == [".data", ".index"]  # noqa: PTH208
