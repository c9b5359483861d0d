"""One object on its way up: tries, and what is found out about a bucket where a try says nothing."""

import fnmatch
from contextlib import aclosing
from typing import Final
from urllib.parse import quote

import msgspec

from tgworker.messaging.file_store import Content, Rejected, Uploaded, UploadOutcome, Why
from tgworker.messaging.places import Place, is_content_type
from tgworker.supabase.addresses import quoted
from tgworker.supabase.stall import Stall
from tgworker.supabase.storage_errors import No, Refusal, Thing
from tgworker.supabase.storage_line import Stalled, StorageLine, Torn, Way, unknown, what_of
from tgworker.supabase.uploads import ContentDiffers, ContentFailed, UploadBody

TRIES: Final = 3
"""So often an upload whose connection breaks is sent from its beginning."""

PAUSE_S: Final = 1.0
"""Longest pause before the third try. The second follows at once: a kept connection may have been stale."""


class _Bucket(msgspec.Struct):
    file_size_limit: int | None = None
    allowed_mime_types: list[str] | None = None


class Uploader:
    """Sends objects up.

    Args:
        line: Requests to Storage.
        media_s: How long nothing may move, seconds.
    """

    def __init__(self, line: StorageLine, media_s: float) -> None:
        self._line = line
        self._media_s = media_s

    async def upload(self, place: Place, content: Content, size: int, content_type: str) -> UploadOutcome:
        """See `tgworker.supabase.storage.Storage.upload`."""
        call = f"upload to {place.bucket}"
        if not is_content_type(content_type):
            return Rejected(Why.CONTENT_TYPE, "what was given as its content type is none")
        async with self._line.connection(call, Way.UP):
            if self._line.is_away:
                await self._bucket(place.bucket)  # finds out without a whole file
            for attempt in range(1, TRIES + 1):
                if attempt == TRIES:
                    await self._line.pause(PAUSE_S)
                try:
                    return await self._try_upload(call, place, content, size, content_type)
                except (Torn, Stalled) as away:
                    # Who refuses a file may end the connection before anybody has read why. And whether
                    # Storage is away is found out with something smaller than a file.
                    rejected = await self._bucket_rejects(place.bucket, size, content_type)
                    if rejected is not None:
                        return rejected
                    if isinstance(away, Stalled) or attempt == TRIES:
                        raise
        raise AssertionError("unreachable")

    async def _try_upload(
        self, call: str, place: Place, content: Content, size: int, content_type: str
    ) -> UploadOutcome:
        stall = Stall(self._media_s)
        async with aclosing(content()) as pieces:
            body = UploadBody(pieces, size, stall)
            headers = {"Content-Length": str(size), "Content-Type": content_type, "x-upsert": "true"}
            try:
                await body.look_ahead()
                answer = await self._line.send(
                    call,
                    "POST",
                    f"/object/{quoted(place)}",
                    headers=headers,
                    stall=stall,
                    body=body,
                    carries_file=True,
                )
            except ContentDiffers as differs:
                return differs.outcome
            except ContentFailed as failed:
                raise failed.error from None
        if not isinstance(answer, Refusal):
            if not body.is_sent:
                raise unknown(call)  # whatever it has, it is not the whole object
            return Uploaded(size)
        match answer.no:
            case No.TOO_LARGE:
                return Rejected(
                    Why.TOO_LARGE, f"{what_of(call)} takes no file of {size} bytes: raise its limit"
                )
            case No.CONTENT_TYPE:
                return Rejected(
                    Why.CONTENT_TYPE, f"{what_of(call)} does not take {content_type}: allow it there"
                )
            case No.NAME:
                return Rejected(Why.NAME, f"{what_of(call)} does not take the object's name: choose another")
            case _:
                raise answer.about(Thing.BUCKET).error(what_of(call))

    async def _bucket_rejects(self, bucket: str, size: int, content_type: str) -> Rejected | None:
        about = await self._bucket(bucket)
        call = f"upload to {bucket}"
        if about.file_size_limit is not None and size > about.file_size_limit:
            limit = about.file_size_limit
            return Rejected(
                Why.TOO_LARGE, f"{what_of(call)} takes {limit} bytes, not {size}: raise the bucket's limit"
            )
        bare = content_type.partition(";")[0].strip().lower()
        allowed = about.allowed_mime_types
        if allowed and not any(fnmatch.fnmatchcase(bare, each.lower()) for each in allowed):
            return Rejected(Why.CONTENT_TYPE, f"{what_of(call)} does not take {bare}: allow it in the bucket")
        return None

    async def _bucket(self, name: str) -> _Bucket:
        call = f"look at {name}"
        answer = await self._line.ask(call, "GET", f"/bucket/{quote(name, safe='')}")
        try:
            return msgspec.convert(answer, _Bucket)
        except msgspec.ValidationError:
            raise unknown(call) from None
