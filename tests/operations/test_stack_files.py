"""Stack files: which is the newest, what is kept, and what is read of them."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tgworker.operations import stack_files
from tgworker.operations.stack_files import StackFiles, StackKind, in_short

AT = datetime(2026, 11, 26, 18, 24, 32, 123456, tzinfo=UTC)

FROZEN = """Fatal Python error: Aborted

Thread 0x00007f0000000001 (most recent call first):
  File "threads.py", line 1 in beside

Current thread 0x00007f0000000000 (most recent call first):
  File "a.py", line 1 in innermost
  File "b.py", line 2 in middle
  File "c.py", line 3 in outermost

Extension modules: cryptg
"""


@pytest.fixture
def files(tmp_path: Path) -> StackFiles:
    return StackFiles(tmp_path / "stacks", keep=3)


def filled(files: StackFiles, kind: StackKind, minute: int, text: str = "stack", *, pid: int = 7) -> Path:
    """A file that was made and written at a minute."""
    at = AT + timedelta(minutes=minute)
    path = files.create(kind, at=at, pid=pid)
    path.write_text(text)
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def test_a_file_is_named_after_what_happened_when_and_to_whom(files: StackFiles) -> None:
    path = files.create(StackKind.FREEZE, at=AT, pid=4711)
    assert path.name == "freeze-20261126T182432.123456Z-4711.txt"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_there_is_none_without_a_folder(files: StackFiles) -> None:
    assert files.newest() is None
    assert files.listing() == []
    files.tidy()


def test_a_file_without_a_byte_is_none(files: StackFiles) -> None:
    files.create(StackKind.FREEZE, at=AT, pid=7)
    assert files.newest() is None


def test_the_newest_is_the_one_written_last_and_not_the_one_made_last(files: StackFiles) -> None:
    old = filled(files, StackKind.FREEZE, 0)
    filled(files, StackKind.FREEZE, 5)
    filled(files, StackKind.DUMP, 6)
    froze_at = (AT + timedelta(hours=1)).timestamp()
    os.utime(old, (froze_at, froze_at))
    newest = files.newest(StackKind.FREEZE)
    assert newest is not None
    assert (newest.path, newest.at, newest.pid, newest.size) == (old, AT + timedelta(hours=1), 7, 5)


def test_the_newest_of_any_kind(files: StackFiles) -> None:
    filled(files, StackKind.FREEZE, 0)
    dump = filled(files, StackKind.DUMP, 1)
    newest = files.newest()
    assert newest is not None
    assert (newest.path, newest.kind) == (dump, StackKind.DUMP)


def test_the_newest_of_each_kind_stay_and_nothing_else_is_touched(files: StackFiles) -> None:
    freezes = [filled(files, StackKind.FREEZE, minute) for minute in range(5)]
    dumps = [filled(files, StackKind.DUMP, minute) for minute in range(10, 12)]
    (files.folder / "notes.txt").write_text("mine")
    (files.folder / "freeze-x.txt").write_text("mine")
    files.tidy()
    assert sorted(path.name for path in files.folder.iterdir()) == sorted(
        ["notes.txt", "freeze-x.txt", *(path.name for path in [*freezes[-3:], *dumps])]
    )


def test_the_file_of_a_worker_that_has_not_frozen_stays_whatever_is_written_meanwhile(
    files: StackFiles,
) -> None:
    waiting = files.create(StackKind.FREEZE, at=AT, pid=8)
    for minute in range(10):
        filled(files, StackKind.FREEZE, minute)
        filled(files, StackKind.DUMP, minute)
    assert waiting.exists()


def test_empty_files_do_not_grow_for_ever_either(files: StackFiles) -> None:
    for second in range(10):
        files.create(StackKind.FREEZE, at=AT + timedelta(seconds=second), pid=second)
    assert len(list(files.folder.iterdir())) == 3


def test_a_dump_is_written_and_read_whole(files: StackFiles) -> None:
    path = files.write("what it did\n", at=AT, pid=7)
    newest = files.newest(StackKind.DUMP)
    assert newest is not None
    assert newest.path == path
    assert newest.read() == "what it did\n"


def test_what_is_written_and_read_is_bounded(files: StackFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_files, "LARGEST_BYTES", 10)
    path = files.write("x" * 25, at=AT, pid=7)
    assert path.read_text() == "x" * 10 + "\n… 15 bytes more\n"
    newest = files.newest()
    assert newest is not None
    assert newest.read(most_bytes=4) == f"xxxx\n… {newest.size - 4} bytes more"


def test_a_file_that_is_gone_meanwhile_reads_as_nothing(files: StackFiles) -> None:
    path = files.write("x", at=AT, pid=7)
    newest = files.newest()
    assert newest is not None
    path.unlink()
    assert newest.read() == ""


def test_bytes_that_are_no_text_are_shown_as_well_as_can_be(files: StackFiles) -> None:
    filled(files, StackKind.FREEZE, 0).write_bytes(b"in \xff\n")
    newest = files.newest()
    assert newest is not None
    assert newest.read() == "in �\n"


def test_a_freeze_in_short_is_where_the_frozen_thread_was() -> None:
    assert in_short(FROZEN, frames=2).splitlines() == [
        "Current thread 0x00007f0000000000 (most recent call first):",
        '  File "a.py", line 1 in innermost',
        '  File "b.py", line 2 in middle',
    ]
    assert in_short(FROZEN).splitlines()[-1] == '  File "c.py", line 3 in outermost'


def test_any_other_text_in_short_is_its_beginning() -> None:
    assert in_short("one\ntwo\nthree", frames=1) == "one\ntwo"
    assert in_short("") == ""
