"""Stand-ins for what moves files, where a test has none."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random
from typing import NoReturn

import trio

from tgworker.messaging.fetching import FetchPlan
from tgworker.messaging.file_sending import FileSender, SendingStore
from tgworker.messaging.file_store import Content, Reading, UploadOutcome
from tgworker.messaging.gate import Gate
from tgworker.messaging.limits import Limits
from tgworker.messaging.media import PartialUpload
from tgworker.messaging.media_ports import (
    MediaMessage,
    PartsForgotten,
    ReferenceExpired,
    RemoteFile,
    Upload,
)
from tgworker.messaging.media_rules import MediaRules
from tgworker.messaging.models import Look, Peer
from tgworker.messaging.outcomes import Deferred, Outcome, Refused
from tgworker.messaging.places import Place
from tgworker.messaging.ports import Connection
from tgworker.messaging.preparing import Preparer
from tgworker.messaging.spool import Spool
from tgworker.messaging.uploads import Uploads


class NoFiles:
    """The part of a connection that moves files, where nobody asks for one."""

    def upload(self, file: PartialUpload) -> Upload:
        raise AssertionError(f"nobody sends files here, and one of {file.size} bytes came")

    async def send_media(self, peer: Peer, messages: Sequence[MediaMessage]) -> Outcome | PartsForgotten:
        raise AssertionError(f"nobody sends files here, and {len(messages)} went to {peer.chat_id}")

    async def look_for_media(
        self, peer: Peer, messages: Sequence[MediaMessage], *, above: int
    ) -> Look | Deferred | Refused:
        raise AssertionError(f"nobody sends files here, and one was looked for above {above}")

    async def find_files(
        self, peer: Peer, telegram_ids: Sequence[int]
    ) -> Mapping[int, RemoteFile | Refused] | Deferred | Refused:
        raise AssertionError(f"there are no files here, and {telegram_ids} were looked up")

    async def find_avatar(self, peer: Peer, photo_id: int) -> RemoteFile | Deferred | Refused:
        raise AssertionError(f"there are no photos here, and {photo_id} was looked up")

    def download(
        self, file: RemoteFile, *, begin: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes | Deferred | ReferenceExpired | Refused]]:
        raise AssertionError(f"there are no files here, and {file.facts.size} bytes were asked for")


class NoFileStore:
    """Fills `tgworker.messaging.file_store.FileStore` where nobody asks for a file."""

    async def upload(self, place: Place, content: Content, *, size: int, content_type: str) -> UploadOutcome:
        raise AssertionError(f"there are no files here, and {size} bytes came")

    def download(
        self, place: Place, *, begin: int = 0, etag: str | None = None
    ) -> AbstractAsyncContextManager[Reading]:
        raise AssertionError(f"there are no files here, and {place} was read")

    async def download_to(self, place: Place, path: Path) -> Reading:
        raise AssertionError(f"there are no files here, and {place} was read")

    async def delete(self, bucket: str, paths: Sequence[str]) -> int:
        raise AssertionError(f"there are no files here, and {bucket} was to lose some")

    async def ensure_bucket(self, bucket: str, *, public: bool) -> None:
        raise AssertionError(f"there are no files here, and {bucket} was made")

    def link(self, place: Place) -> str:
        raise AssertionError(f"there are no files here, and {place} was linked to")


class NoTranscoder:
    """Fills `tgworker.messaging.transcoding.Transcoder` where nobody asks."""

    async def convert_voice(self, source: Path, target: Path, *, deadline_s: float) -> NoReturn:
        raise AssertionError("there are no voice notes here")

    async def inspect(self, source: Path, *, deadline_s: float) -> NoReturn:
        raise AssertionError("there are no files here")


NOWHERE = Path("/nowhere")


def no_preparer() -> Preparer:
    return Preparer(NoFileStore(), NoTranscoder(), bucket="files", spool=NOWHERE, limits=Limits())


def no_fetching() -> FetchPlan:
    return FetchPlan(
        files=NoFileStore(),
        spool=Spool(NOWHERE),
        bucket="files",
        avatars_bucket="avatars",
        rules=MediaRules(),
        turns=trio.CapacityLimiter(1),
    )


def no_sender(connection: Connection, gate: Gate, store: SendingStore) -> FileSender:
    """A sender of files for a line over which nobody sends any."""
    return FileSender(
        connection=connection,
        gate=gate,
        store=store,
        limits=Limits(),
        preparer=no_preparer(),
        uploads=Uploads(Random(1)),
        can_park=lambda: False,
    )
