"""Attachments up and down, against the gateway's stand-in for Storage and its faults."""

import hashlib
import re
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio

from supabase.storage_world import StorageWorld, of, open_storage_world
from tgworker.devstack import Action, Fault, project_keys
from tgworker.devstack.objects import Bucket
from tgworker.messaging.errors import StoreAway, StoreRefused
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
from tgworker.messaging.models import Secret
from tgworker.messaging.places import Place, PlaceInvalid
from tgworker.supabase.errors import KeyRefused, RequestBroken
from tgworker.supabase.storage import open_storage

PLACE = Place("files", "a/note.txt")
TEXT = "text/plain"
LARGE = bytes(range(256)) * 4096 * 4  # 4 MiB: more than the buffers on the way hold


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[StorageWorld]:
    async with open_storage_world(tmp_path) as opened:
        yield opened


async def put(world: StorageWorld, content: bytes, place: Place = PLACE) -> None:
    outcome = await world.storage.upload(place, of(content), size=len(content), content_type=TEXT)
    assert outcome == Uploaded(len(content))


async def get(world: StorageWorld, place: Place = PLACE, *, begin: int = 0, etag: str | None = None) -> bytes:
    async with world.storage.download(place, begin=begin, etag=etag) as download:
        return b"".join([piece async for piece in download])


@pytest.mark.parametrize("content", [b"", b"x", b"hello" * 100, LARGE])
async def test_what_goes_up_comes_down_and_replaces_what_was_there(
    content: bytes, world: StorageWorld
) -> None:
    await put(world, b"before")
    await put(world, content)
    async with world.storage.download(PLACE) as download:
        assert (download.size, download.content_type) == (len(content), TEXT)
        assert download.etag == f'"{hashlib.md5(content).hexdigest()}"'
        assert b"".join([piece async for piece in download]) == content
    assert world.events == []


@pytest.mark.parametrize(
    "path",
    [
        "a b",
        "100%",
        "%2e%2e",
        "what?",
        "#1",
        "a+b&c=d",
        "ação/привет.txt",
        "…",
        'say "hi"',
        "a:b@c",
        "~",
        "x" * 1024,
    ],
)
async def test_any_name_that_can_be_seen_is_one_object_s(path: str, world: StorageWorld) -> None:
    place = Place("files", path)
    await put(world, b"here", place)
    assert world.content(path) == b"here"
    assert await get(world, place) == b"here"
    assert await world.storage.delete("files", [path]) == 1


@pytest.mark.parametrize(
    ("bucket", "path", "said"),
    [
        ("files", "", "the path of an object in 'files' is empty: correct storage_path"),
        ("files", "../secret", "has a part that is empty, '.' or '..'"),
        ("files", "a/../../b", "has a part that is empty, '.' or '..'"),
        ("files", "a/./b", "has a part that is empty, '.' or '..'"),
        ("files", "/a", "has a part that is empty, '.' or '..'"),
        ("files", "a//b", "has a part that is empty, '.' or '..'"),
        ("files", "a/", "has a part that is empty, '.' or '..'"),
        ("files", "a\\b", "has a backslash or a character that cannot be seen"),
        ("files", "a\nb", "has a backslash or a character that cannot be seen"),
        ("files", "\ud800", "has a backslash or a character that cannot be seen"),
        ("files", "\u202egpj.exe", "has a backslash or a character that cannot be seen"),
        ("files", "é" * 513, "has more than 1024 bytes"),
        ("", "a", "the name of a bucket is empty: correct storage_bucket"),
        ("a/b", "a", "the name of a bucket has a slash"),
        ("..", "a", "the name of a bucket has a part"),
        ("sign", "a", "the name of a bucket is one of Storage's own words"),
    ],
)
def test_what_could_lead_elsewhere_is_no_place(bucket: str, path: str, said: str) -> None:
    with pytest.raises(PlaceInvalid, match=re.escape(said)):
        Place(bucket, path)


async def test_a_bucket_is_made_once_and_its_link_opens_what_is_in_it(world: StorageWorld) -> None:
    store: FileStore = world.storage  # as the type checkers see it
    place = Place("avatars", "ação/a b?.jpg")
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(partial(store.ensure_bucket, "avatars", public=True))
    await store.ensure_bucket("avatars", public=False)  # there is one: it stays as it is
    await put(world, b"a face", place)
    async with httpx.AsyncClient(trust_env=False) as stranger:
        assert (await stranger.get(store.link(place))).content == b"a face"
        await put(world, b"private")
        assert (await stranger.get(store.link(PLACE))).status_code == 400
    with pytest.raises(PlaceInvalid):
        await store.ensure_bucket("a/b", public=False)


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


async def test_files_go_up_and_come_down(world: StorageWorld, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(LARGE)
    target.write_bytes(b"old")
    outcome = await world.storage.upload(
        PLACE, partial(file_pieces, source), size=len(LARGE), content_type="application/pdf"
    )
    assert outcome == Uploaded(len(LARGE))
    download = await world.storage.download_to(PLACE, target)
    assert (download.size, download.content_type) == (len(LARGE), "application/pdf")
    assert target.read_bytes() == LARGE
    with pytest.raises(ObjectMissing):
        await world.storage.download_to(Place("files", "nothing"), target)
    assert target.read_bytes() == LARGE
    assert names_in(tmp_path) == ["objects", "source", "target"]


@pytest.mark.parametrize("size", [0, 1, 99_999, 100_000, 249_999])
async def test_content_that_is_longer_than_announced_is_no_object(size: int, world: StorageWorld) -> None:
    await put(world, b"before")
    outcome = await world.storage.upload(PLACE, of(b"x" * 250_000), size=size, content_type=TEXT)
    assert isinstance(outcome, SizeDiffers)
    assert (outcome.said, size < outcome.came <= 250_000) == (size, True)
    assert world.content(PLACE.path) == b"before"
    await put(world, b"after")  # the connection that was ended hurts nobody
    assert world.events == []


@pytest.mark.parametrize("size", [250_001, 1_000_000, 10**12])
async def test_content_that_is_shorter_than_announced_is_no_object(size: int, world: StorageWorld) -> None:
    outcome = await world.storage.upload(PLACE, of(b"x" * 250_000), size=size, content_type=TEXT)
    assert outcome == SizeDiffers(size, 250_000)
    assert await world.storage.upload(PLACE, of(b""), size=1, content_type=TEXT) == SizeDiffers(1, 0)
    assert world.content(PLACE.path) is None


async def test_what_the_content_raises_passes_as_it_was(world: StorageWorld) -> None:
    for error in (httpx.ReadError("of another client"), KeyError("a bug"), StoreAway("of another store")):

        async def broken(error: Exception = error) -> AsyncGenerator[bytes]:
            yield b"x" * 100_000
            yield b"x" * 100_000
            await trio.lowlevel.checkpoint()
            raise error

        with pytest.raises(type(error)) as caught:
            await world.storage.upload(PLACE, broken, size=1_000_000, content_type=TEXT)
        assert caught.value is error
    assert world.content(PLACE.path) is None
    assert world.events == []


async def test_what_a_bucket_never_takes_is_rejected_with_its_remedy(world: StorageWorld) -> None:
    world.objects.create(Bucket("small", file_size_limit=1000))
    world.objects.create(Bucket("pictures", allowed_mime_types=("image/png",)))
    storage = world.storage
    large = await storage.upload(Place("small", "a"), of(LARGE), size=len(LARGE), content_type=TEXT)
    assert isinstance(large, Rejected)
    assert large.why is Why.TOO_LARGE
    assert "(upload to small) takes" in large.reason
    text = await storage.upload(Place("pictures", "a"), of(LARGE), size=len(LARGE), content_type=TEXT)
    assert isinstance(text, Rejected)
    assert text.why is Why.CONTENT_TYPE
    assert "(upload to pictures) does not take text/plain: allow it" in text.reason
    for lie in ("", "picture", "image/png\r\nx-evil: 1", "multipart/form-data; boundary=x", "image/é"):
        outcome = await storage.upload(PLACE, of(b"x"), size=1, content_type=lie)
        assert isinstance(outcome, Rejected)
        assert outcome.why is Why.CONTENT_TYPE
    await put(world, b"after")  # a refused upload ends the connection; the next one does not notice


async def test_what_is_missing_is_told_apart(world: StorageWorld) -> None:
    for place in (Place("files", "nothing"), Place("nowhere", "a")):
        with pytest.raises(ObjectMissing):
            await get(world, place)
        with pytest.raises(ObjectMissing):
            await world.storage.sign(place, for_s=60)
    with pytest.raises(
        BucketMissing, match=r"\(upload to nowhere\) answered 400 \(404\): it has no such bucket"
    ):
        await world.storage.upload(Place("nowhere", "a"), of(b"x"), size=1, content_type=TEXT)
    with pytest.raises(BucketMissing):
        await world.storage.delete("nowhere", ["a"])


async def test_a_wrong_key_and_a_wrong_url_are_said(tmp_path: Path) -> None:
    async with open_storage_world(tmp_path, key=lambda keys: keys.anon) as world:
        with pytest.raises(KeyRefused, match="SUPABASE_SERVICE_ROLE_KEY"):
            await put(world, b"x")
        url = f"http://{world.gateway.address}/elsewhere"
        async with open_storage(url, Secret("sb_secret_x")) as storage:
            with pytest.raises(StoreRefused, match="put the project's own URL into SUPABASE_URL"):
                await storage.upload(PLACE, of(b"x"), size=1, content_type=TEXT)
    (tmp_path / "2").mkdir()
    async with open_storage_world(tmp_path / "2", key=lambda keys: keys.secret) as world:
        await put(world, b"x")


async def test_objects_are_deleted_by_the_thousand(world: StorageWorld) -> None:
    for number in range(3):
        await put(world, b"x", Place("files", f"a/{number}"))
    names = [f"a/{number}" for number in range(1500)]
    assert await world.storage.delete("files", names) == 3
    assert await world.storage.delete("files", names) == 0
    assert await world.storage.delete("files", []) == 0
    await put(world, b"x")
    with pytest.raises(PlaceInvalid):
        await world.storage.delete("files", [PLACE.path, "../x"])
    assert world.content(PLACE.path) == b"x"


async def test_a_link_opens_the_object_and_shows_itself_to_nobody(world: StorageWorld) -> None:
    place = Place("files", "a b/ç?.txt")
    await put(world, b"hello", place)
    link = await world.storage.sign(place, for_s=60)
    assert "token" not in f"{link!r} {link}"
    async with httpx.AsyncClient(trust_env=False) as anybody:
        assert (await anybody.get(link.value)).content == b"hello"
    with pytest.raises(ValueError, match="for_s"):
        await world.storage.sign(place, for_s=0)


async def test_reading_may_begin_anywhere_and_end_early(world: StorageWorld) -> None:
    await put(world, LARGE)
    async with world.storage.download(PLACE, begin=1_000_000) as download:
        assert download.size == len(LARGE)
        etag = download.etag
        piece = await anext(download)
        assert LARGE[1_000_000:].startswith(piece)
    assert await get(world, begin=4_000_000, etag=etag) == LARGE[4_000_000:]
    with pytest.raises(ObjectChanged):
        await get(world, begin=4_000_000, etag='"another"')
    with pytest.raises(ObjectChanged):
        await get(world, begin=len(LARGE) + 1)

    async def fail() -> None:
        async with world.storage.download(PLACE) as download:
            await anext(download)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    with trio.move_on_after(0.05) as patience:
        async with world.storage.download(PLACE) as download:
            await anext(download)
            await trio.sleep_forever()
    assert patience.cancelled_caught
    for _ in range(10):  # nobody has kept a connection, or the right to one
        async with world.storage.download(PLACE) as download:
            await anext(download)


async def test_objects_are_copied_while_every_connection_is_taken(world: StorageWorld) -> None:
    async def copy(number: int) -> None:
        async def content() -> AsyncGenerator[bytes]:
            async with world.storage.download(PLACE) as download:
                await world.storage.sign(PLACE, for_s=1)
                async for piece in download:
                    yield piece

        target = Place("files", f"copy {number}")
        outcome = await world.storage.upload(target, content, size=len(LARGE), content_type=TEXT)
        assert outcome == Uploaded(len(LARGE))
        assert world.content(target.path) == LARGE

    await put(world, LARGE)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(copy, number)


# ---------------------------------------------------------------- faults


UPLOADS, ANYTHING = "/storage/v1/object/*", "*"


@pytest.mark.parametrize("action", ["cut", "cut_answer", "lose_answer"])
async def test_an_upload_is_sent_again_from_its_beginning(action: Action, world: StorageWorld) -> None:
    made = 0

    def content() -> AsyncGenerator[bytes]:
        nonlocal made
        made += 1
        return of(LARGE)()

    world.faults.set(Fault(action, path=UPLOADS, method="POST", count=2))
    outcome = await world.storage.upload(PLACE, content, size=len(LARGE), content_type=TEXT)
    assert outcome == Uploaded(len(LARGE))
    assert made == 3
    assert world.content(PLACE.path) == LARGE
    assert [event.call for event in world.events] == ["storage: upload to files"] * 2


@pytest.mark.parametrize("action", ["cut", "cut_answer", "lose_answer"])
async def test_an_upload_that_always_breaks_is_an_outage_after_three_tries(
    action: Action, world: StorageWorld
) -> None:
    world.faults.set(Fault(action, path=UPLOADS, method="POST"))
    with pytest.raises(StoreAway, match=r"^Supabase Storage \(upload to files\) "):
        await put(world, LARGE)
    assert world.faults.hits() == {action: 3}


@pytest.mark.parametrize("action", ["cut", "cut_answer", "lose_answer"])
async def test_a_download_goes_on_where_it_broke(action: Action, world: StorageWorld) -> None:
    await put(world, LARGE)
    world.faults.set(Fault(action, path=UPLOADS, method="GET", count=5 if action == "cut_answer" else 1))
    assert await get(world) == LARGE
    assert world.faults.hits() == {action: 5 if action == "cut_answer" else 1}


async def test_an_object_that_changes_is_not_mixed_with_its_successor(
    world: StorageWorld, tmp_path: Path
) -> None:
    await put(world, LARGE)
    world.faults.set(Fault("cut_answer", path=UPLOADS, method="GET", count=1))
    async with world.storage.download(PLACE) as download:
        assert await anext(download)
        await put(world, LARGE[::-1])
        with pytest.raises(ObjectChanged, match="was replaced while it was read"):
            async for _ in download:
                pass
    world.faults.set(Fault("cut_answer", path=UPLOADS, method="GET", count=1))
    async with world.storage.download(PLACE) as download:
        assert await anext(download)
        await world.storage.delete("files", [PLACE.path])
        with pytest.raises(ObjectChanged, match="was removed while it was read"):
            async for _ in download:
                pass


@pytest.mark.parametrize("act", ["put", "get", "sign", "delete"])
async def test_an_error_is_an_outage_and_ends_by_itself(act: str, world: StorageWorld) -> None:
    await put(world, LARGE)

    acts: dict[str, Callable[[], Awaitable[object]]] = {
        "put": partial(put, world, LARGE),
        "get": partial(get, world),
        "sign": partial(world.storage.sign, PLACE, for_s=1),
        "delete": partial(world.storage.delete, "files", [PLACE.path]),
    }
    do = acts[act]

    world.faults.set(Fault("error", status=503, count=1))
    with pytest.raises(StoreAway, match="answered 503: it cannot just now") as caught:
        await do()
    assert not isinstance(caught.value, StoreRefused)
    await trio.sleep(0.06)  # the circuit's first pause
    await do()


@pytest.mark.parametrize("action", ["blackhole", "mute"])
async def test_silence_is_cut_and_an_outage(action: Action, tmp_path: Path) -> None:
    async with open_storage_world(tmp_path, media_s=0.5) as world:
        await put(world, b"there")
        world.faults.set(Fault(action, path=UPLOADS))
        for act in (partial(put, world, LARGE), partial(get, world)):
            before_s = trio.current_time()
            with pytest.raises(StoreAway, match=r"made no progress in time$"):
                await act()
            assert 0.5 <= trio.current_time() - before_s < 5
            await trio.sleep(0.06)
            await world.storage._uploader._bucket("files")  # by which it is known to be there again
        world.faults.clear()
        await put(world, LARGE)
        assert await get(world) == LARGE


async def test_a_slow_answer_is_waited_for(world: StorageWorld) -> None:
    world.faults.set(Fault("delay", path=UPLOADS, seconds=0.2, count=1))
    world.faults.set(Fault("delay_answer", path=UPLOADS, seconds=0.2, count=1))
    await put(world, LARGE)
    assert await get(world) == LARGE
    assert world.events == []


async def test_a_gateway_that_restarts_under_both_ways(world: StorageWorld) -> None:
    await put(world, LARGE)

    async def restart() -> None:
        await world.gateway.kill()
        await trio.sleep(0.2)
        await world.gateway.restart()

    async with world.storage.download(PLACE) as download:
        got = await anext(download)
        await restart()
        got += b"".join([piece async for piece in download])
    assert got == LARGE
    tries = 0

    async def content() -> AsyncGenerator[bytes]:
        nonlocal tries
        tries += 1
        yield LARGE[:1_000_000]
        yield LARGE[1_000_000:2_000_000]
        if tries == 1:
            await restart()
        yield LARGE[2_000_000:]

    assert await world.storage.upload(PLACE, content, size=len(LARGE), content_type=TEXT) == Uploaded(
        len(LARGE)
    )
    assert (tries, world.content(PLACE.path)) == (2, LARGE)


async def test_while_storage_is_away_no_file_is_sent_into_the_dark(world: StorageWorld) -> None:
    asked = 0

    async def content() -> AsyncGenerator[bytes]:
        nonlocal asked
        asked += 1
        await trio.lowlevel.checkpoint()
        yield b"x"

    await world.gateway.kill()
    with pytest.raises(StoreAway, match="cannot be reached"):
        await get(world)
    for _ in range(20):
        with pytest.raises(StoreAway):
            await world.storage.upload(PLACE, content, size=1, content_type=TEXT)
        await trio.sleep(0.01)
    assert asked == 0
    await world.gateway.restart()
    with trio.fail_after(5):
        while True:
            try:
                await put(world, b"back")
            except StoreAway:
                await trio.sleep(0.01)
            else:
                break
    assert not world.storage._line.is_away


async def test_a_cancelled_upload_leaves_nothing_and_its_connection_to_the_next(world: StorageWorld) -> None:
    closed = trio.Event()

    async def endless() -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                await trio.sleep(0.001)
        finally:
            closed.set()

    for _ in range(10):
        with trio.move_on_after(0.03):
            await world.storage.upload(PLACE, endless, size=10**12, content_type=TEXT)
        assert closed.is_set()
    assert world.content(PLACE.path) is None
    with trio.fail_after(5):
        while world.objects.unfinished():
            await trio.sleep(0.01)
    async with trio.open_nursery() as nursery:
        for number in range(8):  # more than there are connections
            nursery.start_soon(put, world, LARGE, Place("files", f"{number}"))
    assert world.events == []


async def test_no_path_and_no_key_is_shown(tmp_path: Path) -> None:
    shown: list[str] = []
    faults = [Fault("error", status=status) for status in (503, 400, 403, 404)] + [Fault("cut")]
    async with open_storage_world(tmp_path) as world:
        place = Place("files", "hunter2")
        for fault in faults:
            world.faults.set(fault)
            acts: list[Callable[[], Awaitable[object]]] = [
                partial(put, world, b"x", place),
                partial(get, world, place),
                partial(world.storage.sign, place, for_s=1),
                partial(world.storage.delete, "files", ["hunter2"]),
            ]
            for act in acts:
                with pytest.raises((StoreAway, RequestBroken, ObjectMissing)) as caught:
                    await act()
                shown.append(f"{caught.value} {caught.value!r}")
            world.faults.clear()
            await trio.sleep(0.2)
        shown += [repr(world.events), repr(place), repr(world.storage)]
    assert "hunter2" not in "".join(shown)
    assert project_keys().service_role not in "".join(shown)


@pytest.mark.slow
async def test_large_files_are_never_whole_in_memory(world: StorageWorld) -> None:
    """50 MB up and down; client and server are both in this process."""
    piece_size, pieces = 250_000, 200
    sent, got = hashlib.sha256(), hashlib.sha256()

    async def content() -> AsyncGenerator[bytes]:
        for number in range(pieces):
            await trio.lowlevel.checkpoint()
            piece = bytes([number]) * piece_size
            sent.update(piece)
            yield piece

    tracemalloc.start()
    try:
        size = piece_size * pieces
        assert await world.storage.upload(PLACE, content, size=size, content_type=TEXT) == Uploaded(size)
        up = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        async with world.storage.download(PLACE) as download:
            async for piece in download:
                got.update(piece)
        down = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sent.digest() == got.digest()
    assert max(up, down) < 4_000_000
