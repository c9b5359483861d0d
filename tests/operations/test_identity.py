"""Whether the data folder is still the one that the worker found."""

from pathlib import Path

import pytest
import trio
import trio.testing

from tgworker.operations.identity import watch_identity
from tgworker.supervision.testing import lone_pulse


async def _seen(path: Path, change: object, autojump_clock: trio.testing.MockClock) -> list[float]:
    seen: list[float] = []

    async def later() -> None:
        await trio.sleep(7)
        assert callable(change)
        change()

    with trio.move_on_after(16):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(later)
            await watch_identity(lone_pulse(), path, gone=lambda: seen.append(trio.current_time()))
    return seen


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    lock = tmp_path / "data" / "lock"
    lock.parent.mkdir()
    lock.touch()
    return lock


async def test_a_file_that_is_written_to_is_the_same(
    lock: Path, autojump_clock: trio.testing.MockClock
) -> None:
    assert await _seen(lock, lambda: lock.write_text("1"), autojump_clock) == []


async def test_a_file_that_is_removed_is_noticed(lock: Path, autojump_clock: trio.testing.MockClock) -> None:
    assert await _seen(lock, lock.unlink, autojump_clock) == [10, 15]


async def test_so_is_another_of_its_name(lock: Path, autojump_clock: trio.testing.MockClock) -> None:
    other = lock.with_name("other")
    other.touch()
    assert await _seen(lock, lambda: other.replace(lock), autojump_clock) == [10, 15]
