"""Fixtures for tests of supervised services, and the story of what happened when such a test fails.

pytest finds them by itself where tgworker is installed (``-p no:tgworker.supervision.pytest_plugin`` if that
is not wanted). They need no other plugin: with pytest-trio, tests are async and take its ``autojump_clock``;
without, `on_mock_clock` runs them. This is the one module of the library that imports pytest.
"""

import random
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import fields
from typing import Any, TypeVar, final

import pytest
import trio

from tgworker.supervision import (
    ChildSpec,
    Dump,
    Event,
    Intensity,
    Observer,
    Supervisor,
    SupervisorSpec,
    Wedged,
    open_supervisor,
    task_stacks,
)
from tgworker.supervision.testing import EventRecorder, Saboteur

T = TypeVar("T")

_STORY_LENGTH = 200  # events: the last of them
_VALUE_LENGTH = 120  # characters


@final
class OnMockClock:
    """Runs an async function on a mock clock that jumps; the fixture `on_mock_clock`."""

    def __call__(self, run: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Run ``run(*args)`` in a trio loop of its own, whose time jumps whenever all tasks are waiting.

        Args:
            run: An async function.
            args: For it.

        Returns:
            What it returns. Hours of waiting take no time; the clock starts at 0.
        """
        from trio.testing import MockClock  # only when it is needed: pytest starts with this module

        return trio.run(run, *args, clock=MockClock(autojump_threshold=0))


@final
class SupervisedTree:
    """Opens a supervised tree on the mock clock; the fixture `supervised_tree`.

    Attributes:
        events: What is told by every tree that it opens.
    """

    def __init__(self, events: EventRecorder) -> None:
        self.events = events

    def __call__(
        self,
        *children: ChildSpec,
        spec: SupervisorSpec | None = None,
        rng: random.Random | None = None,
        observers: Iterable[Observer] = (),
        dump: Dump | None = task_stacks,
        on_wedged: Callable[[Wedged], object] | None = None,
    ) -> AbstractAsyncContextManager[Supervisor]:
        """Open a root supervisor for the length of a block.

        Args:
            children: Its static children, if no ``spec`` is given. It then restarts them without limit.
            spec: The whole supervisor.
            rng: Gives the jitter of restarts; as it comes, always the same.
            observers: Told of every event, after the recorder.
            dump: As for `open_supervisor`.
            on_wedged: As for `open_supervisor`.

        Returns:
            An async context manager for the `Supervisor`.

        Raises:
            RuntimeError: Time is real here: the test would take as long as what it tests, and vary.
            TypeError: Both children and a spec.
        """
        from trio.testing import MockClock

        if not isinstance(trio.lowlevel.current_clock(), MockClock):
            raise RuntimeError(
                "supervised_tree needs a mock clock: with pytest-trio let the test use the fixture"
                " autojump_clock (or mock_clock), without it run the test by the fixture on_mock_clock"
            )
        if spec is None:
            spec = SupervisorSpec(children=children, intensity=Intensity.unlimited())
        elif children:
            raise TypeError("give the children, or a spec that contains them, not both")
        return open_supervisor(
            spec,
            rng=rng or random.Random(0),
            observers=(self.events, *observers),
            dump=dump,
            on_wedged=on_wedged,
        )


@pytest.fixture
def supervision_events() -> EventRecorder:
    """An observer that keeps every event, and can be waited on. If the test fails, they are in the report."""
    return EventRecorder()


@pytest.fixture
def saboteur() -> Saboteur:
    """Makes running children hang or crash on command: give the supervisor ``saboteur.wrap(spec)``."""
    return Saboteur()


@pytest.fixture
def supervised_tree(supervision_events: EventRecorder) -> SupervisedTree:
    """Opens a supervised tree for the length of an ``async with`` block; see `SupervisedTree`."""
    return SupervisedTree(supervision_events)


@pytest.fixture
def on_mock_clock() -> OnMockClock:
    """Runs an async function on a mock clock, in a test that is not async itself."""
    return OnMockClock()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the story of the supervised tree to the report of a test that failed."""
    report = yield
    events = getattr(item, "funcargs", {}).get("supervision_events")
    if call.when == "call" and report.failed and isinstance(events, EventRecorder) and events.events:
        report.sections.append(("supervision events", story(events.events)))
    return report


def story(events: list[Event]) -> str:
    """What happened, one line for each event: when, where, what, and its values in short."""
    left_out = len(events) - _STORY_LENGTH
    lines = [f"({left_out} earlier events)"] if left_out > 0 else []
    for event in events[-_STORY_LENGTH:]:
        values = [
            f"{field.name}={_short(getattr(event, field.name))}"
            for field in fields(event)
            if field.name not in ("path", "at_s")
        ]
        lines.append(f"{event.at_s:12.3f}  {event.path}  {type(event).__name__}  {' '.join(values)}".rstrip())
    return "\n".join(lines)


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 1] + "…"
