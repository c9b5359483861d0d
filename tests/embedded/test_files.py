"""Files in the data folder: what people and other programs find there, and what a crash leaves behind."""

import errno
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from supabase.storage_world import of
from tgworker.embedded.files import EmbeddedFiles
from tgworker.embedded.objects import blob_file, blob_of
from tgworker.messaging.errors import StoreAway, StoreRefused
from tgworker.messaging.file_store import BucketMissing, ObjectMissing, Rejected, Uploaded, Why
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


def blobs(folder: Path) -> list[str]:
    return os.listdir(folder / "files" / "files" / ".blobs")  # noqa: PTH208


async def get(files: EmbeddedFiles) -> bytes:
    async with files.download(PLACE) as reading:
        return b"".join([piece async for piece in reading])


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


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (errno.ENOSPC, StoreAway, "the disk is full: make room"),
        (errno.EDQUOT, StoreAway, "the disk is full: make room"),
        (
            errno.EROFS,
            StoreRefused,
            "(Read-only file system): give it to the worker's user",
        ),
        (errno.EIO, StoreAway, "Input/output error"),
    ],
)
@pytest.mark.parametrize("call", ["write", "fsync", "rename", "symlink"])
async def test_a_disk_that_takes_nothing_is_an_outage_and_leaves_nothing(
    call: str, code: int, kind: type[StoreAway], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = EmbeddedFiles(tmp_path / "files")
    await files.ensure_bucket("files", public=True)
    await put(files, b"before")

    def broken(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), "hunter2")

    with monkeypatch.context() as broken_disk:
        broken_disk.setattr(os, call, broken)
        with pytest.raises(kind) as caught:
            await put(files, b"x" * 1_000_000)
    assert str(caught.value).startswith(f"the file store {tmp_path / 'files'}")
    assert said in str(caught.value)
    assert "hunter2" not in f"{caught.value}{caught.value.__cause__}"
    assert len(blobs(tmp_path)) == 1
    assert await get(files) == b"before"


async def test_a_file_that_the_disk_never_takes_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = EmbeddedFiles(tmp_path / "files")
    await files.ensure_bucket("files", public=True)

    def too_large(*_: object) -> None:
        raise OSError(errno.EFBIG, "File too large")

    with monkeypatch.context() as small_disk:
        small_disk.setattr(os, "write", too_large)
        outcome = await files.upload(PLACE, of(b"x"), size=1, content_type="text/plain")
    assert isinstance(outcome, Rejected)
    assert outcome.why is Why.TOO_LARGE
    assert blobs(tmp_path) == []


async def test_a_disk_that_hangs_is_an_outage_and_its_thread_tidies_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tgworker.embedded.held.CLOSE_S", 0.05)
    files = EmbeddedFiles(tmp_path / "files", media_s=0.1)
    await files.ensure_bucket("files", public=True)
    goes_on = threading.Event()
    write = os.write

    def hang(file: int, data: bytes) -> int:
        if len(data) > 100_000:
            goes_on.wait(10)
        return write(file, data)

    monkeypatch.setattr(os, "write", hang)
    with trio.fail_after(5), pytest.raises(StoreAway, match=r"the disk did not answer within 0\.1 s"):
        await put(files, b"x" * 500_000)
    with trio.move_on_after(0.05) as patience:
        await put(EmbeddedFiles(tmp_path / "files"), b"x" * 500_000)
    assert patience.cancelled_caught
    await put(files, b"small")  # nobody else waits
    goes_on.set()
    with trio.fail_after(5):
        while len(blobs(tmp_path)) != 1:
            await trio.sleep(0.01)
    assert await get(files) == b"small"


async def test_a_link_that_somebody_has_put_there_is_not_followed(tmp_path: Path) -> None:
    files = EmbeddedFiles(tmp_path / "files")
    await files.ensure_bucket("files", public=True)
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "files" / "files" / "a%2Fnote.txt").symlink_to(outside)
    await put(files, b"theirs")
    assert outside.read_text() == "mine"


async def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    files, outside = EmbeddedFiles(tmp_path / "files"), EmbeddedFiles(tmp_path / "outside")
    for each in (files, outside):
        await each.ensure_bucket("files", public=True)
        await each.ensure_bucket("other", public=True)
    await put(outside, b"secret")
    folder, there = tmp_path / "files", tmp_path / "outside" / "files"
    (folder / "evil").symlink_to(there)
    (folder / "other" / ".blobs").rmdir()
    (folder / "other" / ".blobs").symlink_to(there / ".blobs")
    for bucket in ("evil", "other"):
        with pytest.raises(StoreRefused, match="holds something else where a folder should be"):
            await files.upload(Place(bucket, "x"), of(b"x"), size=1, content_type="text/plain")
    for target in (there / "a%2Fnote.txt", Path("../../outside/files/a%2Fnote.txt"), Path(".blobs/x")):
        (folder / "files" / "a%2Fnote.txt").symlink_to(target)
        with pytest.raises(ObjectMissing):
            await get(files)
        assert await files.delete("files", [PLACE.path]) == 0
        (folder / "files" / "a%2Fnote.txt").unlink()
    assert await files.sweep() == 0
    assert await get(outside) == b"secret"


async def test_what_a_bucket_is_missing_is_said_and_made(tmp_path: Path) -> None:
    files = EmbeddedFiles(tmp_path / "files")
    with pytest.raises(BucketMissing, match=re.escape(f"make the folder {tmp_path / 'files' / 'a%23b'}")):
        await files.upload(Place("a#b", "x"), of(b"x"), size=1, content_type="text/plain")
    (tmp_path / "files" / "a%23b").mkdir(parents=True)
    assert await files.upload(Place("a#b", "x"), of(b"x"), size=1, content_type="text/plain") == Uploaded(1)


@given(st.from_regex(r"[A-Za-z0-9!#$&^.+-]{1,60}/[A-Za-z0-9!#$&^.+-]{1,60}(;[ -~]{0,40})?", fullmatch=True))
def test_a_type_comes_back_from_a_blob_s_name(content_type: str) -> None:
    file = blob_file("0" * 32, "1" * 32, content_type)
    if file is not None:
        assert "/" not in file
        blob = blob_of(f".blobs/{file}")
        assert blob is not None
        assert (blob.file, blob.digest, blob.content_type) == (file, "1" * 32, content_type)


async def test_a_type_that_fits_into_no_name_is_rejected(tmp_path: Path) -> None:
    files = EmbeddedFiles(tmp_path / "files")
    await files.ensure_bucket("files", public=True)
    outcome = await files.upload(PLACE, of(b"x"), size=1, content_type=f"a/{'b' * 127};{'/' * 200}")
    assert isinstance(outcome, Rejected)
    assert outcome.why is Why.CONTENT_TYPE


async def test_concurrent_uploads_leave_one_version_and_its_link_shows_it(tmp_path: Path) -> None:
    files = EmbeddedFiles(tmp_path / "files")
    await files.ensure_bucket("files", public=False)
    path = trio.Path(unquote(urlsplit(files.link(PLACE)).path))
    for _ in range(20):
        async with trio.open_nursery() as nursery:
            for number in range(12):  # more than have their turn at a time
                nursery.start_soon(put, files, bytes([number]) * 1000)
        assert await path.read_bytes() == await get(files)
        assert len(blobs(tmp_path)) == 1


async def test_a_sweep_spares_what_somebody_writes(tmp_path: Path) -> None:
    files, other = EmbeddedFiles(tmp_path / "files"), EmbeddedFiles(tmp_path / "files")
    await files.ensure_bucket("files", public=False)
    (tmp_path / "files" / "files" / ".blobs" / f"{'0' * 32}.new").write_bytes(b"left over")

    async def content() -> AsyncGenerator[bytes]:
        yield b"x" * 600_000
        assert await other.sweep() == 1
        assert await other.sweep() == 0
        yield b"y" * 600_000

    outcome = await files.upload(PLACE, content, size=1_200_000, content_type="text/plain")
    assert outcome == Uploaded(1_200_000)
    assert await get(files) == b"x" * 600_000 + b"y" * 600_000


async def test_a_cancelled_upload_leaves_nothing(tmp_path: Path) -> None:
    files = EmbeddedFiles(tmp_path / "files")
    await files.ensure_bucket("files", public=False)

    async def content() -> AsyncGenerator[bytes]:
        yield b"x" * 1_000_000
        assert len(blobs(tmp_path)) == 1
        scope.cancel()
        await trio.sleep_forever()

    with trio.CancelScope() as scope:
        await files.upload(PLACE, content, size=2_000_000, content_type="text/plain")
    assert scope.cancelled_caught
    assert blobs(tmp_path) == []


async def test_the_old_version_is_read_to_its_end(tmp_path: Path) -> None:
    files = EmbeddedFiles(tmp_path / "files")
    await files.ensure_bucket("files", public=False)
    await put(files, b"old" * 300_000)
    async with files.download(PLACE) as reading:
        came = await anext(reading)
        await put(files, b"new")
        await files.delete("files", [PLACE.path])
        came += b"".join([piece async for piece in reading])
    assert came == b"old" * 300_000


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
        body = await get(files)
        assert len(body) == 400_000
        assert len(set(body)) == 1
    await files.sweep()
    assert len(blobs(tmp_path)) == 1
    await files.delete("files", [PLACE.path])
    with pytest.raises(ObjectMissing):
        await get(files)
    assert os.listdir(folder / "files") == [".blobs"]  # noqa: PTH208
    assert blobs(tmp_path) == []


STEPPING = """
import os, signal, sys, trio
from pathlib import Path
from tgworker.embedded.files import EmbeddedFiles
from tgworker.messaging.places import Place
left = int(sys.argv[2])
def deadly(name):
    call = getattr(os, name)
    def step(*args, **more):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **more)
    setattr(os, name, step)
for name in ("write", "fsync", "rename", "symlink", "unlink", "close"):
    deadly(name)
async def content():
    for _ in range(3):
        yield b"n" * 300_000
async def main():
    files = EmbeddedFiles(Path(sys.argv[1]))
    await files.upload(Place("files", "a/note.txt"), content, size=900_000, content_type="image/png")
trio.run(main)
"""


@pytest.mark.slow
async def test_a_kill_before_any_step_leaves_the_old_version_or_the_new_one(tmp_path: Path) -> None:
    files = EmbeddedFiles(tmp_path / "files")
    await files.ensure_bucket("files", public=False)
    path = trio.Path(unquote(urlsplit(files.link(PLACE)).path))
    seen: list[str] = []
    for step in range(1, 100):
        await put(files, b"o" * 900_000)
        command = [sys.executable, "-c", STEPPING, str(tmp_path / "files"), str(step)]
        ended = await trio.run_process(command, check=False)
        async with files.download(PLACE) as reading:
            whole = {"text/plain": b"o", "image/png": b"n"}[reading.content_type] * 900_000
            assert b"".join([piece async for piece in reading]) == whole
            seen.append(reading.content_type)
        assert await path.read_bytes() == whole
        await files.sweep()
        assert len(blobs(tmp_path)) == 1
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
    assert len(seen) > 10
    assert seen == sorted(seen, reverse=True)  # once it is the new one, it stays
    assert set(seen) == {"text/plain", "image/png"}
