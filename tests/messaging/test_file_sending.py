"""Messages with files: what becomes of an attempt at which second, and what is kept for the next one."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from messaging.media_fakes import MediaLine, MemoryFiles, ScriptedTranscoder, no_threads
from messaging.messaging_fakes import (
    PEER,
    SENT,
    FakeStore,
    RecordingPulse,
    Reports,
    attempt,
    format_text,
    unpaced_gate,
)
from tgworker.messaging.desk import Flight
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.file_sending import FileSender
from tgworker.messaging.gate import Parked
from tgworker.messaging.limits import Limits
from tgworker.messaging.media import PART_BYTES, OutgoingFile
from tgworker.messaging.media_ports import PartsForgotten
from tgworker.messaging.models import Attempt, Copy, Doubt, Look
from tgworker.messaging.outcomes import Deferred, Outcome, Refused, Released, Sent, Unknown, Unsure
from tgworker.messaging.planning import parts_of
from tgworker.messaging.preparing import Preparer
from tgworker.messaging.transcoding import ConversionFailed
from tgworker.messaging.uploads import Uploads

__all__ = ["no_threads"]

pytestmark = pytest.mark.usefixtures("no_threads")

LONG = Random(3).randbytes(3 * PART_BYTES + 9)
MISSING = "its file: there is no such file: upload it, or correct its row in attachments"


def with_files(*paths: str, name: str = "m", number: int = 1, kind: str = "document") -> Attempt:
    """An attempt to send files of those paths."""
    files = tuple(OutgoingFile(path, "", path, path) for path in paths)
    return replace(
        attempt(name, text="look", number=number),
        message_type=kind,
        files=files,
        more_random_ids=tuple(range(50, 50 + len(files) - 1)),
    )


@dataclass
class Stage:
    """What sends files of one account."""

    line: MediaLine
    files: MemoryFiles
    transcoder: ScriptedTranscoder
    store: FakeStore
    pulse: RecordingPulse
    uploads: Uploads
    sender: FileSender
    spool: Path
    has_room: bool = True
    flight: Flight | None = None

    async def send(self, one: Attempt) -> tuple[float, Outcome | Parked]:
        parts = parts_of(one, format_text)
        assert not isinstance(parts, Refused)
        self.flight = Flight(one, trio.current_time())
        outcome = await self.sender.send(self.pulse, self.flight, PEER, parts)
        assert not self.flight.carries_files
        assert list(self.spool.iterdir()) == []
        return trio.current_time(), outcome

    def sent_bytes(self) -> list[bytes]:
        return [self.line.bytes_of(message) for message in self.line.posted[-1][1]]


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    line, files, transcoder, store = MediaLine(), MemoryFiles(), ScriptedTranscoder(), FakeStore()
    files.put("a", LONG)
    uploads = Uploads(Random(1))
    preparer = Preparer(files, transcoder, bucket="files", spool=tmp_path, limits=Limits())
    sender = FileSender(
        connection=line,
        gate=unpaced_gate(store, Reports()),
        store=store,
        limits=Limits(),
        preparer=preparer,
        uploads=uploads,
        can_park=lambda: here.has_room,
    )
    here = Stage(line, files, transcoder, store, RecordingPulse(), uploads, sender, tmp_path)
    return here


# ---------------------------------------------------------------- what goes well


async def test_a_file_is_one_message_with_its_caption(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    assert await stage.send(with_files("a")) == (0, SENT)
    ((at, (message,)),) = stage.line.posted
    assert (at, message.caption.text, message.random_id) == (0, "look", 1)
    assert stage.sent_bytes() == [LONG]


async def test_an_album_is_one_request_with_an_id_for_each(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.files.put("b", b"another")
    assert await stage.send(with_files("a", "b")) == (0, SENT)
    ((_, messages),) = stage.line.posted
    assert [(each.caption.text, each.random_id) for each in messages] == [("look", 1), ("", 50)]
    assert stage.sent_bytes() == [LONG, b"another"]


# ---------------------------------------------------------------- what does not


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        *((n, Deferred(pause_s, MISSING)) for n, pause_s in enumerate((5, 10, 20, 40, 80), 1)),
        (6, Refused(MISSING)),
    ],
)
async def test_a_file_that_is_missing_is_tried_six_times(
    stage: Stage, number: int, outcome: Outcome, autojump_clock: trio.testing.MockClock
) -> None:
    assert await stage.send(with_files("nowhere", number=number)) == (0, outcome)


async def test_what_was_in_doubt_and_is_missing_now_is_for_a_person(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    one = replace(with_files("nowhere", number=6), doubt=Doubt(60, top_id=5))
    _, outcome = await stage.send(one)
    assert isinstance(outcome, Unsure)


async def test_which_file_of_several_it_is(stage: Stage, autojump_clock: trio.testing.MockClock) -> None:
    _, outcome = await stage.send(with_files("a", "nowhere"))
    assert isinstance(outcome, Deferred)
    assert outcome.reason.startswith("file 2 of 2: there is no such file")
    assert stage.line.offered == []


@pytest.mark.parametrize(("may_pass", "kind"), [(True, Deferred), (False, Refused)])
async def test_a_converter_that_fails(
    stage: Stage, may_pass: bool, kind: type[Outcome], autojump_clock: trio.testing.MockClock
) -> None:
    stage.transcoder.failures.append(ConversionFailed("it was killed", may_pass))
    at, outcome = await stage.send(with_files("a", kind="voice"))
    assert (at, type(outcome)) == (0, kind)


async def test_silence_puts_it_back_and_the_next_attempt_goes_on(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.line.parts.extend([0, 0, None])
    assert await stage.send(with_files("a")) == (
        60,
        Deferred(5, "nothing of it moved for 60 s"),
    )
    assert await stage.send(with_files("a", number=2)) == (60, SENT)
    assert [number for _, number in stage.line.offered] == [0, 1, 2, 2, 3]
    assert stage.sent_bytes() == [LONG]


async def test_a_long_flood_wait_puts_it_back_and_the_next_attempt_goes_on(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    wait = Deferred(301, "FLOOD_WAIT")
    stage.line.parts.extend([0, Deferred(300, "FLOOD_WAIT"), 0, wait])
    assert await stage.send(with_files("a")) == (300, wait)
    await trio.sleep(301)
    assert await stage.send(with_files("a", number=2)) == (601, SENT)
    assert [number for _, number in stage.line.offered] == [0, 1, 1, 2, 2, 3]


async def test_a_line_that_breaks_under_an_upload_gives_it_back_and_another_goes_on(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.line.parts.extend([0, 0, TelegramAway("the line broke")])
    assert await stage.send(with_files("a")) == (0, Released("the line broke"))
    assert await stage.send(with_files("a", number=2)) == (0, SENT)
    assert stage.sent_bytes() == [LONG]


@pytest.mark.parametrize("what", ["download", "read"])
async def test_a_file_store_that_is_away_puts_it_back(
    stage: Stage, what: str, autojump_clock: trio.testing.MockClock
) -> None:
    stage.files.weather.will(what, "away")
    assert await stage.send(with_files("a")) == (0, Deferred(5, "a file cannot be read now: it is away"))
    assert await stage.send(with_files("a", number=2)) == (0, SENT)


async def test_an_outage_of_the_file_store_is_asked_about_every_30_s_and_never_given_up(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.files.weather.will("download", *["away"] * 11)
    waits: list[float] = []
    for number in range(1, 12):
        _, outcome = await stage.send(with_files("a", number=number))
        assert isinstance(outcome, Deferred)
        waits.append(outcome.retry_after_s)
    assert waits == [5, 10, 20, *[30] * 8]


async def test_a_file_store_that_breaks_off_under_an_upload_puts_it_back(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.files.weather.will("read", *["ok"] * 8, "away")
    assert await stage.send(with_files("a")) == (0, Deferred(5, "a file cannot be read now: it is away"))
    assert await stage.send(with_files("a", number=2)) == (0, SENT)
    assert [number for _, number in stage.line.offered] == [0, 1, 2, 3]


async def test_a_file_that_is_replaced_under_an_upload_begins_anew(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    other = Random(5).randbytes(len(LONG))

    async def replace_it() -> None:
        await trio.sleep(10)
        stage.files.put("a", other)

    stage.line.part_takes_s = 7
    async with trio.open_nursery() as nursery:
        nursery.start_soon(replace_it)
        assert await stage.send(with_files("a")) == (
            14,
            Deferred(5, "another file lies there now"),
        )
    assert (await stage.send(with_files("a", number=2)))[1] == SENT
    assert stage.sent_bytes() == [other]


async def test_a_file_that_is_replaced_between_two_attempts_begins_anew(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    other = Random(5).randbytes(len(LONG))
    stage.line.parts.extend([0, 0, Deferred(400, "FLOOD_WAIT")])
    await stage.send(with_files("a"))
    stage.files.put("a", other)
    assert (await stage.send(with_files("a", number=2)))[1] == SENT
    assert stage.sent_bytes() == [other]


async def test_a_refused_part_is_final_and_forgotten(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.line.parts.extend([0, Refused("FILE_PARTS_INVALID")])
    assert await stage.send(with_files("a")) == (0, Refused("FILE_PARTS_INVALID"))
    await stage.send(with_files("a"))
    assert [number for _, number in stage.line.offered] == [0, 1, 0, 1, 2, 3]


# ---------------------------------------------------------------- parts that are forgotten


async def test_parts_that_telegram_forgets_are_sent_again_and_no_others(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.line.posts.extend([PartsForgotten({0: 2}), PartsForgotten({0: None}), SENT])
    assert await stage.send(with_files("a")) == (0, SENT)
    assert [number for _, number in stage.line.offered] == [0, 1, 2, 3, 2, 0, 1, 2, 3]
    assert {messages[0].random_id for _, messages in stage.line.posted} == {1}


async def test_parts_forgotten_three_times_put_it_back(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.line.posts.extend([PartsForgotten({0: None})] * 3)
    assert await stage.send(with_files("a", number=2)) == (
        0,
        Deferred(10, "Telegram has forgotten parts of its files again and again"),
    )
    assert len(stage.line.posted) == 3


# ---------------------------------------------------------------- doubt


async def test_no_answer_is_a_doubt_and_what_was_uploaded_is_kept(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.line.posts.append(None)
    assert await stage.send(with_files("a")) == (60, Unknown("no answer within 60 s"))
    await stage.send(replace(with_files("a", number=2), doubt=Doubt(60, top_id=5)))
    assert [number for _, number in stage.line.offered] == [0, 1, 2, 3]
    assert {messages[0].random_id for _, messages in stage.line.posted} == {1}


async def test_a_doubt_beyond_the_window_is_looked_for_as_an_album(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.files.put("b", b"another")
    then = datetime(2026, 11, 1, tzinfo=UTC)
    stage.line.media_look = Look((Copy(90, then, ((50, 91),)),), whole=True)
    one = replace(with_files("a", "b", number=2), doubt=Doubt(1801, top_id=5))
    assert await stage.send(one) == (0, Sent(90, then, ((50, 91),)))
    assert stage.line.media_looked == [(0, 2, 5)]
    assert (stage.line.offered, stage.line.posted) == ([], [])


async def test_what_is_refused_while_in_doubt_is_looked_for(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.line.posts.append(Refused("CHAT_WRITE_FORBIDDEN"))
    one = replace(with_files("a", number=2), doubt=Doubt(60, top_id=5))
    assert await stage.send(one) == (0, Refused("CHAT_WRITE_FORBIDDEN"))
    assert stage.line.media_looked == [(0, 1, 5)]


# ---------------------------------------------------------------- turns


async def test_a_third_upload_of_an_account_waits_a_second_at_a_time(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.line.part_takes_s = 10

    async def third() -> Outcome | Parked:
        return await stage.sender.send(stage.pulse, Flight(with_files("a", name="three"), 0), PEER, ())

    async with trio.open_nursery() as nursery:
        for name in ("one", "two"):
            one = with_files("a", name=name)
            parts = parts_of(one, format_text)
            assert not isinstance(parts, Refused)
            nursery.start_soon(stage.sender.send, stage.pulse, Flight(one, 0), PEER, parts)
        await trio.sleep(3)
        assert await third() == Parked(4)
        stage.has_room = False
        assert await third() == Deferred(1, "other files go first")
    assert trio.current_time() == 40
    assert (await stage.send(with_files("a", name="three")))[1] == SENT


# ---------------------------------------------------------------- what is shown


async def test_progress_is_shown_every_2_s_and_an_outage_stops_nothing(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.line.part_takes_s = 3
    stage.store.weather.will("record_progress", "ok", "away", "hang")
    assert await stage.send(with_files("a")) == (12, SENT)
    # Shown at 2; away at 4; no answer to the one at 6 until the file is through.
    assert stage.store.weather.times("record_progress") == [2, 4, 6]
    assert stage.store.progress == [(2, 0, len(LONG))]


async def test_an_outage_that_ends_is_shown_past(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    stage.line.part_takes_s = 4.75
    stage.store.weather.will("record_progress", "hang")
    assert await stage.send(with_files("a")) == (19, SENT)
    assert stage.store.progress == [
        (14, 2 * PART_BYTES, len(LONG)),
        (16, 3 * PART_BYTES, len(LONG)),
        (18, 3 * PART_BYTES, len(LONG)),
    ]


# ---------------------------------------------------------------- cut off


@pytest.mark.parametrize("state", ["preparing", "converting", "uploading", "finishing", "posting"])
async def test_cut_off_in_any_state_no_place_is_taken_and_no_copy_left(
    stage: Stage, state: str, autojump_clock: trio.testing.MockClock
) -> None:
    kind = "document"
    match state:
        case "preparing":
            stage.files.weather.will("download", "hang")
        case "converting":
            kind, stage.transcoder.takes_s = "voice", 50
        case "uploading":
            stage.line.parts.extend([0, None])
        case "finishing":
            stage.line.finishes.append(None)
        case _:
            stage.line.posts.append(None)
    one = with_files("a", kind=kind)
    with trio.move_on_after(30) as scope:
        await stage.send(one)
    assert scope.cancelled_caught
    assert list(stage.spool.iterdir()) == []
    assert stage.flight is not None
    assert isinstance(stage.flight.outcome, Unknown if state == "posting" else Released)
    assert not stage.flight.carries_files
    stage.transcoder.takes_s = 0
    for _ in range(3):  # as many as there would be places
        assert (await stage.send(one))[1] == SENT
    already = [number for at, number in stage.line.offered if at < 30]
    if state == "uploading":
        assert already == [0, 1]
        assert [number for _, number in stage.line.offered][2:5] == [1, 2, 3]


async def test_what_is_cancelled_by_the_application_is_not_sent(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    async def withdraw() -> None:
        await trio.sleep(3)
        assert stage.flight is not None
        assert stage.flight.carries_files
        stage.flight.withdrawn = True

    stage.line.part_takes_s = 2
    async with trio.open_nursery() as nursery:
        nursery.start_soon(withdraw)
        at, outcome = await stage.send(with_files("a"))
    assert at == 8
    assert isinstance(outcome, Released)
    assert stage.line.posted == []
