"""A file on its way up: which part leaves at which second, and what ends it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import pytest
import trio
import trio.testing

from messaging.media_fakes import Happening, MediaLine
from messaging.messaging_fakes import RecordingPulse
from tgworker.messaging.errors import StoreAway, TelegramAway
from tgworker.messaging.limits import Limits
from tgworker.messaging.media import PART_BYTES, PartialUpload
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.messaging.uploading import Stuck, upload

CONTENT = Random(1).randbytes(3 * PART_BYTES + 5)


@dataclass
class Source:
    """Fills `uploading.Source`: pieces of an odd length, after pauses.

    Attributes:
        pauses: Before the next pieces; infinity: nothing comes any more.
    """

    content: bytes = CONTENT
    pauses: list[float] = field(default_factory=list[float])
    read_from: list[int] = field(default_factory=list[int])

    @property
    def size(self) -> int:
        return len(self.content)

    @asynccontextmanager
    async def read(self, begin: int) -> AsyncGenerator[AsyncIterator[bytes]]:
        self.read_from.append(begin)
        pieces = self._pieces(begin)
        try:
            yield pieces
        finally:
            await pieces.aclose()

    async def _pieces(self, begin: int) -> AsyncGenerator[bytes]:
        for at in range(begin, len(self.content), 99_999):
            await trio.sleep(self.pauses.pop(0) if self.pauses else 0)
            yield self.content[at : at + 99_999]


class Film:
    """A source of one part, again and again."""

    size = 3814 * PART_BYTES  # 2.0 GB

    @asynccontextmanager
    async def read(self, begin: int) -> AsyncGenerator[AsyncIterator[bytes]]:
        pieces = self._pieces()
        try:
            yield pieces
        finally:
            await pieces.aclose()

    async def _pieces(self) -> AsyncGenerator[bytes]:
        part = bytes(PART_BYTES)
        for _ in range(3814):
            await trio.lowlevel.checkpoint()
            yield part


def begun(source: Source, *acknowledged: int) -> PartialUpload:
    return PartialUpload(7, source.size, "a.bin", set(acknowledged))


async def go_on(
    line: MediaLine, file: PartialUpload, source: Source
) -> tuple[float, Deferred | Refused | Stuck | None]:
    said = await upload(RecordingPulse(), file, source, line, Limits())
    return trio.current_time(), said


async def test_pieces_of_any_length_become_parts(autojump_clock: trio.testing.MockClock) -> None:
    line, source = MediaLine(), Source()
    file = begun(source)
    assert await go_on(line, file, source) == (0, None)
    assert b"".join(line.kept[7][number] for number in range(4)) == CONTENT
    assert file.bytes_done == len(CONTENT)


async def test_only_what_is_missing_is_read_and_sent(autojump_clock: trio.testing.MockClock) -> None:
    line, source = MediaLine(), Source()
    assert await go_on(line, begun(source, 0, 2), source) == (0, None)
    assert source.read_from == [PART_BYTES]
    assert [number for _, number in line.offered] == [1, 3]


async def test_of_a_whole_file_nothing_is_read(autojump_clock: trio.testing.MockClock) -> None:
    line, source = MediaLine(), Source()
    assert await go_on(line, begun(source, 0, 1, 2, 3), source) == (0, None)
    assert (source.read_from, line.offered, line.finished_at) == ([], [], [0])


async def test_60_s_without_a_part_are_the_end(autojump_clock: trio.testing.MockClock) -> None:
    line, source = MediaLine(), Source()
    line.parts.extend([10.0, None])
    file = begun(source)
    assert await go_on(line, file, source) == (70, Stuck("nothing of it moved for 60 s"))
    assert file.acknowledged == {0}


async def test_a_film_of_2_gb_with_a_part_each_59_s_arrives(autojump_clock: trio.testing.MockClock) -> None:
    line = MediaLine()
    line.part_takes_s, line.keeps = 59, False
    file = PartialUpload(7, Film.size, "film.mp4")
    assert await upload(RecordingPulse(), file, Film(), line, Limits()) is None
    assert trio.current_time() == 3814 * 59
    assert file.bytes_done == Film.size


async def test_a_flood_wait_of_300_s_is_waited_for_and_the_same_part_goes_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    line, source = MediaLine(), Source()
    line.parts.extend([0, Deferred(300, "FLOOD_WAIT"), Deferred(2, "FLOOD_WAIT")])
    assert await go_on(line, begun(source), source) == (302, None)
    assert line.offered == [(0, 0), (0, 1), (300, 1), (302, 1), (302, 2), (302, 3)]


async def test_after_a_longer_one_it_goes_on_where_it_was(autojump_clock: trio.testing.MockClock) -> None:
    line, source = MediaLine(), Source()
    wait = Deferred(301, "FLOOD_WAIT")
    line.parts.extend([0, wait])
    file = begun(source)
    assert await go_on(line, file, source) == (0, wait)
    assert await go_on(line, file, source) == (0, None)
    assert [number for _, number in line.offered] == [0, 1, 1, 2, 3]


@pytest.mark.parametrize("where", ["parts", "finishes"])
async def test_a_refusal_is_the_end(where: str, autojump_clock: trio.testing.MockClock) -> None:
    line, source = MediaLine(), Source()
    script: list[Happening] = [Refused("FILE_PARTS_INVALID")]
    (line.parts if where == "parts" else line.finishes).extend(script)
    assert await go_on(line, begun(source), source) == (0, Refused("FILE_PARTS_INVALID"))


async def test_a_lost_line_leaves_what_was_acknowledged(autojump_clock: trio.testing.MockClock) -> None:
    line, source = MediaLine(), Source()
    line.parts.extend([0, 0, TelegramAway("it broke")])
    file = begun(source)
    with pytest.raises(TelegramAway):
        await go_on(line, file, source)
    assert file.acknowledged == {0, 1}


async def test_waits_at_the_end_are_waited_for_and_silence_there_ends_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    line, source = MediaLine(), Source()
    line.finishes.extend([Deferred(5, "FLOOD_WAIT"), None])
    assert await go_on(line, begun(source), source) == (65, Stuck("nothing of it moved for 60 s"))
    assert line.finished_at == [0, 5]


async def test_what_moves_at_the_end_puts_the_deadline_off(autojump_clock: trio.testing.MockClock) -> None:
    line, source = MediaLine(), Source()
    line.lag_s = 59
    file = begun(source, 0, 1)
    assert await go_on(line, file, source) == (118, None)
    assert line.finished_at == [0, 60]
    assert file.bytes_done == len(CONTENT)


async def test_silence_is_counted_from_what_moved_last(autojump_clock: trio.testing.MockClock) -> None:
    line, source = MediaLine(), Source()
    line.lag_s, line.never = 45, 1
    file = begun(source, 0, 1)
    assert await go_on(line, file, source) == (105, Stuck("nothing of it moved for 60 s"))
    assert line.finished_at == [0, 60]


async def test_a_store_that_does_not_go_on_is_away(autojump_clock: trio.testing.MockClock) -> None:
    line, source = MediaLine(), Source(pauses=[59, 59, 61])
    with pytest.raises(StoreAway, match="no answer within 60 s"):
        await go_on(line, begun(source), source)
    assert trio.current_time() == 59 + 59 + 60


async def test_a_part_cut_off_is_sent_again(autojump_clock: trio.testing.MockClock) -> None:
    line, source = MediaLine(), Source()
    line.parts.extend([0, None])
    file = begun(source)
    with trio.move_on_after(10):
        await go_on(line, file, source)
    assert file.acknowledged == {0}
    assert await go_on(line, file, source) == (10, None)
    assert [number for _, number in line.offered] == [0, 1, 1, 2, 3]
