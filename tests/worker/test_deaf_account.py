"""A whole worker with an account that stays deaf: each remedy in turn, the last the end of the process."""

import io
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import trio
import trio.testing

from tgworker.app.parts import Parts
from tgworker.app.renewals import Renewals, Renewer
from tgworker.messaging.events import AccountDeaf
from tgworker.messaging.limits import Limits
from tgworker.operations.logs import make_logger
from tgworker.operations.stopping import StopSwitch
from tgworker.sandbox import Fault
from worker.worker_world import World, open_world

QUIET = Limits(outbound_every_s=10)


@dataclass
class Ending:
    """What would end the process, and what it says."""

    folder: Path
    switch: StopSwitch = field(default_factory=StopSwitch)
    stream: io.StringIO = field(default_factory=io.StringIO)

    @property
    def renewals(self) -> Renewals:
        return Renewals(self.folder / "renewals.json", now=trio.current_time)

    def rewire(self, parts: Parts) -> Parts:
        log = make_logger(self.stream, json=True, level="info", now=lambda: datetime(2026, 11, 1, tzinfo=UTC))
        return replace(parts, renew=Renewer(self.renewals, self.switch, log))


async def said_every_minute(world: World, until_s: float) -> int:
    said = 0
    while world.now_s < until_s:
        world.sandbox.send_text(world.peer.id, world.me.id, f"{said:03d}")
        said += 1
        await trio.sleep(60)
    return said


async def held(world: World) -> list[str]:
    return [text for _, text in await world.store.transcript(world.account, direction="inbound")]


async def test_the_last_remedy_is_the_end_of_the_process_in_order(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    ending = Ending(tmp_path)
    async with open_world(tmp_path, limits=QUIET, rewire=ending.rewire) as world:
        world.sandbox.faults.set(Fault("deaf", method="push", user=world.me.id))
        await world.until(1)
        await said_every_minute(world, 1500)
        remedies = [event.remedy.value for _, event in world.seen(AccountDeaf)]
        assert remedies == ["difference", "reconnect", "new_client", "new_process"]
        assert not ending.renewals.spend(world.account)  # the next process takes none
    assert ending.switch.requested is not None
    assert (ending.switch.requested.reason, ending.switch.requested.exit_code) == (
        "an account stays deaf",
        75,
    )
    assert ending.stream.getvalue().count("worker exits, because an account stays deaf") == 1


async def test_where_the_process_was_ended_already_what_was_missed_is_asked_for_and_no_more(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    ending = Ending(tmp_path)
    async with open_world(tmp_path, limits=QUIET, rewire=ending.rewire) as world:
        assert ending.renewals.spend(world.account)  # by the process before this one
        world.sandbox.faults.set(Fault("deaf", method="push", user=world.me.id))
        await world.until(1)
        said = await said_every_minute(world, 3600)
        remedies = [event.remedy.value for _, event in world.seen(AccountDeaf)]
        assert remedies[:3] == ["difference", "reconnect", "new_client"]
        assert set(remedies[3:]) == {"difference"}
        assert ending.switch.requested is None
        await trio.sleep(400)
        assert await held(world) == [f"{number:03d}" for number in range(said)]  # minutes late, and all of it
