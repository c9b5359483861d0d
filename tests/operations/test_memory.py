"""The soft memory limit."""

import sys

import pytest
import trio
import trio.testing

from tgworker.operations.memory import resident_mb, watch_memory
from tgworker.supervision.testing import lone_pulse


async def test_each_look_above_the_limit_is_told_and_the_limit_is_read_anew(
    autojump_clock: trio.testing.MockClock,
) -> None:
    told: list[tuple[float, float, int]] = []
    limits: dict[int, int | None] = {0: 1, 5: 100, 10: 99, 15: None, 20: 50}

    with trio.move_on_after(21):
        await watch_memory(
            lone_pulse(),
            limit_mb=lambda: limits[int(trio.current_time())],
            over=lambda used, limit: told.append((trio.current_time(), used, limit)),
            used_mb=lambda: 99.5,
        )
    assert told == [(10, 99.5, 99), (20, 99.5, 50)]


async def test_where_nobody_knows_what_is_used_nothing_happens(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with trio.move_on_after(21):
        await watch_memory(
            lone_pulse(), limit_mb=lambda: 1, over=lambda *_: pytest.fail("told"), used_mb=lambda: None
        )


@pytest.mark.skipif(sys.platform != "linux", reason="proc(5)")
def test_what_is_used_is_what_is_in_memory() -> None:
    before = resident_mb()
    ballast = bytearray(b"x" * 64 * 1024 * 1024)
    after = resident_mb()
    assert before is not None
    assert after is not None
    assert 50 < after - before < 200
    del ballast
