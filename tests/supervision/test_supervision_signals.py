"""A tree is stopped by Ctrl-C, by SIGTERM, by a scope around it: in order, and within its budget."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
import trio.testing

from supervision.supervision_helpers import child
from tgworker.supervision import (
    ChildCancelled,
    ChildEnded,
    ChildSpec,
    ChildWedged,
    Intensity,
    Pulse,
    StopOrder,
    Subtree,
    SupervisorSpec,
    SupervisorStopped,
    SupervisorStopping,
    Verdict,
    Wedged,
    open_supervisor,
)
from tgworker.supervision.testing import EventRecorder, Lingers, RefusesToDie, ScriptedChild

# ---------------------------------------------------------------- on the mock clock, to the exact second


def lingering(name: str, seconds: float) -> ChildSpec:
    return child(ScriptedChild(Lingers(seconds)), name)


@dataclass
class Case:
    """One tree, and what became of it."""

    recorder: EventRecorder = field(default_factory=EventRecorder)
    wedged: list[tuple[float, str]] = field(default_factory=list)
    release: trio.Event = field(default_factory=trio.Event)
    deaf: bool = False

    async def serve(self, in_a_child: Callable[[], object] | None = None) -> None:
        """Run until stopped. After 10 s ``in_a_child`` is called, deep in the tree."""

        async def leaf(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
            task_status.started()
            await trio.sleep(10)
            if in_a_child is not None:
                in_a_child()
            await trio.sleep_forever()

        together = SupervisorSpec(children=(lingering("x", 3), lingering("y", 4)), stop=StopOrder.TOGETHER)
        below = SupervisorSpec(children=(child(leaf, "leaf"), lingering("slow", 2)))
        children = (
            lingering("first", 1),
            child(Subtree(below), "below"),
            child(Subtree(together), "together"),
            *((child(ScriptedChild(RefusesToDie(self.release)), "deaf"),) if self.deaf else ()),
            lingering("last", 1),
        )
        spec = SupervisorSpec(children=children, intensity=Intensity.unlimited())
        async with open_supervisor(
            spec, rng=random.Random(1), observers=(self.recorder,), on_wedged=self._on_wedged
        ):
            await trio.sleep_forever()

    def _on_wedged(self, failure: Wedged) -> None:
        self.wedged.append((trio.current_time(), failure.path))
        self.release.set()  # in place of the end of the process

    def ended(self) -> list[tuple[str, float]]:
        return [
            (event.path, event.at_s)
            for event in self.recorder.of(ChildEnded)
            if event.ending.verdict is Verdict.STOPPED
        ]


async def a_scope_of_trio(case: Case) -> None:
    with trio.move_on_after(10):
        await case.serve()


async def a_scope_of_anyio(case: Case) -> None:
    with anyio.move_on_after(10):
        await case.serve()


async def a_nursery_whose_other_task_fails(case: Case) -> None:
    async def fail() -> None:
        await trio.sleep(10)
        raise OSError("elsewhere")

    with pytest.RaisesGroup(OSError):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            await case.serve()


async def sigterm(case: Case) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            serving = trio.CancelScope()

            async def watch() -> None:
                async for _ in signals:
                    serving.cancel(reason="SIGTERM")

            async def strike() -> None:
                await trio.sleep(10)
                signal.raise_signal(signal.SIGTERM)
                await trio.sleep(1)
                signal.raise_signal(signal.SIGTERM)  # an impatient administrator

            nursery.start_soon(watch)
            nursery.start_soon(strike)
            with serving:
                await case.serve()
            nursery.cancel_scope.cancel()


async def ctrl_c_in_a_child(case: Case) -> None:
    with pytest.raises(KeyboardInterrupt):
        await case.serve(lambda: signal.raise_signal(signal.SIGINT))


async def sys_exit_in_a_child(case: Case) -> None:
    with pytest.raises(SystemExit) as caught:
        await case.serve(lambda: sys.exit(3))
    assert caught.value.code == 3


@pytest.mark.parametrize(
    "way", [a_scope_of_trio, a_scope_of_anyio, a_nursery_whose_other_task_fails, sigterm]
)
def test_however_a_tree_is_stopped_the_order_and_the_times_are_the_same(
    way: Callable[[Case], Awaitable[None]],
) -> None:
    case = Case()
    trio.run(way, case, clock=trio.testing.MockClock(autojump_threshold=0))
    assert case.ended() == [
        ("root.last", 11),
        ("root.together.x", 14),
        ("root.together.y", 15),
        ("root.together", 15),
        ("root.below.slow", 17),
        ("root.below.leaf", 17),
        ("root.below", 17),
        ("root.first", 18),
    ]
    cancelled = [event.path for event in case.recorder.of(ChildCancelled)]
    together = cancelled.index("root.together.y")
    assert cancelled[together : together + 2] == ["root.together.y", "root.together.x"]
    assert [(event.path, event.orphans) for event in case.recorder.of(SupervisorStopped)] == [
        ("root.together", ()),
        ("root.below", ()),
        ("root", ()),
    ]
    assert case.wedged == []


@pytest.mark.parametrize("way", [ctrl_c_in_a_child, sys_exit_in_a_child])
def test_an_exit_that_strikes_deep_in_a_tree_stops_it_from_there_outwards(
    way: Callable[[Case], Awaitable[None]],
) -> None:
    case = Case()
    trio.run(way, case, clock=trio.testing.MockClock(autojump_threshold=0))
    assert [(event.path, event.at_s) for event in case.recorder.of(ChildEnded)] == [
        ("root.below.leaf", 10),
        ("root.below.slow", 12),
        ("root.below", 12),
        ("root.last", 13),
        ("root.together.x", 16),
        ("root.together.y", 17),
        ("root.together", 17),
        ("root.first", 18),
    ]
    assert [event.path for event in case.recorder.of(SupervisorStopped)] == [
        "root.below",
        "root.together",
        "root",
    ]
    assert {event.orphans for event in case.recorder.of(SupervisorStopped)} == {()}


@pytest.mark.parametrize("way", [a_scope_of_trio, a_scope_of_anyio, sigterm])
def test_however_a_tree_is_stopped_what_does_not_stop_is_named_and_holds_up_nobody_else(
    way: Callable[[Case], Awaitable[None]],
) -> None:
    case = Case(deaf=True)

    # (It ended after all, when the process was to end: else nothing would be raised.)
    with pytest.RaisesGroup(
        pytest.RaisesExc(Wedged, match=r"root\.deaf is wedged"), allow_unwrapped=True, flatten_subgroups=True
    ):
        trio.run(way, case, clock=trio.testing.MockClock(autojump_threshold=0))
    [wedged] = case.recorder.of(ChildWedged)
    assert (wedged.path, wedged.at_s) == ("root.deaf", 16)
    stopped = case.recorder.of(SupervisorStopped)[-1]
    assert (stopped.path, stopped.at_s, stopped.orphans) == ("root", 23, ("root.deaf",))
    assert case.wedged == [(23, "root.deaf")]
    assert case.ended()[-1] == ("root.first", 23)


def test_a_second_ctrl_c_neither_hurries_nor_disturbs_the_stop() -> None:
    case = Case()

    async def main() -> None:
        async def strike_again() -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(13)
                signal.raise_signal(signal.SIGINT)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(strike_again)
            await case.serve(lambda: signal.raise_signal(signal.SIGINT))

    # Trio raises the second one where it happens, in a nursery beside the first one.
    with pytest.RaisesGroup(KeyboardInterrupt, KeyboardInterrupt, flatten_subgroups=True):
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert case.ended()[-1] == ("root.first", 18)
    assert case.recorder.of(SupervisorStopped)[-1].orphans == ()


def test_a_scope_around_a_nested_supervisor_stops_that_one_in_order_and_only_that() -> None:
    recorder = EventRecorder()

    async def main() -> None:
        async def guarded(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
            task_status.started()
            with trio.move_on_after(10):
                async with open_supervisor(
                    SupervisorSpec("tree", children=(lingering("a", 1), lingering("b", 2))),
                    rng=random.Random(1),
                    observers=(recorder,),
                ):
                    await trio.sleep_forever()
            await trio.sleep_forever()

        outer = SupervisorSpec(children=(lingering("sibling", 0), child(guarded, "guarded")))
        async with open_supervisor(outer, rng=random.Random(1), observers=(recorder,)):
            await trio.sleep(100)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert [(event.path, event.at_s) for event in recorder.of(ChildEnded)] == [
        ("tree.b", 12),
        ("tree.a", 13),
        ("root.guarded", 100),
        ("root.sibling", 100),
    ]
    assert [(event.path, event.cause) for event in recorder.of(SupervisorStopping)] == [
        ("tree", "it was cancelled from outside"),
        ("root", "its block has ended"),
    ]


# ---------------------------------------------------------------- real signals to a real process


class Program:
    """A running `signals_program`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    def read_until(self, what: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))
            if self.lines[-1]["what"] == what:
                return
        raise AssertionError(f"it ended without {what}: {self.lines}")

    def signal(self, number: signal.Signals) -> float:
        self.process.send_signal(number)
        return time.monotonic()

    def finish(self) -> int:
        assert self.process.stdout is not None
        self.lines += [json.loads(line) for line in self.process.stdout]
        return self.process.wait(timeout=20)

    def of(self, what: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["what"] == what]

    def paths(self) -> list[str]:
        return [line["path"] for line in self.of("ended")]


@contextmanager
def program(way: str, linger: str) -> Generator[Program]:
    path = Path(__file__).with_name("signals_program.py")
    with subprocess.Popen(
        [sys.executable, str(path), way, linger], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            running = Program(process)
            running.read_until("ready")
            yield running
        finally:
            process.kill()


IN_ORDER = ["root.last", "root.branch.inner", "root.branch", "root.first"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "number", "code", "last"),
    [
        ("ctrl-c", signal.SIGINT, 130, "raised"),
        ("sigterm", signal.SIGTERM, 0, "returned"),
        ("sigterm", signal.SIGINT, 0, "returned"),
    ],
)
def test_a_real_signal_stops_a_program_in_order_and_within_its_budget(
    way: str, number: signal.Signals, code: int, last: str
) -> None:
    with program(way, "0.2") as running:
        sent_at_s = running.signal(number)
        assert running.finish() == code
    assert running.paths() == IN_ORDER
    assert {line["verdict"] for line in running.of("ended")} == {"stopped"}
    assert [(line["path"], line["orphans"]) for line in running.of("stopped")] == [
        ("root.branch", []),
        ("root", []),
    ]
    assert running.lines[-1]["what"] == last
    took_s = running.of("stopped")[-1]["at_s"] - sent_at_s
    assert took_s >= 3 * 0.2 - 0.05, "each had its time, one after the other"
    assert took_s < 5.0


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ctrl-c", "sigterm"])
def test_an_impatient_administrator_gets_the_same_order(way: str) -> None:
    with program(way, "0.3") as running:
        running.signal(signal.SIGINT)
        running.read_until("ended")
        running.signal(signal.SIGINT)
        running.read_until("ended")
        running.signal(signal.SIGINT)
        code = running.finish()
    assert running.paths() == IN_ORDER
    assert running.of("stopped")[-1]["orphans"] == []
    if way == "ctrl-c":
        assert code == 130
        assert running.of("raised")[0]["interrupts"]
        assert running.of("raised")[0]["rest"] == "None"
    else:
        assert code == 0


@pytest.mark.slow
@pytest.mark.parametrize(("way", "number"), [("ctrl-c", signal.SIGINT), ("sigterm", signal.SIGTERM)])
def test_what_does_not_stop_is_named_and_the_process_ends_all_the_same(
    way: str, number: signal.Signals
) -> None:
    with program(way, "deaf") as running:
        sent_at_s = running.signal(number)
        assert running.finish() == 75
    stopped = {line["path"]: line["orphans"] for line in running.of("stopped")}
    assert stopped == {"root.branch": ["root.branch.inner"], "root": ["root.branch"]}
    assert running.paths() == ["root.last", "root.first"], "the others were stopped in order"
    [wedged] = running.of("wedged")
    assert wedged["path"] == "root.branch.inner"
    took_s = wedged["at_s"] - sent_at_s
    assert took_s >= 0.1 + 0.5 + 0.1 - 0.05
    assert took_s < 5.0
