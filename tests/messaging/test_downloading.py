"""A file on its way down: what is on the disk at which second, and what ends it."""

from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from messaging.media_fakes import MediaLine, Piece, no_threads
from messaging.messaging_fakes import RecordingPulse
from tgworker.messaging.downloading import Ending, download, download_to
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.incoming_files import FetchLater, NotFetched
from tgworker.messaging.limits import Limits
from tgworker.messaging.media import FileFacts, FileKind
from tgworker.messaging.media_ports import ReferenceExpired, RemoteFile
from tgworker.messaging.outcomes import Deferred, Refused

__all__ = ["no_threads"]

pytestmark = pytest.mark.usefixtures("no_threads")

CONTENT = Random(2).randbytes(3000)
FILE = RemoteFile(FileFacts(FileKind.DOCUMENT, len(CONTENT)), "handle")
SILENCE = FetchLater(30, "nothing came for 60 s")


async def bring(line: MediaLine, path: Path) -> tuple[float, Ending]:
    ending = await download_to(RecordingPulse(), FILE, trio.Path(path), line, Limits())
    assert line.open_now == 0
    return trio.current_time(), ending


async def test_it_goes_on_where_it_stopped(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    line, path = MediaLine(), tmp_path / "a.part"
    line.content = CONTENT
    path.write_bytes(CONTENT[:1000])
    assert await bring(line, path) == (0, None)
    assert line.begun == [(0, 1000)]
    assert path.read_bytes() == CONTENT


async def test_a_whole_file_is_not_asked_for(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    line, path = MediaLine(), tmp_path / "a.part"
    path.write_bytes(CONTENT)
    assert await bring(line, path) == (0, None)
    assert line.begun == []


async def test_one_that_is_too_long_begins_anew(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    line, path = MediaLine(), tmp_path / "a.part"
    line.content = CONTENT
    path.write_bytes(bytes(len(CONTENT) + 1))
    assert await bring(line, path) == (0, None)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("then", "at", "ending"),
    [
        ([None], 60, SILENCE),
        ([60.5], 60, SILENCE),
        ([Deferred(301, "FLOOD_WAIT")], 0, FetchLater(301, "FLOOD_WAIT", counts=False)),
        ([Refused("FILE_ID_INVALID")], 0, NotFetched("FILE_ID_INVALID")),
        ([ReferenceExpired()], 0, ReferenceExpired()),
        ([], 0, FetchLater(30, "Telegram sent 1000 of 3000 bytes")),
    ],
)
async def test_what_ends_it_leaves_what_came(
    then: list[Piece], at: float, ending: Ending, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    line, path = MediaLine(), tmp_path / "a.part"
    line.pieces.append([CONTENT[:1000], *then])
    assert await bring(line, path) == (at, ending)
    assert path.read_bytes() == CONTENT[:1000]


async def test_a_piece_each_59_s_never_ends_it_and_300_s_are_waited_for(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    line, path = MediaLine(), tmp_path / "a.part"
    pieces: list[Piece] = []
    for at in range(0, len(CONTENT), 10):
        pieces += [59.0, CONTENT[at : at + 10]]
    line.pieces.append([Deferred(300, "FLOOD_WAIT"), *pieces])
    assert await bring(line, path) == (300 + 300 * 59, None)
    assert path.read_bytes() == CONTENT


async def test_a_lost_line_and_a_cut_leave_what_came(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    line, path = MediaLine(), tmp_path / "a.part"
    line.pieces.extend([[CONTENT[:1000], TelegramAway("it broke")], [CONTENT[1000:2000], None]])
    with pytest.raises(TelegramAway):
        await bring(line, path)
    with trio.move_on_after(10):
        await bring(line, path)
    assert line.open_now == 0
    assert line.begun == [(0, 0), (0, 1000)]
    assert path.read_bytes() == CONTENT[:2000]


@pytest.mark.parametrize(
    ("most", "said"), [(3000, CONTENT), (2999, NotFetched("it is longer than 2999 bytes"))]
)
async def test_a_photo_of_a_person_is_bounded(
    most: int, said: object, autojump_clock: trio.testing.MockClock
) -> None:
    line = MediaLine()
    line.pieces.append([CONTENT[:1500], 59.0, CONTENT[1500:]])
    assert await download(RecordingPulse(), FILE, most, line, Limits()) == said
    assert (trio.current_time(), line.open_now) == (59, 0)
