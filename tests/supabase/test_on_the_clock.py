"""The worker on a scripted project and a mock clock: ten minutes of outage, and what an idle worker asks."""

import random
import re
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import pytest
import trio
import trio.testing

import tgworker.supabase
from supabase.scripted_functions import ScriptedFunctions
from supabase.scripted_supabase import ScriptedRest, ScriptedSupabase, Weather
from tgworker.app.parts import Parts
from tgworker.app.supabase import JOBS_EVERY_S, PACE
from tgworker.embedded import EmbeddedStore
from tgworker.messaging.events import AccountChanged, HeartbeatWritten, StoreBack
from tgworker.messaging.leases import RUN_OUT
from tgworker.messaging.models import AccountState, Secret
from tgworker.messaging.pace import PaceLimits
from tgworker.supabase import Holder, LongPoll, Rest, SupabaseHeartbeat, SupabaseLeases, SupabaseStore
from tgworker.supabase.leases import TTL_S
from worker.worker_world import World, open_world, wait_until

KEY = Secret("sb_secret_scripted")

OF_COMMANDS = {
    "tgworker_add_account",
    "tgworker_adopt_account",
    "tgworker_cancel",
    "tgworker_enqueue",
    "tgworker_find_account",
    "tgworker_finish_adoption",
    "tgworker_heartbeats",  # also by a worker before it runs
    "tgworker_held",
    "tgworker_histories",
    "tgworker_list_accounts",
    "tgworker_list_outbox",
    "tgworker_outcomes",
    "tgworker_release_account",
    "tgworker_remove_account",
    "tgworker_replace_session",
    "tgworker_request_history",
    "tgworker_retry",
    "tgworker_schema",  # also by a worker before it runs
    "tgworker_stored_session",
    "tgworker_switch_account",
    "tgworker_transcript",
}
"""No running worker calls these."""


@dataclass
class Clockwork:
    """A world whose worker knows its store only over HTTP."""

    world: World
    project: ScriptedSupabase

    async def give(self, text: str) -> None:
        """The application writes a row; its database is well, whatever the way to it is."""
        await self.world.give(text)
        self.project.ring()


@asynccontextmanager
async def open_clockwork(
    folder: Path, *, wakeup: bool = True, pace: PaceLimits = PACE
) -> AsyncGenerator[Clockwork]:
    projects: list[ScriptedSupabase] = []
    rests: list[Rest] = []

    def rewire(parts: Parts) -> Parts:
        assert isinstance(parts.store, EmbeddedStore)
        project = ScriptedSupabase(parts.store)
        projects.append(project)
        rest, waiting = (
            ScriptedRest(project, "http://scripted", KEY, max_connections=4, rng=random.Random(7))
            for _ in range(2)
        )
        rests.extend((rest, waiting))
        leases = SupabaseLeases(rest, Holder(UUID(int=1), 1, "test"), clock=trio.current_time)
        return replace(
            parts,
            store=(store := SupabaseStore(rest, leases)),
            sweeper=store,
            limits=replace(parts.limits, jobs_every_s=JOBS_EVERY_S),
            leases=leases,
            wakeup=LongPoll(waiting) if wakeup else None,
            pace=pace,
            heartbeats=(*parts.heartbeats, SupabaseHeartbeat(rest)),
        )

    async with open_world(folder, rewire=rewire) as world, trio.open_nursery() as nursery:
        nursery.start_soon(projects[0].wait_broken)
        with trio.fail_after(60):
            await wait_until(lambda: bool(world.worker.dispatch.online()))
        yield Clockwork(world, projects[0])
        nursery.cancel_scope.cancel()
    for rest in rests:
        await rest.close()


def test_the_script_has_every_function_that_a_running_worker_calls() -> None:
    folder = Path(tgworker.supabase.__file__).parent
    called = {
        name for file in folder.glob("*.py") for name in re.findall(r'"(tgworker_\w+)"', file.read_text())
    }
    assert called - OF_COMMANDS == ScriptedFunctions.names()


@pytest.mark.slow
@pytest.mark.parametrize("weather", ["unreachable", "unavailable", "hanging", "deaf"])
async def test_ten_minutes_without_a_database(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, weather: Weather
) -> None:
    """Traffic all the time: nothing is lost, nothing twice, order kept; its return is noticed in a second."""
    async with open_clockwork(tmp_path) as clockwork:
        world, project = clockwork.world, clockwork.project
        asked, back_at_s = 0, 0.0
        given: list[str] = []
        told: list[str] = []
        for second in range(0, 700, 5):
            if second == 40:
                project.weather = weather
                asked = sum(project.asked.values())
            if second == 640:
                asked = sum(project.asked.values()) - asked
                back_at_s = world.now_s
                project.weather = "fair"
            given.append(f"given at {second}")
            await clockwork.give(given[-1])
            told.append(f"told at {second}")
            world.sandbox.send_text(world.peer.id, world.me.id, told[-1])
            await trio.sleep(5)
        await trio.sleep(30)

        assert world.arrived() == given
        stored = await world.store.transcript(world.account, direction="inbound")
        assert [text for _, text in stored] == told
        assert await world.store.list_outbox() == []
        # Noticed within a second by each loop: a request that hangs ends at its deadline of 10 s, and the
        # next one is answered. (The wake-up says so at the end of its wait; logins are seen at leisure.)
        noticed = [
            at_s - back_at_s
            for at_s, back in world.seen(StoreBack)
            if at_s >= back_at_s and back.operation not in ("wakeup", "logins")
        ]
        assert len(noticed) >= 3
        assert max(noticed) < (1 if weather in ("unreachable", "unavailable") else 11)
        # One request at a time asked meanwhile.
        assert asked < 600 * 4
        # The account was disconnected before its lease had run out, and came back by itself.
        states = [(at_s, change) for at_s, change in world.seen(AccountChanged)]
        gone_s = next(at_s for at_s, change in states if change.reason == RUN_OUT)
        assert 40 < gone_s < 40 + TTL_S
        assert states[-1][1].state is AccountState.ONLINE
        assert back_at_s < states[-1][0] < back_at_s + 12
        # The heartbeat resumed by itself, on its old grid.
        beats = [at_s for at_s, beat in world.seen(HeartbeatWritten) if beat.writer == "supabase"]
        assert min(at_s for at_s in beats if at_s > back_at_s) < back_at_s + 15.1


def per_second(before: Counter[str], after: Counter[str], seconds: float) -> float:
    return (after - before).total() / seconds


@pytest.mark.slow
async def test_an_idle_worker_asks_half_a_time_a_second_with_the_wake_up(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_clockwork(tmp_path) as clockwork:
        await trio.sleep(60)
        before = Counter(clockwork.project.asked)
        await trio.sleep(600)
        assert per_second(before, clockwork.project.asked, 600) <= 0.5
        # And is awake at once all the same.
        began_s = clockwork.world.now_s
        await clockwork.give("hello")
        await wait_until(lambda: clockwork.world.arrived() == ["hello"], every_s=0.001)
        assert clockwork.world.now_s - began_s < 0.1


@pytest.mark.slow
async def test_an_idle_worker_asks_three_times_a_second_without_it_and_finds_a_row_in_half_a_second(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_clockwork(tmp_path, wakeup=False) as clockwork:
        await trio.sleep(60)
        before = Counter(clockwork.project.asked)
        await trio.sleep(600)
        assert per_second(before, clockwork.project.asked, 600) <= 3
        for number in range(20):
            await trio.sleep(17.03 * number % 7)
            began_s = clockwork.world.now_s
            await clockwork.give(f"hello {number}")
            await wait_until(lambda: len(clockwork.world.arrived()) > number, every_s=0.001)  # noqa: B023
            assert clockwork.world.now_s - began_s < 0.5


@pytest.mark.slow
async def test_a_wake_up_that_is_lost_changes_nothing_but_latency(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_clockwork(tmp_path) as clockwork:
        await trio.sleep(60)
        began_s = clockwork.world.now_s
        await clockwork.world.give("nobody rings")
        await wait_until(lambda: bool(clockwork.world.arrived()), every_s=0.01)
        assert clockwork.world.now_s - began_s <= PACE.watched_s
