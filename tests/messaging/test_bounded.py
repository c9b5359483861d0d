"""Calls to the store under their deadline, and pulses beside a child's own."""

import pytest
import trio
import trio.testing

from messaging.messaging_fakes import RecordingPulse
from tgworker.messaging.bounded import within
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.side_pulse import SidePulse


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
