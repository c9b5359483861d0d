"""The stand-in for Storage: what goes up comes down, and Storage's odd errors."""

import errno
import hashlib
import time
import tracemalloc
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
import trio

from tgworker.devstack import Fault, Stack

OBJECT = "/storage/v1/object"


@pytest.fixture
async def store(service: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client, and a private bucket ``files``."""
    made = await service.post("/storage/v1/bucket", json={"id": "files", "name": "files"})
    assert made.json() == {"name": "files"}
    return service


def error(answer: httpx.Response) -> tuple[int, str, str]:
    body: dict[str, Any] = answer.json()
    return answer.status_code, body["statusCode"], body["error"]


async def test_what_goes_up_comes_down(store: httpx.AsyncClient) -> None:
    up = await store.post(
        f"{OBJECT}/files/a/b c.txt", content=b"hello", headers={"content-type": "text/plain"}
    )
    assert (up.status_code, up.json()["Key"]) == (200, "files/a/b c.txt")
    for path in ("files/a/b%20c.txt", "authenticated/files/a/b c.txt"):
        down = await store.get(f"{OBJECT}/{path}")
        assert (down.status_code, down.content) == (200, b"hello")
        assert (down.headers["content-type"], down.headers["content-length"]) == ("text/plain", "5")
        assert down.headers["etag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
        assert down.headers["x-tgworker-storage"] == "stand-in"
    head = await store.head(f"{OBJECT}/files/a/b c.txt")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "5", b"")


async def test_an_empty_object_is_one(store: httpx.AsyncClient) -> None:
    await store.post(f"{OBJECT}/files/empty", content=b"")
    down = await store.get(f"{OBJECT}/files/empty", headers={"range": "bytes=0-"})
    assert (down.status_code, down.content) == (416, down.content)
    assert (await store.get(f"{OBJECT}/files/empty")).content == b""


async def test_a_second_upload_needs_upsert(store: httpx.AsyncClient) -> None:
    path = f"{OBJECT}/files/a"
    await store.post(path, content=b"one")
    assert error(await store.post(path, content=b"two")) == (400, "409", "Duplicate")
    assert (await store.get(path)).content == b"one"
    assert (await store.post(path, content=b"two", headers={"x-upsert": "true"})).status_code == 200
    assert (await store.get(path)).content == b"two"
    assert (await store.put(path, content=b"three")).status_code == 200
    assert (await store.get(path)).content == b"three"


async def test_what_is_missing_is_a_400_that_says_404(store: httpx.AsyncClient) -> None:
    assert error(await store.get(f"{OBJECT}/files/nothing")) == (400, "404", "not_found")
    assert error(await store.get(f"{OBJECT}/nowhere/a")) == (400, "404", "Bucket not found")
    assert error(await store.post(f"{OBJECT}/nowhere/a", content=b"x")) == (400, "404", "Bucket not found")
    assert error(await store.post(f"{OBJECT}/sign/files/a", json={"expiresIn": 60})) == (
        400,
        "404",
        "not_found",
    )


async def test_part_of_an_object_comes_down(store: httpx.AsyncClient) -> None:
    await store.post(f"{OBJECT}/files/a", content=b"0123456789")
    rest = await store.get(f"{OBJECT}/files/a", headers={"range": "bytes=7-"})
    assert (rest.status_code, rest.content, rest.headers["content-range"]) == (206, b"789", "bytes 7-9/10")
    some = await store.get(f"{OBJECT}/files/a", headers={"range": "bytes=2-3"})
    assert (some.status_code, some.content) == (206, b"23")
    assert (await store.get(f"{OBJECT}/files/a", headers={"range": "bytes=10-"})).status_code == 416


async def test_an_object_that_is_replaced_meanwhile_comes_down_as_it_was(store: httpx.AsyncClient) -> None:
    path = f"{OBJECT}/files/a"
    before = b"a" * 8_000_000  # more than the buffers on the way hold
    await store.post(path, content=before)
    got = b""
    async with store.stream("GET", path) as answer:
        async for piece in answer.aiter_raw():
            if not got:
                assert (await store.put(path, content=b"short")).status_code == 200
            got += piece
    assert got == before
    assert (await store.get(path)).content == b"short"


async def test_errors_have_no_body_for_head(store: httpx.AsyncClient, stack: Stack) -> None:
    missing = await store.head(f"{OBJECT}/files/nothing")
    assert (missing.status_code, missing.content) == (400, b"")
    stack.faults.set(Fault("error", status=503, count=1))
    assert (await store.head("/rest/v1/notes")).status_code == 503
    assert (await store.get("/rest/v1/notes")).status_code == 200


async def test_a_disk_that_takes_nothing_is_said(
    store: httpx.AsyncClient, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stack.objects, "store", full)
    answer = await store.post(f"{OBJECT}/files/a", content=b"x")
    assert error(answer) == (400, "500", "Internal")
    assert "No space left" in answer.json()["message"]


async def test_a_link_opens_one_object_for_a_while(
    store: httpx.AsyncClient, bare: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.post(f"{OBJECT}/files/a b", content=b"hello")
    await store.post(f"{OBJECT}/files/other", content=b"secret")
    signed = (await store.post(f"{OBJECT}/sign/files/a b", json={"expiresIn": 60})).json()["signedURL"]
    assert signed.startswith("/object/sign/files/a%20b?token=")
    assert (await bare.get(f"/storage/v1{signed}")).content == b"hello"
    other = signed.replace("a%20b", "other")
    assert error(await bare.get(f"/storage/v1{other}")) == (400, "400", "InvalidJWT")
    assert error(await bare.get(f"{OBJECT}/sign/files/a b")) == (400, "400", "InvalidJWT")
    later = time.time() + 61
    monkeypatch.setattr("tgworker.devstack.storage.time.time", lambda: later)
    assert error(await bare.get(f"/storage/v1{signed}")) == (400, "400", "InvalidJWT")


async def test_objects_are_listed_and_deleted(store: httpx.AsyncClient) -> None:
    for name in ("a/1", "a/2", "b/1"):
        await store.post(f"{OBJECT}/files/{name}", content=b"x")
    gone = await store.request("DELETE", f"{OBJECT}/files", json={"prefixes": ["a/1", "a/9"]})
    assert [each["name"] for each in gone.json()] == ["a/1"]
    listed = await store.post(f"{OBJECT}/list/files", json={"prefix": "a/"})
    assert [each["name"] for each in listed.json()] == ["a/2"]
    assert (await store.delete(f"{OBJECT}/files/a/2")).json() == {"message": "Successfully deleted"}
    assert error(await store.delete(f"{OBJECT}/files/a/2")) == (400, "404", "not_found")
    assert error(await store.request("DELETE", f"{OBJECT}/files", json={"prefixes": []})) == (
        400,
        "400",
        "Error",
    )


async def test_only_service_role_writes_and_others_read_what_is_public(
    store: httpx.AsyncClient, bare: httpx.AsyncClient, stack: Stack
) -> None:
    await store.post("/storage/v1/bucket", json={"name": "open", "public": True})
    for bucket in ("files", "open"):
        await store.post(f"{OBJECT}/{bucket}/a", content=b"x")
    anon = {"authorization": f"Bearer {stack.anon_key}"}
    assert error(await bare.post(f"{OBJECT}/files/b", content=b"x", headers=anon)) == (
        400,
        "403",
        "Unauthorized",
    )
    assert error(await bare.get(f"{OBJECT}/files/a", headers=anon)) == (400, "404", "not_found")
    assert error(await bare.get(f"{OBJECT}/files/a")) == (400, "403", "Unauthorized")
    assert (await bare.get(f"{OBJECT}/public/open/a")).content == b"x"
    assert error(await bare.get(f"{OBJECT}/public/files/a")) == (400, "404", "Bucket not found")
    secret = {"apikey": stack.keys.secret}
    assert (await bare.get(f"{OBJECT}/files/a", headers=secret)).content == b"x"
    wrong = {"authorization": f"Bearer {stack.service_role_key}x"}
    assert error(await bare.get(f"{OBJECT}/files/a", headers=wrong)) == (400, "403", "Unauthorized")


async def test_buckets_are_made_listed_and_removed(store: httpx.AsyncClient) -> None:
    assert error(await store.post("/storage/v1/bucket", json={"name": "files"})) == (400, "409", "Duplicate")
    assert error(await store.post("/storage/v1/bucket", json={})) == (400, "400", "Error")
    assert [each["id"] for each in (await store.get("/storage/v1/bucket")).json()] == ["files"]
    assert (await store.get("/storage/v1/bucket/files")).json()["public"] is False
    assert (await store.delete("/storage/v1/bucket/files")).status_code == 200
    assert error(await store.get("/storage/v1/bucket/files")) == (400, "404", "Bucket not found")


async def test_what_the_stand_in_cannot_is_said(store: httpx.AsyncClient) -> None:
    answer = await store.post("/storage/v1/upload/resumable", content=b"")
    assert answer.status_code == 404
    assert "stand-in" in answer.json()["message"]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_refused_upload_ends_the_connection(announced: bool, store: httpx.AsyncClient) -> None:
    await store.post("/storage/v1/bucket", json={"name": "small", "file_size_limit": 1000})
    content = b"x" * 5_000_000
    refused = await store.post(f"{OBJECT}/small/a", content=content if announced else pieces(content))
    assert error(refused) == (400, "413", "Payload too large")
    assert "connection" not in refused.headers
    assert error(await store.get(f"{OBJECT}/small/a")) == (400, "404", "not_found")


async def test_types_are_checked(store: httpx.AsyncClient) -> None:
    await store.post("/storage/v1/bucket", json={"name": "pictures", "allowed_mime_types": ["image/png"]})
    path = f"{OBJECT}/pictures/a"
    refused = await store.post(path, content=b"x", headers={"content-type": "text/plain"})
    assert error(refused) == (400, "415", "invalid_mime_type")
    assert (await store.post(path, content=b"x", headers={"content-type": "image/png"})).status_code == 200
    form = await store.post(path, files={"file": b"x"})
    assert error(form) == (400, "415", "invalid_mime_type")


async def test_an_upload_that_breaks_off_leaves_nothing(store: httpx.AsyncClient, stack: Stack) -> None:
    with trio.move_on_after(0.3):
        await store.post(f"{OBJECT}/files/half", content=endless())
    assert error(await store.get(f"{OBJECT}/files/half")) == (400, "404", "not_found")
    assert stack.objects.listing("files", "") == []
    with trio.fail_after(5):
        while stack.objects.unfinished():
            await trio.sleep(0.01)


async def test_large_objects_are_never_whole_in_memory(store: httpx.AsyncClient) -> None:
    size = 0
    digest = hashlib.sha256()

    async def content() -> AsyncGenerator[bytes]:
        for number in range(64):
            await trio.lowlevel.checkpoint()
            piece = bytes([number]) * 262_144
            digest.update(piece)
            yield piece

    tracemalloc.start()
    assert (await store.post(f"{OBJECT}/files/large", content=content())).status_code == 200
    got = hashlib.sha256()
    async with store.stream("GET", f"{OBJECT}/files/large") as answer:
        async for piece in answer.aiter_raw():
            size += len(piece)
            got.update(piece)
    assert (size, got.digest()) == (64 * 262_144, digest.digest())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000  # of 16 MiB; the client is in this process too


async def test_faults_meet_storage_too(store: httpx.AsyncClient, stack: Stack) -> None:
    stack.faults.set(Fault("lose_answer", path="/storage/v1/object/files/*", method="POST", count=1))
    with pytest.raises(httpx.ReadError):
        await store.post(f"{OBJECT}/files/a", content=b"x")
    assert (await store.get(f"{OBJECT}/files/a")).content == b"x"


async def pieces(content: bytes) -> AsyncGenerator[bytes]:
    for begin in range(0, len(content), 65536):
        await trio.lowlevel.checkpoint()
        yield content[begin : begin + 65536]


async def endless() -> AsyncGenerator[bytes]:
    while True:
        await trio.sleep(0.01)
        yield b"x" * 1000
