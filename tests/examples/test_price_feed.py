"""The example service lives through a scripted day of faults on the mock clock."""

import random
from dataclasses import dataclass, field, replace

import pytest
import trio

from price_feed import FETCH_WITHIN_S, PriceFeed
from tgworker.supervision import ChildEnded, OperationExpired, RestartScheduled, Verdict, open_supervisor
from tgworker.supervision.testing import EventRecorder, Saboteur

DAY_S = 24 * 3600.0


@dataclass
class Source:
    """A price that is the second of its asking; it can be made to hang."""

    hangs: bool = False

    async def fetch(self) -> float:
        if self.hangs:
            await trio.sleep_forever()
        await trio.sleep(0.1)
        return trio.current_time()


@dataclass
class World:
    """What was published, and when."""

    ages_s: list[float] = field(default_factory=list[float])
    times_s: list[float] = field(default_factory=list[float])

    def publish(self, price: float) -> None:
        now_s = trio.current_time()
        self.times_s.append(now_s)
        self.ages_s.append(now_s - price)


@pytest.mark.slow
async def test_it_survives_a_day_with_five_hangs_five_crashes_and_two_outages(
    autojump_clock: trio.testing.MockClock,
) -> None:
    source, world, recorder, saboteur = Source(), World(), EventRecorder(), Saboteur()
    spec = PriceFeed(source.fetch, world.publish).tree()
    spec = replace(spec, children=tuple(saboteur.wrap(child) for child in spec.children))
    rng = random.Random(2)
    hours = iter(sorted(rng.sample(range(1, 24), 12)))
    faults = ["hang"] * 5 + ["crash"] * 5 + ["outage"] * 2
    rng.shuffle(faults)

    async with open_supervisor(spec, rng=random.Random(3), observers=[recorder]) as supervisor:
        began_at_s = trio.current_time()
        await supervisor.wait_ready()
        for fault in faults:
            await trio.sleep_until(began_at_s + next(hours) * 3600)
            child = rng.choice(["feed.fetch", "feed.publish"])
            match fault:
                case "hang":
                    saboteur.hang(child)
                case "crash":
                    saboteur.crash(child, ConnectionError("scripted"))
                case _:
                    source.hangs = True
                    await trio.sleep(600)
                    source.hangs = False
        await trio.sleep_until(began_at_s + DAY_S)
        assert all(child.alive for child in supervisor.snapshot().children)

    verdicts = [event.ending.verdict for event in recorder.of(ChildEnded)]
    assert verdicts.count(Verdict.SILENT) == 5
    assert verdicts.count(Verdict.RAISED) == 5
    assert verdicts[10:] == [Verdict.STOPPED, Verdict.STOPPED], "and nothing else ended before the day did"
    assert len(recorder.of(RestartScheduled)) == 10
    expired = recorder.of(OperationExpired)
    assert {event.elapsed_s for event in expired} == {FETCH_WITHIN_S}
    assert 2 * 198 <= len(expired) <= 2 * 200, "an outage costs a deadline every 3 s, and no restart"

    gaps_s = [later - earlier for earlier, later in zip(world.times_s, world.times_s[1:], strict=False)]
    assert max(gaps_s) <= 20 + 0.5 + 1, "a hang of the publisher is over after its limit and one backoff"
    assert max(world.ages_s) <= 600 + FETCH_WITHIN_S + 5.2, "no price is older than the longest outage"
    assert len(world.times_s) > 0.998 * DAY_S


async def test_it_is_ready_when_the_first_price_is_there(autojump_clock: trio.testing.MockClock) -> None:
    source, world = Source(hangs=True), World()
    feed = PriceFeed(source.fetch, world.publish)
    async with open_supervisor(feed.tree(), rng=random.Random(1)) as supervisor:
        await trio.sleep(10)
        assert supervisor.snapshot().child("feed.fetch").state.value == "starting"
        source.hangs = False
        await supervisor.wait_ready()
        assert feed.price is not None
