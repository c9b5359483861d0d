"""A soak from its beginning to its verdict."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import trio

from soak.breaking import FORGOTTEN, Scene, keep_breaking
from soak.plan import Plan
from soak.processes import Processes
from soak.site import Application, Site, open_site
from soak.traffic import Traffic
from soak.verdict import Ledgers, compare

TELL_EVERY_S = 10.0
LOOK_EVERY_S = 1.0
ONLINE_WITHIN_S = 60.0


@dataclass
class Found:
    """What happened.

    Attributes:
        ledgers: The comparison of both sides.
        unsent: Messages that are not sent at the end, by state.
        kills: Kills -9, by process.
        faults: What else broke, by name.
        starts: How often the guard was started, as systemd would do it.
        oldest_heartbeat_s: The age of the heartbeat's row when it was oldest, as far as the store said.
        seconds: From the first message to the verdict.
    """

    ledgers: Ledgers = field(default_factory=Ledgers)
    unsent: Counter[str] = field(default_factory=Counter[str])
    kills: Counter[str] = field(default_factory=Counter[str])
    faults: Counter[str] = field(default_factory=Counter[str])
    starts: int = 0
    oldest_heartbeat_s: float = 0.0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether both ledgers are equal, and nobody had to do anything."""
        return self.ledgers.equal and not self.unsent

    def as_object(self) -> dict[str, object]:
        """What ``--json`` prints."""
        sides = (self.ledgers.outbound, self.ledgers.inbound, self.ledgers.echo)
        return {
            "ok": self.ok,
            "sent": self.ledgers.outbound.arrived,
            "received": self.ledgers.inbound.arrived,
            "lost": sum(side.lost for side in sides),
            "duplicated": sum(side.duplicated for side in sides),
            "out_of_order": sum(side.out_of_order for side in sides),
            "unexpected": sum(side.unexpected for side in sides),
            "unsent": dict(self.unsent),
            "kills": self.kills.total(),
            "faults": self.faults.total(),
            "kills_by_process": dict(self.kills),
            "faults_by_name": dict(sorted(self.faults.items())),
            "starts": self.starts,
            "oldest_heartbeat_s": round(self.oldest_heartbeat_s, 2),
            "seconds": round(self.seconds, 1),
        }


async def soak(plan: Plan, folder: Path, *, say: Callable[[str], object]) -> Found:
    """Run it.

    Args:
        plan: What is to happen.
        folder: Where the worker runs; its log is ``worker.log`` there.
        say: Hears of the progress.
    """
    found = Found()
    async with open_site(plan, folder) as site:
        processes, traffic = Processes(site), Traffic(site)
        found.kills = processes.kills
        began_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(processes.run)
            nursery.start_soon(_watch_heartbeat, site.application, found)
            nursery.start_soon(_tell, traffic, found, began_s, say)
            with trio.fail_after(ONLINE_WITHIN_S):
                await site.application.wait_online()
            await _storm(Scene(site, processes, Random(plan.seed)), traffic, found)
            say("nothing breaks any more; waiting until both sides agree")
            await _settle(site, traffic, found)
            found.seconds = trio.current_time() - began_s
            found.starts = processes.starts
            nursery.cancel_scope.cancel(reason="the soak is over")
    return found


async def _storm(scene: Scene, traffic: Traffic, found: Found) -> None:
    """Messages and faults, for as long as planned; what was begun is finished."""
    seed, stop = scene.site.plan.seed, trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(traffic.write, Random(seed + 1), stop)
        nursery.start_soon(traffic.answer, Random(seed + 2), stop)
        nursery.start_soon(scene.processes.keep_killing, Random(seed + 3), stop)
        nursery.start_soon(keep_breaking, scene, found.faults, stop)
        await trio.sleep(scene.site.plan.seconds)
        stop.set()


async def _settle(site: Site, traffic: Traffic, found: Found) -> None:
    """Wait until both ledgers are equal and nothing is open, or the patience ends; note how it is then."""
    late = bool(found.faults[FORGOTTEN])
    with trio.move_on_after(site.plan.settle_within_s):
        while True:
            found.ledgers = await compare(site, traffic, late=late)
            if found.ledgers.equal and not await site.application.unsent():
                return
            await trio.sleep(LOOK_EVERY_S)
    found.ledgers = await compare(site, traffic, late=late)
    found.unsent.update(row.state.value for row in await site.application.unsent())


async def _watch_heartbeat(application: Application, found: Found) -> None:
    while True:
        row = await application.heartbeat()
        if row is not None:
            found.oldest_heartbeat_s = max(found.oldest_heartbeat_s, row.age_s)
        await trio.sleep(LOOK_EVERY_S)


async def _tell(traffic: Traffic, found: Found, began_s: float, say: Callable[[str], object]) -> None:
    while True:
        await trio.sleep(TELL_EVERY_S)
        out, come_in = traffic.given
        say(
            f"{trio.current_time() - began_s:4.0f} s: {out} given to send, {come_in} written by partners, "
            f"{found.kills.total()} kills, {found.faults.total()} other faults"
        )
