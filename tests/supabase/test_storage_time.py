"""Transfers on the mock clock: a minute without progress to the second, and what is asked after a break."""

import json
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random
from typing import cast

import httpx
import pytest
import trio
from trio.testing import MockClock

from supabase.storage_world import HangUp, Script, Wire, of, open_scripted_storage
from tgworker.messaging.errors import StoreAway, StoreRefused
from tgworker.messaging.file_store import ObjectChanged, Rejected, Uploaded, Why
from tgworker.messaging.models import Secret
from tgworker.messaging.places import Place
from tgworker.supabase.downloads import Part, part_of
from tgworker.supabase.events import RequestFailed, SupabaseEvent
from tgworker.supabase.storage import Storage, open_storage
from tgworker.supabase.storage_errors import No, refusal_of

PLACE = Place("files", "a b.bin")
KEY = Secret("sb_secret_hunter2")
TEXT = "text/plain"
ETAG = '"one"'


def open_one(url: str, events: list[SupabaseEvent] | None = None) -> AbstractAsyncContextManager[Storage]:
    heard = [] if events is None else events
    return open_storage(url, KEY, rng=Random(1), observer=heard.append)


# ---------------------------------------------------------------- up: who reads how fast is scripted exactly


class Reader(httpx.AsyncBaseTransport):
    """A server that takes each piece of an upload after a while, and then answers after a while.

    Args:
        after_s: How long it takes for each piece; after the last of them: for the answer.
        bucket: What it says about the bucket; ``None``: nothing, for ever.
    """

    def __init__(self, *after_s: float, bucket: dict[str, object] | None) -> None:
        self.after_s = list(after_s)
        self.bucket = bucket
        self.taken: list[bytes] = []
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        if request.method == "GET":
            if self.bucket is None:
                await trio.sleep_forever()
            return httpx.Response(200, json=self.bucket, request=request)
        stream = cast("AsyncIterable[bytes]", request.stream)
        pieces = aiter(stream)
        while True:
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                break
            self.taken.append(piece)
            await trio.sleep(self.after_s.pop(0))
        await trio.sleep(self.after_s.pop(0))
        return httpx.Response(200, json={"Key": "files/a"}, request=request)


async def upload(reader: Reader, content: Callable[[], AsyncGenerator[bytes]], size: int) -> object:
    async with open_storage("http://storage", KEY, rng=Random(1), transport=reader) as storage:
        return await storage.upload(PLACE, content, size=size, content_type=TEXT)


async def test_a_slow_upload_takes_as_long_as_it_moves(autojump_clock: MockClock) -> None:
    reader = Reader(59, 59, 59, 59, 59, bucket=None)
    outcome = await upload(reader, of(b"x" * 200_000, pieces_of=200_000), 200_000)
    assert outcome == Uploaded(200_000)
    assert [len(piece) for piece in reader.taken] == [65536, 65536, 65536, 3392]
    assert trio.current_time() == 5 * 59


@pytest.mark.parametrize(("after_s", "at_s"), [((61,), 60), ((59, 61), 119), ((59, 0, 0, 5, 61), 124)])
async def test_an_upload_that_stands_still_for_a_minute_is_an_outage(
    after_s: tuple[float, ...], at_s: float, autojump_clock: MockClock
) -> None:
    reader = Reader(*after_s, bucket={})
    with pytest.raises(StoreAway, match=r"^Supabase Storage \(upload to files\) made no progress in time$"):
        await upload(reader, of(b"x" * 200_000, pieces_of=200_000), 200_000)
    assert trio.current_time() == at_s
    assert reader.asked == ["POST /storage/v1/object/files/a b.bin", "GET /storage/v1/bucket/files"]


async def test_a_storage_that_says_nothing_at_all_is_given_ten_seconds_more(
    autojump_clock: MockClock,
) -> None:
    with pytest.raises(StoreAway, match=r"\(look at files\) made no progress in time"):
        await upload(Reader(61, bucket=None), of(b"x"), 1)
    assert trio.current_time() == 70


async def test_a_file_that_is_not_wanted_may_be_met_with_silence(autojump_clock: MockClock) -> None:
    outcome = await upload(Reader(61, bucket={"file_size_limit": 1000}), of(b"x" * 1001), 1001)
    assert outcome == Rejected(
        Why.TOO_LARGE,
        "Supabase Storage (upload to files) takes 1000 bytes, not 1001: raise the bucket's limit",
    )
    outcome = await upload(Reader(61, bucket={"allowed_mime_types": ["image/*"]}), of(b"x"), 1)
    assert isinstance(outcome, Rejected)
    assert outcome.why is Why.CONTENT_TYPE


async def test_time_in_which_the_content_is_waited_for_does_not_count(autojump_clock: MockClock) -> None:
    async def slowly() -> AsyncGenerator[bytes]:
        for _ in range(3):
            await trio.sleep(1000)
            yield b"x" * 65536

    size = 3 * 65536
    assert await upload(Reader(59, 59, 59, 59, bucket=None), slowly, size) == Uploaded(size)
    assert trio.current_time() == 3 * 1000 + 4 * 59
    with pytest.raises(StoreAway):
        await upload(Reader(30, 61, bucket={}), slowly, size)
    assert trio.current_time() == 3 * 1000 + 4 * 59 + 3 * 1000 + 30 + 60


async def test_what_is_half_taken_and_answered_with_done_is_not_believed(autojump_clock: MockClock) -> None:
    class Hasty(Reader):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await anext(aiter(cast("AsyncIterable[bytes]", request.stream)))
            return httpx.Response(200, json={}, request=request)

    with pytest.raises(StoreRefused, match="answered what this program does not know"):
        await upload(Hasty(bucket=None), of(b"x" * 200_000), 200_000)


async def test_files_take_turns(autojump_clock: MockClock) -> None:
    reader = Reader(*[5.0] * 12, bucket=None)
    done: list[float] = []

    async def one(storage: Storage) -> None:
        await storage.upload(PLACE, of(b"x"), size=1, content_type=TEXT)
        done.append(trio.current_time())

    async with (
        open_storage("http://storage", KEY, max_transfers=2, transport=reader) as storage,
        trio.open_nursery() as nursery,
    ):
        for _ in range(6):
            nursery.start_soon(one, storage)
    assert done == [10, 10, 20, 20, 30, 30]


async def test_a_wedged_pool_is_replaced(autojump_clock: MockClock) -> None:
    class Wedged(Reader):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if not self.asked:
                self.asked.append("wedged")
                raise httpx.PoolTimeout("no slot", request=request)
            return await super().handle_async_request(request)

    reader = Wedged(0, 0, bucket={})
    async with open_storage("http://storage", KEY, transport=reader) as storage:
        broken = storage._line._client
        assert await storage.upload(PLACE, of(b"x"), size=1, content_type=TEXT) == Uploaded(1)
        assert broken.is_closed


# ---------------------------------------------------------------- down: a scripted server on loopback


def gives(
    content: bytes, *, then: Callable[[], Awaitable[None]] | None = None, every_s: float = 0, **headers: str
) -> Script:
    """Answers 200 or, where a ``content_range`` is given, 206 with ``content`` in pieces of ten bytes.

    Then does something; the length that was announced is the whole ``size``, given as ``content_length``.
    """

    async def script(wire: Wire) -> None:
        status = 206 if "content_range" in headers else 200
        await wire.begin(status, **{"content_length": str(len(content)), "etag": ETAG, **headers})
        for begin in range(0, len(content), 10):
            await wire.send(content[begin : begin + 10])
            await trio.sleep(every_s)
        if then is not None:
            await then()
        await wire.end()

    return script


async def hang_up() -> None:
    await trio.lowlevel.checkpoint()
    raise HangUp


def says(status: int, body: bytes = b"", **headers: str) -> Script:
    async def script(wire: Wire) -> None:
        await wire.answer(status, body, **headers)

    return script


async def hangs_up(wire: Wire) -> None:
    raise HangUp


async def is_silent(wire: Wire) -> None:
    await trio.sleep_forever()


WHOLE = b"0123456789" * 4
HALF = gives(WHOLE[:20], then=hang_up, content_length="40")


async def read(storage: Storage) -> bytes:
    async with storage.download(PLACE) as download:
        return b"".join([piece async for piece in download])


async def test_a_slow_download_takes_as_long_as_it_moves(autojump_clock: MockClock) -> None:
    async with open_scripted_storage(gives(WHOLE, every_s=59)) as server, open_one(server.url) as storage:
        assert await read(storage) == WHOLE
    assert trio.current_time() == 3 * 59  # the fourth piece is the last
    (asked,) = server.asked
    assert asked.head.target == b"/storage/v1/object/files/a%20b.bin"
    assert (asked.header("accept-encoding"), asked.header("apikey")) == ("identity", KEY.value)


async def test_a_download_that_stands_still_for_a_minute_is_an_outage(autojump_clock: MockClock) -> None:
    events: list[SupabaseEvent] = []
    script = gives(WHOLE[:20], then=trio.sleep_forever, content_length="40")
    async with open_scripted_storage(script) as server, open_one(server.url, events) as storage:
        with pytest.raises(StoreAway, match=r"^Supabase Storage \(download from files\) made no progress in"):
            await read(storage)
    assert trio.current_time() == 60
    request_id = server.asked[0].header("x-request-id")
    assert events == [
        RequestFailed(str(request_id), "storage: download from files", "no progress before its deadline", 60)
    ]


async def test_the_minute_is_one_for_all_tries(autojump_clock: MockClock) -> None:
    async def ten_seconds() -> None:
        await trio.sleep(10)
        raise HangUp

    first = gives(WHOLE[:20], then=ten_seconds, content_length="40")
    async with open_scripted_storage(first, is_silent) as server, open_one(server.url) as storage:
        with pytest.raises(StoreAway):
            await read(storage)
    assert trio.current_time() == 60
    assert [wire.at for wire in server.asked] == [0, 10]


async def test_it_is_asked_for_what_is_left_of_the_same_object(autojump_clock: MockClock) -> None:
    rest = gives(WHOLE[20:], content_range="bytes 20-39/40")
    async with open_scripted_storage(HALF, rest) as server, open_one(server.url) as storage:
        assert await read(storage) == WHOLE
    assert server.asked[0].header("range") is None
    assert (server.asked[1].header("range"), server.asked[1].header("if-range")) == ("bytes=20-", ETAG)


async def test_a_server_without_ranges_is_read_through_again(autojump_clock: MockClock) -> None:
    async with open_scripted_storage(HALF, gives(WHOLE)) as server, open_one(server.url) as storage:
        assert await read(storage) == WHOLE
    assert len(server.asked) == 2


async def test_reading_through_again_is_progress(autojump_clock: MockClock) -> None:
    slow = gives(WHOLE, every_s=59)
    async with open_scripted_storage(HALF, slow) as server, open_one(server.url) as storage:
        assert await read(storage) == WHOLE
    assert trio.current_time() == 3 * 59


@pytest.mark.parametrize(
    ("second", "kind", "said"),
    [
        (gives(WHOLE, etag='"two"'), ObjectChanged, "was replaced while it was read"),
        (gives(WHOLE[20:], content_range="bytes 20-39/40", etag='"two"'), ObjectChanged, "was replaced"),
        (gives(b"x" * 21, content_range="bytes 20-40/41"), ObjectChanged, "was replaced"),
        (says(416), ObjectChanged, "has become shorter"),
        (says(400, b'{"statusCode":"404","error":"not_found"}'), ObjectChanged, "was removed"),
        (gives(WHOLE[21:], content_range="bytes 21-39/40"), StoreRefused, "does not know"),
        (gives(WHOLE[20:30], content_range="bytes 20-29/40"), StoreRefused, "does not know"),
        (gives(WHOLE, content_encoding="gzip"), StoreRefused, "does not know"),
        (says(302, location="https://elsewhere.test/hunter2"), StoreRefused, "is no Storage"),
        (says(401, b'{"message":"hunter2"}'), StoreRefused, "SUPABASE_SERVICE_ROLE_KEY"),
    ],
)
async def test_what_is_not_the_rest_of_it_is_never_given_out(
    second: Script, kind: type[Exception], said: str, autojump_clock: MockClock
) -> None:
    got = b""
    async with (
        open_scripted_storage(HALF, second) as server,
        open_one(server.url) as storage,
        storage.download(PLACE) as download,
    ):
        for _ in range(2):
            got += await anext(download)
        with pytest.raises(kind, match=said) as caught:
            await anext(download)
    assert type(caught.value) is not StoreAway
    assert "hunter2" not in str(caught.value)
    assert got == WHOLE[:20]


@pytest.mark.parametrize("etag", ["", 'W/"one"', "one"])
async def test_an_object_whose_version_has_no_name_is_not_pieced_together(
    etag: str, autojump_clock: MockClock
) -> None:
    half = gives(WHOLE[:20], then=hang_up, content_length="40", etag=etag)
    async with open_scripted_storage(half) as server, open_one(server.url) as storage:
        with pytest.raises(StoreAway, match="begin anew"):
            await read(storage)
    assert len(server.asked) == 1


async def test_an_outage_within_the_minute_is_waited_for(autojump_clock: MockClock) -> None:
    """Thirty seconds of 503: the circuit's pauses and the download's add up to less than a second."""
    away = says(503)
    rest = gives(WHOLE[20:], content_range="bytes 20-39/40")
    async with (
        open_scripted_storage(HALF, *[away] * 1000) as server,
        open_one(server.url) as storage,
        storage.download(PLACE) as download,
    ):
        got = await anext(download) + await anext(download)
        async with trio.open_nursery() as nursery:

            async def come_back() -> None:
                await trio.sleep(30)
                server.scripts[:] = [rest]

            nursery.start_soon(come_back)
            got += await anext(download)
        assert 30 <= trio.current_time() <= 31
        got += b"".join([piece async for piece in download])
    assert got == WHOLE
    assert 30 < len(server.asked) < 150


async def test_an_outage_of_more_than_a_minute_is_one_and_reading_may_go_on_later(
    autojump_clock: MockClock,
) -> None:
    rest = gives(WHOLE[20:], content_range="bytes 20-39/40")
    async with (
        open_scripted_storage(HALF) as server,
        open_one(server.url) as storage,
        storage.download(PLACE) as download,
    ):
        got = await anext(download) + await anext(download)
        with pytest.raises(StoreAway):
            await anext(download)
        assert 60 <= trio.current_time() <= 60.001
        server.scripts.append(rest)
        await trio.sleep(1)
        got += b"".join([piece async for piece in download])
    assert got == WHOLE


async def test_whoever_reads_may_take_all_the_time_in_the_world(autojump_clock: MockClock) -> None:
    """The server ends the connection meanwhile, as gateways do."""
    rest = gives(WHOLE[10:], content_range="bytes 10-39/40")

    async def impatient() -> None:
        await trio.sleep(75)
        raise HangUp

    first = gives(WHOLE[:10], then=impatient, content_length="40")
    async with (
        open_scripted_storage(first, rest) as server,
        open_one(server.url) as storage,
        storage.download(PLACE) as download,
    ):
        got = await anext(download)
        await trio.sleep(3600)
        got += b"".join([piece async for piece in download])
    assert got == WHOLE
    assert trio.current_time() == 3600


async def test_a_connection_that_was_closed_while_idle_costs_nothing(autojump_clock: MockClock) -> None:
    async def then_closes(wire: Wire) -> None:
        await wire.answer(200, b'{"Key":"files/a"}')
        raise HangUp

    events: list[SupabaseEvent] = []
    async with (
        open_scripted_storage(then_closes, hangs_up, says(200, b"{}"), says(200, b"{}")) as server,
        open_one(server.url, events) as storage,
    ):
        for _ in range(2):
            assert await storage.upload(PLACE, of(b"x"), size=1, content_type=TEXT) == Uploaded(1)
    assert [wire.head.method for wire in server.asked] == [b"POST", b"POST", b"GET", b"POST"]
    assert [type(event) for event in events] == [RequestFailed]


async def test_an_upload_that_is_reset_before_the_refusal_is_read_is_rejected_all_the_same(
    autojump_clock: MockClock,
) -> None:
    async def resets(wire: Wire) -> None:
        await wire.receive()
        raise HangUp

    bucket = json.dumps({"id": "files", "file_size_limit": 1000, "allowed_mime_types": None}).encode()
    size = 8_000_000
    async with open_scripted_storage(resets, says(200, bucket)) as server, open_one(server.url) as storage:
        outcome = await storage.upload(PLACE, of(b"x" * size), size=size, content_type=TEXT)
    assert isinstance(outcome, Rejected)
    assert outcome.why is Why.TOO_LARGE


@pytest.mark.parametrize(
    "link", [b"{}", b"[]", b"<html>", b'{"signedURL":"https://elsewhere.test/?token=x"}']
)
async def test_a_link_elsewhere_is_no_link(link: bytes, autojump_clock: MockClock) -> None:
    async with open_scripted_storage(says(200, link)) as server, open_one(server.url) as storage:
        with pytest.raises(StoreRefused, match="does not know"):
            await storage.sign(PLACE, for_s=1)


@pytest.mark.parametrize("size", [10, 50])
async def test_a_file_is_read_anew_when_its_object_changes(size: int, tmp_path: Path) -> None:
    other = (b"9876543210" * 5)[:size]
    changed = gives(other[20:], content_range="bytes 20-49/50", etag='"two"') if size > 20 else says(416)
    async with open_scripted_storage(HALF, changed, gives(other)) as server, open_one(server.url) as storage:
        download = await storage.download_to(PLACE, tmp_path / "file")
    assert download.size == size
    assert names_and_contents(tmp_path) == {"file": other}


async def test_a_file_that_changes_again_and_again_and_one_that_is_cancelled_leave_nothing(
    tmp_path: Path,
) -> None:
    changed = says(416)
    silent = gives(WHOLE[:20], then=trio.sleep_forever, content_length="40")
    scripts = [HALF, changed, HALF, changed, HALF, changed, silent]
    async with open_scripted_storage(*scripts) as server, open_one(server.url) as storage:
        with pytest.raises(ObjectChanged):
            await storage.download_to(PLACE, tmp_path / "file")
        assert len(server.asked) == 6
        with trio.move_on_after(0.1) as patience:
            await storage.download_to(PLACE, tmp_path / "file")
    assert patience.cancelled_caught
    assert names_and_contents(tmp_path) == {}


def names_and_contents(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


async def test_what_begins_behind_the_end_is_not_there(autojump_clock: MockClock) -> None:
    async with open_scripted_storage(gives(WHOLE)) as server, open_one(server.url) as storage:
        with pytest.raises(ObjectChanged, match="shorter"):
            async with storage.download(PLACE, begin=41):
                pass


async def test_a_question_is_asked_twice(autojump_clock: MockClock) -> None:
    scripts = [hangs_up, says(200, b'[{"name":"a"}]'), hangs_up, hangs_up]
    async with open_scripted_storage(*scripts) as server, open_one(server.url) as storage:
        assert await storage.delete("files", ["a"]) == 1
        with pytest.raises(StoreAway, match=r"\(delete in files\) broke off its answer"):
            await storage.delete("files", ["a"])
    assert server.requests() == ["DELETE /storage/v1/object/files"] * 4


async def test_a_question_without_an_answer_takes_ten_seconds(autojump_clock: MockClock) -> None:
    async with open_scripted_storage(is_silent) as server, open_one(server.url) as storage:
        with pytest.raises(StoreAway, match=r"\(delete in files\) made no progress in time"):
            await storage.delete("files", ["a"])
    assert trio.current_time() == 10


# ---------------------------------------------------------------- the tables


@pytest.mark.parametrize(
    ("status", "body", "no"),
    [
        (400, {"statusCode": "404", "error": "not_found", "message": "Object not found"}, No.NO_OBJECT),
        (400, {"statusCode": "404", "error": "Not found"}, No.NO_OBJECT),
        (400, {"statusCode": "404", "error": "Bucket not found"}, No.NO_BUCKET),
        (404, {"code": "NoSuchBucket", "message": ""}, No.NO_BUCKET),
        (404, {"code": "NoSuchKey", "message": ""}, No.NO_OBJECT),
        (404, {"message": "no Route matched with those values"}, No.ELSEWHERE),
        (404, "<html>", No.ELSEWHERE),
        (400, {"statusCode": "404", "code": "TenantNotFound"}, No.ELSEWHERE),
        (400, {"statusCode": "413", "error": "Payload too large"}, No.TOO_LARGE),
        (413, "<html>", No.TOO_LARGE),
        (400, {"statusCode": "415", "error": "invalid_mime_type"}, No.CONTENT_TYPE),
        (400, {"statusCode": "422", "error": "invalid_mime_type"}, No.CONTENT_TYPE),
        (400, {"statusCode": "400", "error": "InvalidKey"}, No.NAME),
        (400, {"statusCode": "400", "error": "InvalidJWT"}, No.FORBIDDEN),
        (400, {"statusCode": "403", "error": "Unauthorized"}, No.FORBIDDEN),
        (401, {"message": "Invalid API key"}, No.FORBIDDEN),
        (400, {"statusCode": "409", "error": "Duplicate"}, No.LATER),
        (400, {"statusCode": "423", "code": "ResourceLocked"}, No.LATER),
        (400, {"statusCode": "429", "error": "too_many"}, No.LATER),
        (500, {"statusCode": "500", "error": "Internal"}, No.LATER),
        (400, {"statusCode": "500", "error": "Internal"}, No.LATER),
        (400, {"statusCode": "544", "error": "DatabaseTimeout"}, No.LATER),
        (503, {"code": "SlowDown"}, No.LATER),
        (503, "<html>", No.AWAY),
        (502, {"message": "An invalid response was received from the upstream server"}, No.AWAY),
        (522, "", No.AWAY),
        (416, {"statusCode": "416", "error": "InvalidRange"}, No.RANGE),
        (301, "", No.ELSEWHERE),
        (400, {"statusCode": "400", "error": "Error"}, No.BROKEN),
        (400, {"statusCode": "²²²", "error": ["InvalidKey"]}, No.BROKEN),
        (400, "[" * 100_000, No.BROKEN),
    ],
)
def test_what_storage_answers_means(status: int, body: dict[str, object] | str, no: No) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    refusal = refusal_of(httpx.Response(status, content=content.encode()))
    assert refusal is not None
    assert refusal.no is no
    error = refusal.error("Supabase Storage (test)")
    assert "\n" not in str(error)


def test_done_is_done() -> None:
    assert refusal_of(httpx.Response(200)) is None
    assert refusal_of(httpx.Response(206)) is None


@pytest.mark.parametrize(
    ("status", "headers", "part"),
    [
        (200, {"content-length": "5", "etag": ETAG}, Part(5, 0, ETAG)),
        (200, {"content-length": "0"}, Part(0, 0, None)),
        (200, {"content-length": "5", "etag": 'W/"one"'}, Part(5, 0, None)),
        (200, {"content-length": "5", "content-encoding": "br"}, None),
        (200, {}, None),
        (200, {"content-length": "٥"}, None),
        (200, {"content-length": "-1"}, None),
        (204, {"content-length": "5"}, None),
        (206, {"content-length": "5", "content-range": "bytes 5-9/10", "etag": ETAG}, Part(10, 5, ETAG)),
        (206, {"content-length": "5"}, None),
        (206, {"content-length": "5", "content-range": "bytes 5-9/*"}, None),
        (206, {"content-length": "5", "content-range": "bytes 5-9/11"}, None),
        (206, {"content-length": "4", "content-range": "bytes 5-9/10"}, None),
        (206, {"content-length": "5", "content-range": "items 5-9/10"}, None),
    ],
)
def test_which_part_an_answer_holds(status: int, headers: dict[str, str], part: Part | None) -> None:
    assert part_of(status, headers) == part
