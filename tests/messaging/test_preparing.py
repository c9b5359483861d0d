"""A file before it is sent: what it is sent as, what is said against it, and that no copy is left behind."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trio.testing

from messaging.media_fakes import MemoryFiles, ScriptedTranscoder, no_threads
from messaging.messaging_fakes import RecordingPulse
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.limits import Limits
from tgworker.messaging.media import FileFacts, FileKind, OutgoingFile
from tgworker.messaging.preparing import Prepared, Preparer, Unfit
from tgworker.messaging.transcoding import ConversionFailed, MediaFacts

__all__ = ["no_threads"]

pytestmark = pytest.mark.usefixtures("no_threads")

SOUND = b"\x1aE\xdf\xa3 a sound" * 9000
FILM = b"\0\0\0\x20ftypisom" + bytes(200_000)


@dataclass
class Stage:
    files: MemoryFiles
    transcoder: ScriptedTranscoder
    spool: Path

    @asynccontextmanager
    async def prepared(
        self, path: str = "a", message_type: str = "document", mime_type: str | None = None, bucket: str = ""
    ) -> AsyncGenerator[Prepared | Unfit]:
        preparer = Preparer(self.files, self.transcoder, bucket="files", spool=self.spool, limits=Limits())
        file = OutgoingFile("1", bucket, path, None, mime_type)
        async with preparer.prepared(RecordingPulse(), file, message_type) as prepared:
            yield prepared
        assert list(self.spool.iterdir()) == []

    async def unfit(self, path: str = "a", message_type: str = "document", bucket: str = "") -> Unfit:
        async with self.prepared(path, message_type, bucket=bucket) as prepared:
            assert isinstance(prepared, Unfit)
            return prepared


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(MemoryFiles(), ScriptedTranscoder(), tmp_path)


async def content_of(prepared: Prepared, begin: int = 0) -> bytes:
    async with prepared.source.read(begin) as pieces:
        return b"".join([piece async for piece in pieces])


async def test_a_document_is_read_from_where_it_lies(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.files.put("a", SOUND)
    async with stage.prepared() as prepared:
        assert isinstance(prepared, Prepared)
        assert (prepared.facts.kind, prepared.facts.size) == (FileKind.DOCUMENT, len(SOUND))
        assert await content_of(prepared, 5) == SOUND[5:]
        assert list(stage.spool.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "bucket", "reason", "may_pass"),
    [
        ("none", "", "there is no such file: upload it, or correct its row in attachments", True),
        ("empty", "", "it is empty, and Telegram takes no empty files", False),
        ("../a", "", "correct storage_path", False),
        ("a", "sign", "correct storage_bucket", False),
    ],
)
async def test_what_cannot_be_sent_says_what_is_to_be_done(
    path: str,
    bucket: str,
    reason: str,
    may_pass: bool,
    stage: Stage,
    autojump_clock: trio.testing.MockClock,
) -> None:
    stage.files.put("empty", b"")
    said = await stage.unfit(path, bucket=bucket)
    assert reason in said.reason
    assert said.may_pass is may_pass


async def test_a_voice_note_is_converted_and_its_copies_go(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.files.put("a", SOUND)
    async with stage.prepared(message_type="voice") as prepared:
        assert isinstance(prepared, Prepared)
        assert prepared.waveform == b"\x01" * 63
        assert (prepared.facts.mime_type, prepared.facts.duration_s) == ("audio/ogg", 2.5)
        assert await content_of(prepared) == stage.transcoder.voice
        assert prepared.facts.size == len(stage.transcoder.voice)
        assert stage.transcoder.sources == [SOUND]
        assert len(list(stage.spool.iterdir())) == 2


@pytest.mark.parametrize("may_pass", [True, False])
async def test_what_cannot_be_converted_says_whether_that_may_pass(
    may_pass: bool, stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.files.put("a", SOUND)
    stage.transcoder.failures.append(ConversionFailed("there is no sound in it", may_pass))
    said = await stage.unfit(message_type="voice")
    assert said == Unfit("it cannot be made a voice note: there is no sound in it", may_pass)


async def test_a_film_is_looked_into_and_sent_as_it_is(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.files.put("a", FILM)
    stage.transcoder.seen = MediaFacts(12.0, 640, 480)
    async with stage.prepared(message_type="video", mime_type="video/mp4") as prepared:
        assert isinstance(prepared, Prepared)
        assert await content_of(prepared, 7) == FILM[7:]
        facts: FileFacts = prepared.facts
        assert (facts.kind, facts.duration_s, facts.width, facts.height) == (FileKind.VIDEO, 12, 640, 480)


async def test_what_cannot_be_looked_into_is_sent_all_the_same(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.files.put("a", FILM)
    stage.transcoder.seen = MediaFacts(unknown_because="it took too long")
    async with stage.prepared(message_type="video", mime_type="video/mp4") as prepared:
        assert isinstance(prepared, Prepared)
        assert prepared.facts.duration_s is None


@pytest.mark.parametrize("what", ["download", "read"])
async def test_a_store_that_is_silent_is_away_after_60_s(
    what: str, stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.files.put("a", SOUND)
    stage.files.weather.will(what, "hang")
    with pytest.raises(StoreAway, match="no answer within 60 s"):
        await stage.unfit(message_type="voice")
    assert trio.current_time() == 60
    assert list(stage.spool.iterdir()) == []


async def test_a_file_that_is_replaced_while_it_is_copied_may_pass(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.files.put("a", SOUND)

    async def replace() -> None:
        await trio.sleep(10)
        stage.files.put("a", FILM)

    # The head is read, then the copy hangs at its second piece until another file is there.
    stage.files.weather.will("read", "ok", "ok", "slow")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(replace)
        said = await stage.unfit(message_type="voice")
    assert said == Unfit("another file lies there now", may_pass=True)


@pytest.mark.parametrize("state", ["looking", "copying", "converting", "sending"])
async def test_cancelled_in_any_state_no_copy_is_left(
    state: str, stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.files.put("a", SOUND)
    match state:
        case "looking":
            stage.files.weather.will("download", "hang")
        case "copying":
            stage.files.weather.will("read", "ok", "ok", "hang")
        case "converting":
            stage.transcoder.takes_s = 50
        case _:
            pass
    copies: list[Path] = []
    with trio.move_on_after(30) as scope:
        async with trio.open_nursery() as nursery:

            async def look() -> None:
                await trio.sleep(29)
                copies.extend(stage.spool.iterdir())

            nursery.start_soon(look)
            async with stage.prepared(message_type="voice"):
                await trio.sleep_forever()
    assert scope.cancelled_caught
    assert len(copies) == {"looking": 0, "copying": 1, "converting": 1, "sending": 2}[state]
    assert list(stage.spool.iterdir()) == []
