"""The fixtures: in this very process, and in projects that have only some of the plugins we have."""

import importlib.metadata
import os
import random
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from tgworker.supervision import (
    Backoff,
    ChildCancelled,
    ChildEnded,
    ChildFinished,
    ChildReady,
    ChildSpec,
    ChildStarting,
    Event,
    Silence,
    SupervisorSpec,
    Verdict,
)
from tgworker.supervision.pytest_plugin import OnMockClock, SupervisedTree, story
from tgworker.supervision.testing import EventRecorder, Raises, Runs, Saboteur, ScriptedChild

pytest_plugins = [
    "pytester",
    "tgworker.supervision.pytest_plugin",
]  # the second is known by that name already

PLUGIN = "tgworker.supervision.pytest_plugin"


ALONE = """
import trio
import pytest
from tgworker.supervision import ChildReady, ChildSpec
from tgworker.supervision.testing import Raises, Runs, ScriptedChild

async def crash_and_recover(supervised_tree, events):
    spec = ChildSpec("x", start=ScriptedChild(Raises(OSError("broken")), Runs(3_600)))
    async with supervised_tree(spec) as supervisor:
        await events.wait_for(ChildReady, count=2)
        await trio.sleep(86_400)

def test_passes(on_mock_clock, supervised_tree, supervision_events):
    on_mock_clock(crash_and_recover, supervised_tree, supervision_events)

def test_fails(on_mock_clock, supervised_tree, supervision_events):
    on_mock_clock(crash_and_recover, supervised_tree, supervision_events)
    assert False, "on purpose"

def test_fails_without_any_event(supervision_events):
    assert False, "on purpose"

def test_fails_without_the_fixture():
    assert False, "on purpose"
"""


# ---------------------------------------------------------------- what the fixtures do


async def test_a_tree_is_opened_on_the_mock_clock_and_all_its_events_are_kept(
    autojump_clock: trio.testing.MockClock,
    supervised_tree: SupervisedTree,
    supervision_events: EventRecorder,
    saboteur: Saboteur,
) -> None:
    spec = replace(ChildSpec("poll", start=ScriptedChild(Runs(1.0))), silence=Silence(stall_after_s=60))
    async with supervised_tree(saboteur.wrap(spec)) as supervisor:
        await supervisor.wait_ready()
        await trio.sleep(10.5)
        saboteur.hang("root.poll")
        ended = await supervision_events.wait_for(ChildEnded)
        assert ended.ending.verdict is Verdict.SILENT
        assert ended.at_s - supervision_events.events[0].at_s == 70
        await supervision_events.wait_for(ChildReady, count=2)
    assert supervised_tree.events is supervision_events


async def test_the_jitter_is_always_the_same_unless_the_test_brings_its_own(
    autojump_clock: trio.testing.MockClock, supervised_tree: SupervisedTree
) -> None:
    async def restarted_after_s(seed: int | None) -> float:
        crash = ScriptedChild(Raises(OSError()), Runs())
        rng = random.Random(seed) if seed is not None else None
        async with supervised_tree(ChildSpec("x", start=crash), rng=rng):
            await trio.sleep(100)
        return crash.started_at_s[1] - crash.started_at_s[0]

    expected = Backoff().initial_s * random.Random(0).random()
    assert [await restarted_after_s(None), await restarted_after_s(None)] == pytest.approx([expected] * 2)
    assert await restarted_after_s(1) == pytest.approx(Backoff().initial_s * random.Random(1).random())


async def test_a_whole_spec_and_further_observers_may_be_given(
    autojump_clock: trio.testing.MockClock, supervised_tree: SupervisedTree
) -> None:
    heard: list[Event] = []
    spec = SupervisorSpec("service", children=(ChildSpec("x", start=ScriptedChild(Runs())),))
    async with supervised_tree(spec=spec, observers=[heard.append]) as supervisor:
        await supervisor.wait_ready()
        assert supervisor.path == "service"
    assert heard == supervised_tree.events.events
    with pytest.raises(TypeError, match="not both"):
        supervised_tree(*spec.children, spec=spec)


async def test_on_a_real_clock_no_tree_is_opened(supervised_tree: SupervisedTree) -> None:
    with pytest.raises(RuntimeError, match=r"needs a mock clock: with pytest-trio .* autojump_clock"):
        supervised_tree()


def test_a_test_that_is_not_async_runs_one_that_is(
    on_mock_clock: OnMockClock, supervised_tree: SupervisedTree
) -> None:
    async def a_day(children: int) -> float:
        specs = [ChildSpec(f"c{number}", start=ScriptedChild(Runs(60.0))) for number in range(children)]
        async with supervised_tree(*specs) as supervisor:
            await supervisor.wait_ready()
            await trio.sleep(86_400)
        return trio.current_time()

    assert on_mock_clock(a_day, 3) == 86_400
    assert len(supervised_tree.events.of(ChildFinished)) == 3


def test_the_story_has_a_line_for_each_event_and_keeps_the_end_of_it() -> None:
    events: list[Event] = [ChildStarting(path="root.x", at_s=float(at), incarnation=at) for at in range(205)]
    events.append(
        ChildCancelled(
            path="root.x",
            at_s=1_000.5,
            incarnation=205,
            verdict=Verdict.SILENT,
            cause="no sign of life",
            evidence="line\n" * 1_000,
            stop_within_s=5.0,
        )
    )
    lines = story(events).splitlines()
    assert lines[0] == "(6 earlier events)"
    assert lines[1] == "       6.000  root.x  ChildStarting  incarnation=6"
    assert len(lines) == 201
    assert lines[-1].startswith(
        "    1000.500  root.x  ChildCancelled  incarnation=205 verdict=<Verdict.SILENT"
    )
    assert "cause='no sign of life'" in lines[-1]
    assert len(lines[-1]) < 400
    assert "earlier" not in story(events[:3])


def test_a_test_that_fails_shows_the_story_and_one_that_passes_does_not(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ALONE)
    result = pytester.runpytest_inprocess("-rP", "-p", "no:cacheprovider", "--timeout=0")
    result.assert_outcomes(passed=1, failed=3)
    assert result.stdout.str().count("- supervision events -") == 1


# ---------------------------------------------------------------- how pytest finds them


def test_it_is_registered_under_the_name_of_its_module() -> None:
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {PLUGIN: PLUGIN}
    [installed] = [
        point for point in importlib.metadata.entry_points(group="pytest11") if point.value == PLUGIN
    ]
    assert installed.name == PLUGIN


def test_it_loads_nothing_that_the_library_itself_does_not_need() -> None:
    code = f"""
import sys, pytest
before = set(sys.modules)
import tgworker.supervision
library = set(sys.modules)
import {PLUGIN}
new = set(sys.modules) - library
assert new == {{"{PLUGIN}", "tgworker.supervision.testing"}}, new
roots = {{name.partition(".")[0] for name in set(sys.modules) - before}}
foreign = {{"pytest_trio", "hypothesis", "anyio", "asyncio", "trio_asyncio", "telethon", "httpx"}}
assert not roots & foreign, roots
assert "trio.testing" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.slow
def test_a_project_without_any_other_plugin_can_use_it_and_sees_the_story_of_a_failure(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(ALONE)
    result = pytester.runpytest_subprocess("-p", PLUGIN, "-W", "error")
    result.assert_outcomes(passed=1, failed=3)
    output = result.stdout.str()
    assert output.count("- supervision events -") == 1
    result.stdout.fnmatch_lines(
        [
            "*- supervision events -*",
            "       0.000  root.x  ChildStarting  incarnation=1",
            "       0.000  root.x  ChildReady  incarnation=1 after_s=0.0",
            "       0.000  root.x  ChildEnded  *verdict=<Verdict.RAISED*",
            "*root.x  ChildReady  incarnation=2*",
            "   86400*  root  SupervisorStopped  orphans=()",
        ]
    )


TOGETHER = """
import trio
import trio.testing
from tgworker.supervision import ChildSpec
from tgworker.supervision.testing import Runs, ScriptedChild

async def test_async(autojump_clock, supervised_tree):
    async with supervised_tree(ChildSpec("x", start=ScriptedChild(Runs(3_600)))) as supervisor:
        await supervisor.wait_ready()
        await trio.sleep(86_400)

async def test_async_without_a_clock(supervised_tree):
    async with supervised_tree():
        pass
"""


@pytest.mark.slow
def test_a_project_with_pytest_trio_finds_it_by_itself_and_may_name_it_again(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeini(
        "[pytest]\ntrio_mode = true\nfilterwarnings = error\n  ignore::DeprecationWarning:trio_asyncio"
    )
    pytester.makeconftest(f"pytest_plugins = ['{PLUGIN}']")
    pytester.makepyfile(TOGETHER)
    result = pytester.runpytest_subprocess("-p", PLUGIN)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*RuntimeError: supervised_tree needs a mock clock*"])


@pytest.mark.slow
def test_a_project_that_does_not_want_it_can_switch_it_off(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\ndef test_it(supervised_tree): pass\ndef test_modules():\n"
        f"    assert '{PLUGIN}' not in sys.modules"
    )
    result = pytester.runpytest_subprocess("-p", f"no:{PLUGIN}")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'supervised_tree' not found*"])


@pytest.mark.slow
def test_a_project_that_does_not_use_it_notices_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass\ndef test_fails(): assert 0")
    environ = dict(os.environ)
    result = pytester.runpytest_subprocess("-W", "error", "-p", "no:trio", "-p", "no:anyio")
    result.assert_outcomes(passed=1, failed=1)
    assert "supervision" not in result.stdout.str().replace("plugins: ", "")
    assert dict(os.environ) == environ
