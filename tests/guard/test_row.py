"""When the guard writes the heartbeat itself, at exact seconds."""

import math

from tgworker.guard._row import HeartbeatRow


def row() -> HeartbeatRow:
    return HeartbeatRow(every_s=15, now_s=0)


def test_the_guard_writes_a_second_after_the_worker_should_have() -> None:
    here = row()
    here.committed(10)
    assert here.next_s == 26
    assert not here.is_late(25.9)
    assert here.is_late(26)


def test_then_it_writes_as_often_as_the_worker_would() -> None:
    here = row()
    here.begun()
    assert here.next_s == math.inf, "one writer at a time"
    here.ended(16.1, written=True)
    assert here.next_s == 31.1
    assert here.is_late(16.1), "it is the worker's heartbeat that is late"


def test_a_heartbeat_that_could_not_be_written_is_tried_again_soon() -> None:
    here = row()
    here.begun()
    here.ended(26, written=False)
    assert here.next_s == 28


def test_news_is_written_at_once() -> None:
    here = row()
    here.changed(3)
    assert here.next_s == 3


def test_news_that_comes_while_older_news_is_written_is_written_after_it() -> None:
    here = row()
    here.begun()
    here.changed(3)
    here.changed(4)
    assert here.next_s == math.inf
    here.ended(5, written=True)
    assert here.next_s == 5
    here.begun()
    here.ended(6, written=True)
    assert here.next_s == 21


def test_the_worker_s_own_heartbeat_ends_the_guard_s() -> None:
    here = row()
    here.begun()
    here.ended(16, written=True)
    here.committed(20)
    assert here.next_s == 36
    assert not here.is_late(20)
