"""Everything that breaks, as a table: a name, and what happens."""

import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from random import Random

import trio

from soak.processes import Processes
from soak.site import Site
from tgworker.devstack import Fault as GatewayFault
from tgworker.devstack import Stack
from tgworker.sandbox import Fault

SEND = "messages.sendMessage"
DIFFERENCE = "updates.getDifference"
FORGOTTEN = "the update log is forgotten"
LONG_S = 300.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What a breakage works on.

    Attributes:
        site: Where it happens.
        processes: The worker's.
        rng: Of everything random.
        one_server: Whose turn it is among the store's servers: PostgREST does not come back without
            PostgreSQL.
    """

    site: Site
    processes: Processes
    rng: Random
    one_server: trio.Lock = field(default_factory=trio.Lock)

    def user(self) -> int:
        """One of the accounts' users."""
        return self.rng.choice(self.site.users).id


Breakage = Callable[[Scene], Awaitable[None]]


def _soon_over(fault: Fault, *, most: int = 3) -> Breakage:
    """A fault of the pretended Telegram that happens to an account once, or ``most`` times at most."""

    async def happen(scene: Scene) -> None:
        number = scene.site.sandbox.faults.set(
            replace(fault, user=scene.user(), count=scene.rng.randint(1, most))
        )
        await trio.sleep(scene.rng.uniform(1, 4))
        scene.site.sandbox.faults.clear(number)

    return happen


def _for_a_while(longest_s: float, fault: Fault) -> Breakage:
    """A fault of the pretended Telegram that happens to an account until it is over."""

    async def happen(scene: Scene) -> None:
        user = None if fault.method == "connect" else scene.user()
        number = scene.site.sandbox.faults.set(replace(fault, user=user))
        await trio.sleep(scene.rng.uniform(0.5, longest_s))
        scene.site.sandbox.faults.clear(number)

    return happen


async def _cut_one_line(scene: Scene) -> None:
    scene.site.sandbox.drop_connections(scene.user())


async def _cut_all_lines(scene: Scene) -> None:
    scene.site.sandbox.drop_connections()


async def _turn_salt(scene: Scene) -> None:
    scene.site.sandbox.turn_salt()


async def _other_manners(scene: Scene) -> None:
    scene.site.sandbox.behave(
        repeats=scene.rng.choice(("original", "error")),
        answers=scene.rng.choice(("short", "full")),
        pushes=scene.rng.choice(("short", "full")),
        difference_limit=scene.rng.choice((3, 20, 1000)),
    )


async def _forget_sessions(scene: Scene) -> None:
    scene.site.sandbox.forget_sessions(scene.user())


async def _forget_log(scene: Scene) -> None:
    """Whoever is away for a moment must read what was missed from the histories."""
    scene.site.sandbox.behave(difference_remembers=1)
    scene.site.sandbox.drop_connections(scene.user())
    await trio.sleep(scene.rng.uniform(1, 5))
    scene.site.sandbox.behave(difference_remembers=200_000)


async def _stall_worker(scene: Scene) -> None:
    if scene.processes.signal_worker(signal.SIGSTOP):
        await trio.sleep(scene.rng.uniform(0.2, 3))
        scene.processes.signal_worker(signal.SIGCONT)


async def _freeze_worker(scene: Scene) -> None:
    scene.processes.signal_worker(signal.SIGSTOP)  # the guard must end this


BREAKAGES: dict[str, Breakage] = {
    "send vanishes": _soon_over(Fault("blackhole", method=SEND)),
    "send cuts the line": _soon_over(Fault("drop", method=SEND)),
    "send's answer is lost": _soon_over(Fault("accept_mute", method=SEND)),
    "send's answer is lost with the line": _soon_over(Fault("accept_drop", method=SEND)),
    "send half-closes the line": _soon_over(Fault("half_close", method=SEND)),
    "send is slow": _soon_over(Fault("delay", method=SEND, seconds=2)),
    "send meets a 500": _soon_over(Fault("rpc_error", method=SEND, code=500, message="INTERNAL")),
    "send floods": _soon_over(Fault("flood_wait", method=SEND, seconds=1)),
    "difference floods": _soon_over(Fault("flood_wait", method=DIFFERENCE, seconds=1)),
    "difference meets a 500": _soon_over(Fault("rpc_error", method=DIFFERENCE, code=500, message="INTERNAL")),
    "difference cuts the line": _soon_over(Fault("drop", method=DIFFERENCE)),
    "black hole": _for_a_while(8, Fault("blackhole", method="raw")),
    "nobody connects": _for_a_while(3, Fault("drop", method="connect")),
    "pings vanish": _for_a_while(6, Fault("blackhole", method="ping")),
    # Twice in a row would be believed, and a person would have to log in.
    "the key is unknown, once": _soon_over(Fault("transport_error", method="raw", code=404), most=1),
    "a session is new to the server": _forget_sessions,
    "a line is cut": _cut_one_line,
    "all lines are cut": _cut_all_lines,
    "new salt": _turn_salt,
    "other manners": _other_manners,
    "worker stalls": _stall_worker,
    "worker freezes": _freeze_worker,
}
"""What befalls Telegram, the lines to it, and the process."""


LONG_BREAKAGES: dict[str, Breakage] = {
    "a line is deaf": _for_a_while(20, Fault("deaf", method="push", heals="difference")),
    "no connections from here": _soon_over(Fault("transport_error", method="raw", code=429), most=1),
    FORGOTTEN: _forget_log,
}
"""What takes minutes to get over: only in soaks that have them."""


def _gateway(fault: GatewayFault) -> Breakage:
    async def happen(scene: Scene) -> None:
        stack = _stack(scene)
        number = stack.faults.set(replace(fault, count=scene.rng.randint(1, 4)))
        await trio.sleep(scene.rng.uniform(1, 3))
        stack.faults.clear(number)

    return happen


def _killed(part: str) -> Breakage:
    async def happen(scene: Scene) -> None:
        server = _stack(scene).parts[part]
        async with scene.one_server:
            await server.kill()
            await trio.sleep(scene.rng.uniform(0, 2))
            await server.restart()

    return happen


def _frozen(part: str) -> Breakage:
    async def happen(scene: Scene) -> None:
        server = _stack(scene).parts[part]
        async with scene.one_server:
            server.freeze()
            await trio.sleep(scene.rng.uniform(0.2, 3))
            server.thaw()

    return happen


def _stack(scene: Scene) -> Stack:
    assert scene.site.stack is not None
    return scene.site.stack


STORE_BREAKAGES: dict[str, Breakage] = {
    "PostgREST is killed": _killed("postgrest"),
    "PostgREST freezes": _frozen("postgrest"),
    "PostgreSQL is killed": _killed("postgresql"),
    "PostgreSQL freezes": _frozen("postgresql"),
    "the gateway is killed": _killed("gateway"),
    "answers of the store are lost": _gateway(GatewayFault("lose_answer")),
    "answers of the store are cut": _gateway(GatewayFault("cut_answer")),
    "requests to the store are cut": _gateway(GatewayFault("cut")),
    "the store says 503": _gateway(GatewayFault("error", status=503)),
    "the store is slow": _gateway(GatewayFault("delay", seconds=1)),
}
"""What befalls the store's servers, where it has any."""


async def keep_breaking(scene: Scene, happened: Counter[str], stop: trio.Event) -> None:
    """Let one thing after the other break, several at a time, until it is to stop; then all of it ends.

    Each thing has its turn before any comes again, in an order of chance: a short soak has them all, too.
    """
    menu = dict(BREAKAGES)
    if scene.site.plan.seconds >= LONG_S:
        menu |= LONG_BREAKAGES
    if scene.site.stack is not None:
        menu |= STORE_BREAKAGES
    busy: set[str] = set()

    async def happen(name: str) -> None:
        try:
            await menu[name](scene)
        finally:
            busy.discard(name)

    async with trio.open_nursery() as nursery:
        while not stop.is_set():
            for name in scene.rng.sample(sorted(menu), len(menu)):
                with trio.move_on_after(scene.rng.expovariate(1 / scene.site.plan.break_every_s)):
                    await stop.wait()
                if stop.is_set():
                    break
                if name not in busy:
                    busy.add(name)
                    happened[name] += 1
                    nursery.start_soon(happen, name)
    scene.site.sandbox.faults.clear()
    if scene.site.stack is not None:
        scene.site.stack.faults.clear()
