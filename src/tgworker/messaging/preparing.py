"""What has to be known of a file, and done to it, before it can be sent."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from tgworker.messaging.bounded import within
from tgworker.messaging.content_types import HEAD_BYTES, served_type
from tgworker.messaging.file_kinds import actual_kind, claimed_kind
from tgworker.messaging.file_names import harmless_name
from tgworker.messaging.file_store import BucketMissing, FileStore, ObjectChanged, ObjectMissing
from tgworker.messaging.limits import Limits
from tgworker.messaging.media import LARGEST_BYTES, FileFacts, FileKind, OutgoingFile
from tgworker.messaging.places import Place, PlaceInvalid
from tgworker.messaging.ports import Pulse
from tgworker.messaging.sources import LocalFile, StoredFile
from tgworker.messaging.transcoding import ConversionFailed, Transcoder
from tgworker.messaging.uploading import Source
from tgworker.messaging.values import new_id

INSPECTED_BYTES = 64 * 1024 * 1024
"""A film or song that is longer is sent without being looked into: for that it would have to be on the
disk.
"""

INSPECTED = frozenset({FileKind.VIDEO, FileKind.VIDEO_NOTE, FileKind.ANIMATION, FileKind.AUDIO})


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file that can be sent.

    Attributes:
        facts: What it is sent as.
        source: Its bytes; of ``facts.size``.
        version: Which bytes these are: with others of the same length no upload goes on.
        waveform: Of a voice note.
    """

    facts: FileFacts
    source: Source
    version: str | None
    waveform: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Unfit:
    """It cannot be sent as it is.

    Attributes:
        reason: What is wrong with it, with the remedy.
        may_pass: Whether that may change by itself.
    """

    reason: str
    may_pass: bool


class Preparer:
    """Looks at files, and converts voice notes.

    Args:
        files: Where they lie.
        transcoder: Looks into them, and converts them.
        bucket: Where one lies whose row names no bucket.
        spool: A folder for copies, which are gone when they were sent.
        limits: The deadlines.
    """

    def __init__(
        self, files: FileStore, transcoder: Transcoder, *, bucket: str, spool: Path, limits: Limits
    ) -> None:
        self._files = files
        self._transcoder = transcoder
        self._bucket = bucket
        self._spool = spool
        self._limits = limits

    @asynccontextmanager
    async def prepared(
        self, pulse: Pulse, file: OutgoingFile, message_type: str | None
    ) -> AsyncGenerator[Prepared | Unfit]:
        """A file, ready to be sent while the block runs.

        Args:
            pulse: The sender's.
            file: Its row.
            message_type: What the application calls the message.

        Raises:
            StoreAway: The file store is.

        Cancellation: copies are removed.
        """
        path = self._spool / f"{new_id()}.out"
        try:
            try:
                prepared = await self._prepare(pulse, file, message_type, path)
            except ObjectChanged as error:
                prepared = Unfit(str(error), may_pass=True)
            yield prepared
        finally:
            for leftover in (path, path.with_suffix(".ogg")):
                leftover.unlink(missing_ok=True)

    async def _prepare(
        self, pulse: Pulse, file: OutgoingFile, message_type: str | None, path: Path
    ) -> Prepared | Unfit:
        try:
            place = Place(file.bucket or self._bucket, file.path)
        except PlaceInvalid as error:
            return Unfit(str(error), may_pass=False)
        try:
            stored, head = await within(pulse, "files.open", self._limits.media_s, lambda: self._look(place))
        except (ObjectMissing, BucketMissing, ObjectChanged) as error:
            return Unfit(f"{error}: upload it, or correct its row in attachments", may_pass=True)
        if stored.size == 0:
            return Unfit("it is empty, and Telegram takes no empty files", may_pass=False)
        if stored.size > LARGEST_BYTES:
            most, size = LARGEST_BYTES / 1e9, stored.size / 1e9
            return Unfit(f"it has {size:.1f} GB, and Telegram takes at most {most:.1f}", may_pass=False)
        kind = actual_kind(claimed_kind(message_type, file), head, stored.size)
        mime_type = served_type(file.mime_type, head)
        name = harmless_name(file.file_name, mime_type)
        facts = FileFacts(kind, stored.size, mime_type, name)
        if kind is FileKind.VOICE and stored.size <= INSPECTED_BYTES:
            return await self._voice(pulse, stored, facts, path)
        if kind in INSPECTED and stored.size <= INSPECTED_BYTES:
            return await self._inspected(pulse, stored, facts, path)
        return Prepared(facts, stored, stored.etag)

    async def _look(self, place: Place) -> tuple[StoredFile, bytes]:
        async with self._files.download(place) as download:
            head = bytearray()
            async for piece in download:
                head += piece
                if len(head) >= HEAD_BYTES:
                    break
            return StoredFile(self._files, place, download.size, download.etag), bytes(head[:HEAD_BYTES])

    async def _voice(
        self, pulse: Pulse, stored: StoredFile, facts: FileFacts, path: Path
    ) -> Prepared | Unfit:
        """A voice note as Telegram plays it: OGG with Opus in it."""
        await self._copy(pulse, stored, path)
        target = path.with_suffix(".ogg")
        made = await self._transcoder.convert_voice(path, target, deadline_s=self._limits.media_s)
        if isinstance(made, ConversionFailed):
            return Unfit(f"it cannot be made a voice note: {made.reason}", may_pass=made.may_pass)
        size = (await trio.Path(target).stat()).st_size
        voice = replace(facts, size=size, mime_type="audio/ogg", duration_s=made.duration_s)
        # No two conversions are the same bytes: Ogg numbers its streams at random (RFC 3533, 6).
        return Prepared(voice, LocalFile(target, size), path.stem, made.waveform)

    async def _inspected(
        self, pulse: Pulse, stored: StoredFile, facts: FileFacts, path: Path
    ) -> Prepared | Unfit:
        """What cannot be looked into is sent all the same, without a length or a size."""
        await self._copy(pulse, stored, path)
        seen = await self._transcoder.inspect(path, deadline_s=self._limits.media_s)
        facts = replace(facts, duration_s=seen.duration_s, width=seen.width, height=seen.height)
        return Prepared(facts, LocalFile(path, facts.size), stored.etag)

    async def _copy(self, pulse: Pulse, stored: StoredFile, path: Path) -> None:
        async with stored.read(0) as pieces, await trio.open_file(path, "xb") as file:
            while True:
                piece = await within(pulse, "files.read", self._limits.media_s, lambda: anext(pieces, None))
                if piece is None:
                    return
                await file.write(piece)
