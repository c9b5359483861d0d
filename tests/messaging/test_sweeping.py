"""The sweep: when, and that an outage is waited for."""

from functools import partial

import trio
import trio.testing

from messaging.messaging_fakes import RecordingPulse, Reports, growing
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import MessagesUnsure, StoreBack, StoreUnavailable
from tgworker.messaging.limits import Limits, Retention
from tgworker.messaging.sweeping import run_sweep


class FakeSweeper:
    """Fills `store_ports.Sweeper`: answers what it is told to."""

    def __init__(self, *answers: bool | None) -> None:
        self.at: list[float] = []
        self.asked: set[Retention] = set()
        self._answers = list(answers)
        self.unsure = [0, 0, 2, 2, 1]

    async def sweep(self, retention: Retention) -> bool:
        self.asked.add(retention)
        self.at.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        answer = self._answers.pop(0) if self._answers else False
        if answer is None:
            raise StoreAway("no route")
        return answer

    async def count_unsure(self) -> int:
        await trio.lowlevel.checkpoint()
        return self.unsure.pop(0) if len(self.unsure) > 1 else self.unsure[0]


async def test_it_sweeps_each_minute_goes_on_while_there_is_more_and_outlasts_an_outage(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, report, pulse = (
        FakeSweeper(False, True, True, False, None, None, False),
        Reports(),
        RecordingPulse(),
    )
    limits = Limits(retention=Retention(days=2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pulse.watch)
        await nursery.start(
            partial(run_sweep, pulse, store=store, limits=limits, delays=growing, report=report)
        )
        await trio.sleep(200)
        nursery.cancel_scope.cancel(reason="the test is over")
    assert store.asked == {Retention(days=2, failed_days=180)}
    assert store.at == [0, 60, 61, 62, 122, 123, 125, 185]
    assert len(report.of(StoreUnavailable)) == 2
    assert len(report.of(StoreBack)) == 1
    assert report.of(MessagesUnsure) == [MessagesUnsure(2), MessagesUnsure(1)]
