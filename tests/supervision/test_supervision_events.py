"""Observers: told everything, unable to harm anyone."""

import inspect
import random
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace

import pytest
import trio

import tgworker.supervision
from supervision.supervision_helpers import child, supervised
from tgworker.supervision import (
    EVENTS,
    Backoff,
    ChildCancelled,
    ChildEnded,
    ChildFinished,
    ChildQuiet,
    ChildReady,
    ChildSpec,
    ChildStarting,
    ChildState,
    ChildWedged,
    Event,
    Intensity,
    Observer,
    ObserverFailed,
    RestartScheduled,
    Silence,
    Supervisor,
    SupervisorSpec,
    SupervisorStopped,
    SupervisorStopping,
    Verdict,
    open_supervisor,
)
from tgworker.supervision.testing import EventRecorder, Hangs, Lingers, Raises, Runs, ScriptedChild


def test_the_catalogue_names_every_event_class_once() -> None:
    exported = [
        value
        for value in vars(tgworker.supervision).values()
        if inspect.isclass(value) and issubclass(value, Event) and value is not Event
    ]
    assert sorted(EVENTS, key=lambda kind: kind.__name__) == sorted(exported, key=lambda kind: kind.__name__)
    for kind in EVENTS:
        assert kind.__doc__
        assert is_dataclass(kind)
        assert {"path", "at_s"} <= {field.name for field in fields(kind)}


def test_events_are_frozen() -> None:
    event = ChildStarting(path="root.x", at_s=0, incarnation=1)
    with pytest.raises(FrozenInstanceError):
        event.incarnation = 2  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue] # the point


async def test_the_story_of_a_crash_is_told_in_order(autojump_clock: trio.testing.MockClock) -> None:
    async with supervised(child(ScriptedChild(Raises(OSError()), Runs()))) as watched:
        await watched.recorder.wait_for(ChildReady, count=2)
    assert [type(event) for event in watched.recorder.events] == [
        ChildStarting,
        ChildReady,
        ChildEnded,
        RestartScheduled,
        ChildStarting,
        ChildReady,
        SupervisorStopping,
        ChildCancelled,
        ChildEnded,
        ChildFinished,
        SupervisorStopped,
    ]


async def under(*observers: Observer, dump_fails: bool = False) -> EventRecorder:
    """What a recorder, the last observer, hears of a child that hangs once."""

    def broken_dump(path: str, task: trio.lowlevel.Task) -> str:
        raise ZeroDivisionError("dump")

    recorder = EventRecorder()
    spec = SupervisorSpec(
        children=(replace(child(ScriptedChild(Hangs(), Runs())), silence=Silence(60, evidence_after_s=30)),)
    )
    async with open_supervisor(
        spec,
        rng=random.Random(1),
        observers=(*observers, recorder),
        dump=broken_dump if dump_fails else lambda path, task: "evidence",
    ):
        await recorder.wait_for(ChildReady, count=2)
    return recorder


async def test_an_observer_that_raises_harms_nobody_and_is_reported_to_the_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    heard: list[Event] = []

    def broken(event: Event) -> None:
        heard.append(event)
        raise ValueError("observer")

    undisturbed = await under()
    recorder = await under(broken)
    failures = recorder.of(ObserverFailed)
    assert [type(event) for event in recorder.events if not isinstance(event, ObserverFailed)] == [
        type(event) for event in undisturbed.events
    ]
    assert len(failures) == len(undisturbed.events) == len(heard)
    assert not [event for event in heard if isinstance(event, ObserverFailed)]
    assert all("broken" in failure.observer for failure in failures)
    assert all(isinstance(failure.error, ValueError) for failure in failures)
    assert [failure.path for failure in failures] == [event.path for event in undisturbed.events]


async def test_an_observer_that_blocks_for_longer_than_any_limit_harms_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recorder = EventRecorder()

    def slow(event: Event) -> None:
        autojump_clock.jump(100)

    spec = SupervisorSpec(
        children=(
            ChildSpec("beats", ScriptedChild(Runs()), silence=Silence(60)),
            ChildSpec("crashes", ScriptedChild(Raises(OSError(), after_s=10)), backoff=Backoff(0.5)),
            ChildSpec("hangs", ScriptedChild(Hangs(), Runs()), silence=Silence(60)),
            ChildSpec("takes-its-time", ScriptedChild(Lingers(4)), stop_within_s=5),
        ),
        intensity=Intensity.unlimited(),
    )
    async with open_supervisor(spec, rng=random.Random(1), observers=(slow, recorder)):
        await recorder.wait_for(ChildReady, "root.crashes", count=5)
        await recorder.wait_for(ChildReady, "root.hangs", count=2)
    endings = [(event.path, event.ending.verdict) for event in recorder.of(ChildEnded)]
    assert endings.count(("root.hangs", Verdict.SILENT)) == 1
    assert {path for path, verdict in endings if verdict is Verdict.RAISED} == {"root.crashes"}
    assert {path for path, verdict in endings if verdict is Verdict.STOPPED} >= {
        "root.beats",
        "root.hangs",
        "root.takes-its-time",
    }
    assert not recorder.of(ChildWedged)
    assert not recorder.of(ObserverFailed)


async def test_two_observers_that_raise_at_everything_do_not_keep_each_other_busy(
    autojump_clock: trio.testing.MockClock,
) -> None:
    counts = {"one": 0, "two": 0}

    def one(event: Event) -> None:
        counts["one"] += 1
        raise ValueError

    def two(event: Event) -> None:
        counts["two"] += 1
        raise ValueError

    recorder = await under(one, two)
    told = len(recorder.events) - len(recorder.of(ObserverFailed))
    assert counts == {"one": 2 * told, "two": 2 * told}


async def test_a_dump_that_raises_is_reported_and_stops_no_cure(
    autojump_clock: trio.testing.MockClock,
) -> None:
    recorder = await under(dump_fails=True)
    assert len(recorder.of(ObserverFailed)) == 2  # at the soft and at the hard limit
    assert all("broken_dump" in failure.observer for failure in recorder.of(ObserverFailed))
    assert recorder.of(ChildQuiet)[0].evidence == "no evidence: the dump raised ZeroDivisionError"
    assert recorder.of(ChildEnded)[0].ending.evidence == "no evidence: the dump raised ZeroDivisionError"


async def test_an_observer_may_start_children(autojump_clock: trio.testing.MockClock) -> None:
    recorder = EventRecorder()
    supervisors: list[Supervisor] = []

    def start_another(event: Event) -> None:
        if isinstance(event, ChildEnded) and "second" not in supervisors[0]:
            supervisors[0].start_child(child(ScriptedChild(Runs()), "second"))

    first = child(ScriptedChild(Raises(OSError(), after_s=1), Runs()), "first")
    spec = SupervisorSpec(children=(first,))
    async with open_supervisor(spec, rng=random.Random(1), observers=(start_another, recorder)) as supervisor:
        supervisors.append(supervisor)
        await recorder.wait_for(ChildReady, "root.second")
        await recorder.wait_for(ChildReady, "root.first", count=2)


async def test_a_snapshot_taken_by_an_observer_is_consistent(autojump_clock: trio.testing.MockClock) -> None:
    seen: list[tuple[str, ChildState, bool]] = []
    supervisors: list[Supervisor] = []

    def look(event: Event) -> None:
        if event.path == "root.child":
            child_now = supervisors[0].snapshot().child("root.child")
            seen.append((type(event).__name__, child_now.state, child_now.alive))

    spec = SupervisorSpec(children=(child(ScriptedChild(Raises(OSError()), Runs())),))
    recorder = EventRecorder()
    async with open_supervisor(spec, rng=random.Random(1), observers=(look, recorder)) as supervisor:
        supervisors.append(supervisor)
        await recorder.wait_for(ChildReady, count=2)
    assert seen == [
        ("ChildStarting", ChildState.STARTING, True),
        ("ChildReady", ChildState.READY, True),
        ("ChildEnded", ChildState.BACKING_OFF, False),
        ("RestartScheduled", ChildState.BACKING_OFF, False),
        ("ChildStarting", ChildState.STARTING, True),
        ("ChildReady", ChildState.READY, True),
        ("ChildCancelled", ChildState.STOPPING, True),
        ("ChildEnded", ChildState.STOPPED, False),
        ("ChildFinished", ChildState.STOPPED, False),
    ]


async def test_without_a_dump_no_evidence_is_collected(autojump_clock: trio.testing.MockClock) -> None:
    recorder = EventRecorder()
    spec = SupervisorSpec(children=(replace(child(ScriptedChild(Hangs())), silence=Silence(60)),))
    async with open_supervisor(spec, rng=random.Random(1), observers=(recorder,), dump=None):
        ended = await recorder.wait_for(ChildEnded)
    assert ended.ending.evidence is None


async def test_the_default_dump_shows_where_each_task_of_the_child_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def waits_for_godot() -> None:
        await trio.sleep_forever()

    async def hang(pulse: object, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits_for_godot)
            await trio.sleep_forever()

    async with supervised(replace(child(hang), silence=Silence(60))) as watched:
        ended = await watched.recorder.wait_for(ChildEnded)
    evidence = ended.ending.evidence
    assert evidence is not None
    lines = evidence.splitlines()
    assert lines[:2] == ["child root.child", "task root.child"]
    assert any(line.startswith("  task ") and line.endswith("waits_for_godot") for line in lines)
    assert any("in waits_for_godot" in line for line in lines)
    assert any(line.strip() == "await trio.sleep_forever()" for line in lines)
