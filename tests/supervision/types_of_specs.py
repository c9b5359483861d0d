"""Read by type checkers only: specs, calls and uses that must be refused before anything runs.

The scheme is that of `types_of_start_functions`: an ignore comment that silences nothing is an error for both
checkers.
"""

import random
from typing import assert_never

import trio

from tgworker.supervision import (
    AutoShutdown,
    Backoff,
    Canary,
    ChildEnded,
    ChildSpec,
    Deadline,
    Ending,
    Event,
    Intensity,
    Pulse,
    Ready,
    Restart,
    RestartAfter,
    Silence,
    Snapshot,
    StopOrder,
    Strategy,
    Subtree,
    Supervisor,
    SupervisorSpec,
    SupervisorState,
    ThreadGauges,
    Verdict,
    open_nested,
    open_supervisor,
)
from tgworker.supervision.systemd import NotifySystemd, Systemd
from tgworker.supervision.testing import EventRecorder, Runs, ScriptedChild, stop_the_host

RNG = random.Random(1)
RUNS = ScriptedChild(Runs())

# ---------------------------------------------------------------- children

ChildSpec(1, RUNS)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
ChildSpec("x", RUNS, restart="permanent")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", RUNS, restart=Strategy.ONE_FOR_ONE)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", RUNS, backoff=0.5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", RUNS, backoff=None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", RUNS, silence=60)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", RUNS, ready=True)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", RUNS, stop_within_s=None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", RUNS, start_within_s="30")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
ChildSpec("x", RUNS, shutdown=5)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
ChildSpec("x", RUNS).id = "y"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
Silence(stall_after_s=None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
Backoff(cap_s=None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
later = Ready.LATER  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]

# ---------------------------------------------------------------- supervisors

CHILD = ChildSpec("x", RUNS, restart=Restart.TRANSIENT)

SupervisorSpec(children=[CHILD])  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
SupervisorSpec(children=(CHILD))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
SupervisorSpec(children=(RUNS,))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
SupervisorSpec(children=(SupervisorSpec(),))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
SupervisorSpec(strategy="one_for_all")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
SupervisorSpec(stop=Strategy.ONE_FOR_ALL)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
SupervisorSpec(strategy=StopOrder.REVERSE)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
SupervisorSpec(auto_shutdown=True)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
SupervisorSpec(intensity=3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
SupervisorSpec(intensity=(3, 60.0))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
SupervisorSpec(intensity=Intensity.unlimited)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
SupervisorSpec().strategy = Strategy.ONE_FOR_ALL  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
Intensity(restarts=3, period_s=None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
Subtree(CHILD)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
always = AutoShutdown.ALWAYS  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]

# ---------------------------------------------------------------- opening one


def sees_nothing() -> None:
    """Wrong for an observer: it is told nothing."""


def wants_more(event: Event, level: str) -> None:
    """Wrong for an observer: nobody gives it a level."""


def one_kind_only(event: ChildEnded) -> None:
    """Wrong for an observer: it will be told of others as well."""


def dump_without_task(path: str) -> str:
    return path


open_supervisor(SupervisorSpec())  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
open_supervisor(SupervisorSpec(), RNG)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
open_supervisor(CHILD, rng=RNG)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
open_supervisor(SupervisorSpec(), rng=random)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
open_supervisor(SupervisorSpec(), rng=7)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
open_supervisor(SupervisorSpec(), rng=RNG, observers=print)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
open_supervisor(SupervisorSpec(), rng=RNG, observers=[sees_nothing])  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
open_supervisor(SupervisorSpec(), rng=RNG, observers=[wants_more])  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
open_supervisor(SupervisorSpec(), rng=RNG, observers=[one_kind_only])  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
open_supervisor(SupervisorSpec(), rng=RNG, dump=dump_without_task)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
open_supervisor(SupervisorSpec(), rng=RNG, on_wedged=sees_nothing)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
open_supervisor(SupervisorSpec(), rng=RNG, gauges=ThreadGauges())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
Supervisor(SupervisorSpec())  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]

# ---------------------------------------------------------------- using one


async def misuses(supervisor: Supervisor, pulse: Pulse, recorder: EventRecorder) -> None:
    with open_supervisor(SupervisorSpec(), rng=RNG):  # type: ignore[attr-defined] # pyright: ignore[reportGeneralTypeIssues]
        pass
    with open_nested(SupervisorSpec(), pulse):  # type: ignore[attr-defined] # pyright: ignore[reportGeneralTypeIssues]
        pass
    async with pulse.deadline("x", 1):  # type: ignore[attr-defined] # pyright: ignore[reportGeneralTypeIssues]
        pass
    open_nested(SupervisorSpec(), supervisor)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    supervisor.start_child("x")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await supervisor.stop_child(CHILD)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await supervisor.start_child(CHILD)  # type: ignore[misc, func-returns-value] # pyright: ignore[reportGeneralTypeIssues]
    pulse.deadline("x")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    pulse.deadline(30, "x")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    pulse.cycle("x", 30)  # type: ignore[call-arg, arg-type] # pyright: ignore[reportCallIssue]
    pulse.beat("x")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    pulse.expect()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    with pulse.cycle(30) as turn:
        turn.extend()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
    recorder.of(ChildSpec)  # type: ignore[type-var] # pyright: ignore[reportArgumentType]
    await recorder.wait_for("ChildEnded")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await stop_the_host(trio.lowlevel.current_clock(), 1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ScriptedChild(OSError())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Canary(0.25, 1.0)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    NotifySystemd(Systemd(), critical="root.x")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def what_is_told_is_frozen(event: ChildEnded, ending: Ending, snapshot: Snapshot) -> None:
    event.at_s = 0.0  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    ending.cause = "another"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    snapshot.state = SupervisorState.RUNNING  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    snapshot.children.clear()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]


def not_every_event_is_an_ending(event: Event) -> Verdict:
    return event.ending.verdict  # type: ignore[attr-defined, no-any-return] # pyright: ignore[reportAttributeAccessIssue]


def a_verdict_was_forgotten(verdict: Verdict) -> str:
    match verdict:
        case Verdict.RETURNED | Verdict.RAISED | Verdict.DEADLINE | Verdict.SILENT | Verdict.START_TIMEOUT:
            return "by itself"
        case Verdict.STOPPED:
            return "on request"
        case _:
            assert_never(verdict)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def a_decision_has_no_delay_unless_it_is_a_restart(decision: RestartAfter | None) -> float:
    return decision.delay_s  # type: ignore[union-attr] # pyright: ignore[reportOptionalMemberAccess]


class Loud(EventRecorder):  # type: ignore[misc] # pyright: ignore[reportGeneralTypeIssues]
    """Values and parts of the library are final: compose them."""


class Slow(Deadline):  # type: ignore[misc] # pyright: ignore[reportGeneralTypeIssues]
    """As above."""


def strategies_have_no_order(one: Strategy, other: Strategy) -> bool:
    return one < other  # type: ignore[operator, no-any-return] # pyright: ignore[reportOperatorIssue]
