"""A stand-in for Supabase's Storage: objects up and down, signed links, deletion, and Storage's odd errors.

It is not Storage's own code: no resumable uploads, no images transformed, no policies (``service_role`` may
do everything, others read what is public or signed). Each of its answers says so in a header. What it does
follows https://supabase.github.io/storage and what was seen of the hosted service: most errors are a 400
whose body holds the status that is meant, and a refused upload ends the connection.
"""

import time
from contextlib import aclosing
from typing import Protocol
from urllib.parse import parse_qs, quote, unquote

import trio

from tgworker.devstack.exchange import CHUNK_BYTES, Answer, Headers, Refused, Request, reply
from tgworker.devstack.keys import claims_of, sign
from tgworker.devstack.objects import LONGEST_NAME, Bucket, Objects, Stored, TooLarge

STAND_IN: Headers = [(b"x-tgworker-storage", b"stand-in")]
MAX_PREFIXES = 1000
"""Objects that one request may delete."""


def refused(status: int, error: str, message: str) -> Refused:
    """An error as Storage answers it: a 400 that says in its body what it is."""
    return Refused(400, {"statusCode": str(status), "error": error, "message": message}, STAND_IN)


def no_object() -> Refused:
    """There is no such object, or it is not for whoever asks."""
    return refused(404, "not_found", "Object not found")


class Readable(Protocol):
    """A file that is read in a thread."""

    async def seek(self, target: int, /) -> int:
        """Go on at this byte."""
        ...

    async def read(self, size: int, /) -> bytes:
        """The next bytes; none at its end."""
        ...


class Storage:
    """The stand-in.

    Args:
        objects: What it holds.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def carry_out(self, request: Request, path: str, role: str | None, answer: Answer) -> None:
        """Carry out a request.

        Args:
            request: The request.
            path: What follows ``/storage/v1``.
            role: Whose key came with it; ``None``: nobody's.
            answer: Where the answer goes.

        Raises:
            Refused: With the answer that it gets instead.

        Cancellation: an upload leaves nothing.
        """
        match [request.method, *unquote(path).split("/", 3)[1:]]:
            case ["GET" | "HEAD", "object", "public", place]:
                await self._download_public(request, place, answer)
            case ["GET" | "HEAD", "object", "sign", place]:
                await self._download_signed(request, place, answer)
            case _ if role is None:
                raise refused(403, "Unauthorized", "jwt must be provided")
            case ["GET", "bucket"]:
                await _say(answer, [_about_bucket(each) for each in self._objects.buckets()])
            case ["GET", "bucket", name]:
                await _say(answer, _about_bucket(self._bucket(name)))
            case ["GET" | "HEAD", "object", "authenticated", place] if role == "service_role":
                await self._download(request, *self._place(place), answer)
            case ["GET" | "HEAD", "object", bucket, name] if role == "service_role":
                await self._download(request, *self._place(f"{bucket}/{name}"), answer)
            case ["GET" | "HEAD", "object", *_]:
                raise no_object()
            case _ if role != "service_role":
                raise refused(403, "Unauthorized", "new row violates row-level security policy")
            case ["POST", "bucket"]:
                await self._create_bucket(request, answer)
            case ["DELETE", "bucket", name]:
                self._objects.delete_bucket(self._bucket(name).id)
                await _say(answer, {"message": "Successfully deleted"})
            case ["POST", "object", "sign", place]:
                await self._sign(request, *self._place(place), answer)
            case ["POST", "object", "list", name]:
                await self._list(request, self._bucket(name), answer)
            case ["POST" | "PUT", "object", bucket, name]:
                await self._upload(request, *self._place(f"{bucket}/{name}"), answer)
            case ["DELETE", "object", bucket]:
                await self._delete_many(request, self._bucket(bucket), answer)
            case ["DELETE", "object", bucket, name]:
                if self._objects.delete(self._bucket(bucket).id, name) is None:
                    raise no_object()
                await _say(answer, {"message": "Successfully deleted"})
            case _:
                text = f"the dev-stack's stand-in for Storage has no {request.method} {request.path}"
                raise Refused(404, {"message": text}, STAND_IN)

    def _bucket(self, name: str) -> Bucket:
        bucket = self._objects.bucket(name)
        if bucket is None:
            raise refused(404, "Bucket not found", "Bucket not found")
        return bucket

    def _place(self, place: str) -> tuple[Bucket, str]:
        """Bucket and name of an object's place."""
        bucket, _, name = place.partition("/")
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise refused(400, "InvalidKey", "Invalid key")
        return self._bucket(bucket), name

    async def _create_bucket(self, request: Request, answer: Answer) -> None:
        match await request.json():
            case {"name": str(name), **more}:
                bucket = Bucket(
                    str(more.get("id") or name),
                    public=more.get("public") is True,
                    file_size_limit=limit if isinstance(limit := more.get("file_size_limit"), int) else None,
                    allowed_mime_types=tuple(map(str, types))
                    if (types := more.get("allowed_mime_types"))
                    else None,
                )
            case _:
                raise refused(400, "Error", "body must have required property 'name'")
        if not self._objects.create(bucket):
            raise refused(409, "Duplicate", "The resource already exists")
        await _say(answer, {"name": bucket.id})

    # ---------------------------------------------------------------- up

    async def _upload(self, request: Request, bucket: Bucket, name: str, answer: Answer) -> None:
        mime_type = request.header("content-type") or "application/octet-stream"
        if mime_type.startswith("multipart/"):
            raise refused(
                415, "invalid_mime_type", "the dev-stack's stand-in takes the bare content, no forms"
            )
        if bucket.allowed_mime_types is not None and mime_type not in bucket.allowed_mime_types:
            raise refused(415, "invalid_mime_type", f"mime type {mime_type} is not supported")
        replaces = request.method == "PUT" or request.header("x-upsert") == "true"
        if not replaces and self._objects.find(bucket.id, name) is not None:
            raise refused(409, "Duplicate", "The resource already exists")
        limit = bucket.file_size_limit
        too_large = refused(413, "Payload too large", "The object exceeded the maximum allowed size")
        announced = request.header("content-length")
        if limit is not None and announced.isdecimal() and int(announced) > limit:
            raise too_large
        try:
            async with aclosing(request.body()) as pieces:
                stored = await self._objects.store(bucket.id, name, mime_type, pieces, limit=limit)
        except TooLarge:
            raise too_large from None
        except OSError as error:
            raise refused(500, "Internal", f"the object cannot be written: {error.strerror}") from None
        await _say(answer, {"Id": stored.etag, "Key": f"{bucket.id}/{name}"})

    # ---------------------------------------------------------------- down

    async def _download_public(self, request: Request, place: str, answer: Answer) -> None:
        bucket, name = self._place(place)
        if not bucket.public:
            raise refused(404, "Bucket not found", "Bucket not found")
        await self._download(request, bucket, name, answer)

    async def _download_signed(self, request: Request, place: str, answer: Answer) -> None:
        token = parse_qs(request.query).get("token", [""])[0]
        claims = claims_of(token, now=time.time())
        if claims is None or claims.get("url") != place:
            raise refused(400, "InvalidJWT", "the token is not for this object, or its time is over")
        await self._download(request, *self._place(place), answer)

    async def _download(self, request: Request, bucket: Bucket, name: str, answer: Answer) -> None:
        found = self._objects.open(bucket.id, name)
        if found is None:
            raise no_object()
        stored, content = found
        async with trio.wrap_file(content) as file:
            await self._send(request, stored, file, answer)

    async def _send(self, request: Request, stored: Stored, file: Readable, answer: Answer) -> None:
        begin, end = _range(request.header("range"), stored)
        part = request.header("range") != "" and stored.size > 0
        headers = [
            (b"content-type", stored.mime_type.encode("latin-1", "replace")),
            (b"content-length", str(end - begin).encode()),
            (b"etag", f'"{stored.etag}"'.encode()),
            (b"accept-ranges", b"bytes"),
            *([(b"content-range", f"bytes {begin}-{end - 1}/{stored.size}".encode())] if part else []),
        ]
        await answer.start(206 if part else 200, [*headers, *STAND_IN])
        await file.seek(begin)
        left = 0 if request.method == "HEAD" else end - begin
        while left > 0 and (piece := await file.read(min(left, CHUNK_BYTES))):
            left -= len(piece)
            await answer.send(piece)
        await answer.end()

    async def _sign(self, request: Request, bucket: Bucket, name: str, answer: Answer) -> None:
        seconds = (await request.json()).get("expiresIn")
        if not isinstance(seconds, int) or seconds < 1:
            raise refused(400, "Error", "body must have required property 'expiresIn'")
        if self._objects.find(bucket.id, name) is None:
            raise no_object()
        token = sign("signed", expires_at=int(time.time()) + seconds, url=f"{bucket.id}/{name}")
        url = f"/object/sign/{quote(bucket.id)}/{quote(name)}?token={token}"
        await _say(answer, {"signedURL": url})

    # ---------------------------------------------------------------- many

    async def _list(self, request: Request, bucket: Bucket, answer: Answer) -> None:
        prefix = (await request.json()).get("prefix")
        found = self._objects.listing(bucket.id, prefix if isinstance(prefix, str) else "")
        await _say(answer, [_about(each) for each in found])

    async def _delete_many(self, request: Request, bucket: Bucket, answer: Answer) -> None:
        match await request.json():
            case {"prefixes": [*names]} if 0 < len(names) <= MAX_PREFIXES:
                gone = [self._objects.delete(bucket.id, str(name)) for name in names]
            case _:
                raise refused(400, "Error", f"body must have 1 to {MAX_PREFIXES} 'prefixes'")
        await _say(answer, [_about(each) for each in gone if each is not None])


async def _say(answer: Answer, value: object) -> None:
    await reply(answer, 200, value, STAND_IN)


def _about(stored: Stored) -> dict[str, object]:
    return {"name": stored.name, "metadata": {"size": stored.size, "mimetype": stored.mime_type}}


def _about_bucket(bucket: Bucket) -> dict[str, object]:
    return {
        "id": bucket.id,
        "name": bucket.id,
        "public": bucket.public,
        "file_size_limit": bucket.file_size_limit,
        "allowed_mime_types": bucket.allowed_mime_types,
    }


def _range(header: str, stored: Stored) -> tuple[int, int]:
    """Where a download begins and ends; one range, from its beginning, is understood (RFC 9110, 14.2)."""
    unit, _, text = header.partition("=")
    first, _, last = text.partition("-")
    if unit != "bytes" or not first.isdecimal() or not (last.isdecimal() or last == ""):
        return 0, stored.size
    begin = int(first)
    if begin >= stored.size or (last and int(last) < begin):
        raise Refused(416, {"message": "the range is not in the object"}, STAND_IN)
    return begin, min(int(last) + 1, stored.size) if last else stored.size
