"""Files up and down, in the data folder and in Storage: the same contract."""

import hashlib
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from supabase.storage_world import of, open_storage_world
from tgworker.embedded.files import EmbeddedFiles
from tgworker.embedded.objects import name_of
from tgworker.messaging.file_store import (
    BucketMissing,
    FileStore,
    ObjectChanged,
    ObjectMissing,
    Rejected,
    SizeDiffers,
    Uploaded,
    Why,
    file_pieces,
)
from tgworker.messaging.places import Place, PlaceInvalid

PLACE = Place("files", "a/note.txt")
TEXT = "text/plain"
LARGE = bytes(range(256)) * 4096 * 4  # 4 MiB: more than any buffer on the way holds


@pytest.fixture(params=["embedded", "storage"])
async def files(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[FileStore]:
    if request.param == "embedded":
        embedded = EmbeddedFiles(tmp_path / "files")
        await embedded.ensure_bucket("files", public=False)
        yield embedded
    else:
        async with open_storage_world(tmp_path) as world:
            yield world.storage


async def put(files: FileStore, content: bytes, place: Place = PLACE, content_type: str = TEXT) -> None:
    outcome = await files.upload(place, of(content), size=len(content), content_type=content_type)
    assert outcome == Uploaded(len(content))


async def get(files: FileStore, place: Place = PLACE, *, begin: int = 0, etag: str | None = None) -> bytes:
    async with files.download(place, begin=begin, etag=etag) as reading:
        return b"".join([piece async for piece in reading])


@pytest.mark.parametrize("content", [b"", b"x", b"hello" * 100, LARGE])
async def test_what_goes_up_comes_down_and_replaces_what_was_there(content: bytes, files: FileStore) -> None:
    await put(files, b"before")
    await put(files, content, content_type="image/png")
    async with files.download(PLACE) as reading:
        assert (reading.size, reading.content_type) == (len(content), "image/png")
        assert reading.etag == f'"{hashlib.md5(content).hexdigest()}"'
        assert b"".join([piece async for piece in reading]) == content


@pytest.mark.parametrize(
    "path", ["a b", "%2e%2e", "#1", "ação/привет.txt", "…", ".hidden", "a", "a/b", "x" * 1000]
)
async def test_any_name_that_can_be_seen_is_one_file_s(path: str, files: FileStore) -> None:
    for other in ("a/b/c", "A"):
        await put(files, b"other", Place("files", other))
    await put(files, path.encode(), Place("files", path))
    assert await get(files, Place("files", path)) == path.encode()
    assert await get(files, Place("files", "a/b/c")) == b"other"


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\"), min_size=1),
        min_size=1,
    )
)
def test_no_two_paths_share_a_name_and_none_leads_elsewhere(parts: list[str]) -> None:
    path = "/".join(parts)
    name = name_of(path)
    assert "/" not in name
    assert not name.startswith(".")
    assert 0 < len(name.encode()) < 255
    assert name_of(path + "x") != name
    assert name_of(path + "/x") != name


async def test_files_on_the_disk_go_up_and_come_down(files: FileStore, tmp_path: Path) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.write_bytes(LARGE)
    assert await files.upload(
        PLACE, partial(file_pieces, original), size=len(LARGE), content_type=TEXT
    ) == Uploaded(len(LARGE))
    reading = await files.download_to(PLACE, copy)
    assert reading.size == len(LARGE)
    assert copy.read_bytes() == LARGE
    with pytest.raises(ObjectMissing):
        await files.download_to(Place("files", "none"), copy)
    assert copy.read_bytes() == LARGE
    assert {"copy", "original"} >= {path.name for path in tmp_path.iterdir()} - {"files", "objects"}  # noqa: ASYNC240


@pytest.mark.parametrize("size", [0, 4, 6, 100])
async def test_content_of_another_size_is_no_file_and_leaves_what_was_there(
    size: int, files: FileStore
) -> None:
    await put(files, b"before")
    outcome = await files.upload(PLACE, of(b"hello"), size=size, content_type=TEXT)
    assert isinstance(outcome, SizeDiffers)
    assert outcome.said == size
    assert await get(files) == b"before"


async def test_what_the_content_raises_passes_and_leaves_what_was_there(files: FileStore) -> None:
    async def broken() -> AsyncGenerator[bytes]:
        yield b"hel"
        raise LookupError("ours")

    await put(files, b"before")
    with pytest.raises(LookupError, match="ours"):
        await files.upload(PLACE, broken, size=5, content_type=TEXT)
    assert await get(files) == b"before"


async def test_a_content_type_that_is_none_is_rejected(files: FileStore) -> None:
    outcome = await files.upload(PLACE, of(b"x"), size=1, content_type="nonsense")
    assert isinstance(outcome, Rejected)
    assert outcome.why is Why.CONTENT_TYPE


async def test_what_is_missing_is_told_apart(files: FileStore) -> None:
    nowhere = Place("nobody", "x")
    for place in (PLACE, nowhere):
        with pytest.raises(ObjectMissing):
            await get(files, place)
    with pytest.raises(BucketMissing):
        await files.upload(nowhere, of(b"x"), size=1, content_type=TEXT)
    with pytest.raises(BucketMissing):
        await files.delete("nobody", ["x"])
    with pytest.raises(PlaceInvalid):
        await files.delete("files", ["../x"])


async def test_a_bucket_is_made_once(files: FileStore) -> None:
    for _ in range(2):
        await files.ensure_bucket("avatars", public=True)
    await put(files, b"x", Place("avatars", "x"))
    await files.ensure_bucket("avatars", public=False)
    assert await get(files, Place("avatars", "x")) == b"x"
    with pytest.raises(PlaceInvalid):
        await files.ensure_bucket("a/b", public=True)


async def test_reading_may_begin_anywhere_and_end_early(files: FileStore) -> None:
    await put(files, LARGE)
    for begin in (0, 1, 65_537, len(LARGE) - 1):
        assert await get(files, begin=begin) == LARGE[begin:]
    async with files.download(PLACE) as reading:
        async for piece in reading:
            assert LARGE.startswith(piece)
            break
    await put(files, b"again")
    assert await get(files) == b"again"


async def test_another_version_is_not_taken_for_the_one_that_is_wanted(files: FileStore) -> None:
    await put(files, LARGE)
    async with files.download(PLACE) as reading:
        etag = reading.etag
    assert etag is not None
    assert await get(files, begin=7, etag=etag) == LARGE[7:]
    await put(files, LARGE[::-1])
    with pytest.raises(ObjectChanged):
        await get(files, begin=7, etag=etag)
    await put(files, b"short")
    for begin in (5, 7):
        with pytest.raises(ObjectChanged):
            await get(files, begin=begin)


async def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed_with_its_successor(
    files: FileStore,
) -> None:
    await put(files, LARGE)
    came = bytearray()
    try:
        async with files.download(PLACE) as reading:
            async for piece in reading:
                if not came:
                    await put(files, bytes(len(LARGE)))
                came += piece
    except ObjectChanged:
        assert LARGE.startswith(came)
    else:
        assert came == LARGE


async def test_deleting_says_how_many_there_were(files: FileStore) -> None:
    for name in ("a", "b", "a/c"):
        await put(files, b"x", Place("files", name))
    assert await files.delete("files", ["a", "b", "none"]) == 2
    assert await files.delete("files", ["a", "b"]) == 0
    with pytest.raises(ObjectMissing):
        await get(files, Place("files", "a"))
    assert await get(files, Place("files", "a/c")) == b"x"


async def test_a_cancelled_upload_leaves_what_was_there(files: FileStore) -> None:
    await put(files, b"before")

    async def endless() -> AsyncGenerator[bytes]:
        yield LARGE
        scope.cancel()
        await trio.sleep_forever()

    with trio.CancelScope() as scope:
        await files.upload(PLACE, endless, size=len(LARGE) + 1, content_type=TEXT)
    assert scope.cancelled_caught
    assert await get(files) == b"before"


async def test_of_concurrent_uploads_one_is_there_whole(files: FileStore) -> None:
    versions = [bytes([n]) * 300_000 for n in range(8)]
    async with trio.open_nursery() as nursery:
        for version in versions:
            nursery.start_soon(put, files, version)
    assert await get(files) in versions


async def test_large_files_are_never_whole_in_memory(files: FileStore) -> None:
    size = 64 * 1024 * 1024
    piece = bytes(256 * 1024)

    async def content() -> AsyncGenerator[bytes]:
        for _ in range(size // len(piece)):
            yield piece

    tracemalloc.start()
    try:
        assert await files.upload(PLACE, content, size=size, content_type=TEXT) == Uploaded(size)
        came = 0
        async with files.download(PLACE) as reading:
            async for part in reading:
                came += len(part)
        assert came == size
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


async def test_a_link_names_the_file(files: FileStore) -> None:
    await put(files, b"x")
    link = files.link(PLACE)
    assert link.startswith("file:///") or link.endswith("/storage/v1/object/public/files/a/note.txt")


async def test_the_generator_is_closed_after_each_try(files: FileStore) -> None:
    closed: list[bool] = []

    async def content() -> AsyncGenerator[bytes]:
        try:
            yield b"hello"
        finally:
            closed.append(True)

    await files.upload(PLACE, content, size=5, content_type=TEXT)
    assert closed
    async with aclosing(content()) as unused:
        assert unused is not None
