"""The thin loops over tables of jobs, and calls to the store under their deadline."""

from functools import partial

import pytest
import trio
import trio.testing

from messaging.messaging_fakes import RecordingPulse, Reports, Weather, growing
from tgworker.messaging.bounded import within
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import JobsWaiting, StoreBack, StoreUnavailable
from tgworker.messaging.limits import Limits
from tgworker.messaging.pending import run_pending
from tgworker.messaging.side_pulse import SidePulse


async def test_the_number_of_waiting_jobs_is_reported_when_it_changes_and_outages_are_outlasted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    weather, pulse, report, waiting = Weather(), RecordingPulse(), Reports(), 0
    weather.will("count", "ok", "ok", "ok", "hang", "away", "ok")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pulse.watch)
        await nursery.start(
            partial(
                run_pending,
                pulse,
                table="message_jobs",
                count=lambda: weather.face("count", lambda: waiting),
                limits=Limits(),
                delays=growing,
                report=report,
            )
        )
        await trio.sleep(1)
        waiting = 3
        await trio.sleep(99)
        nursery.cancel_scope.cancel()
    # 15 is cut at 25; 26 away; 28, and every 5 s again
    assert weather.times("count")[:8] == [0, 5, 10, 15, 26, 28, 33, 38]
    assert report.at == [
        (5, JobsWaiting("message_jobs", 3)),
        (25, StoreUnavailable("message_jobs", "no answer within 10 s", 1)),
        (26, StoreUnavailable("message_jobs", "it is away", 2)),
        (28, StoreBack("message_jobs", 3)),
    ]


async def test_a_call_that_is_not_answered_in_time_is_an_outage(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pulse = RecordingPulse()
    with pytest.raises(StoreAway, match="no answer within 10 s"):
        await within(pulse, "database.claim", 10, trio.sleep_forever)
    assert trio.current_time() == 10
    assert [(one.name, one.expired) for one in pulse.operations] == [("database.claim", True)]


async def test_a_cancellation_from_outside_is_no_outage(autojump_clock: trio.testing.MockClock) -> None:
    with trio.move_on_after(3) as scope:
        await within(RecordingPulse(), "database.claim", 10, trio.sleep_forever)
    assert scope.cancelled_caught


async def test_a_side_pulse_passes_deadlines_on_and_keeps_its_beats_to_itself(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pulse = RecordingPulse()
    pulse.expect(60)
    side = SidePulse(pulse)
    side.beat()
    side.expect(1)
    assert pulse.silent_since() == 60
    with side.cycle(120), side.deadline("database.ingest", 100) as deadline:
        await trio.sleep(50)
        assert pulse.silent_since() == 100
    assert not deadline.expired
    assert pulse.silent_since() == 60
    assert pulse.cycles == [120]
