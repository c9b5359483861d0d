"""A supervised tree in numbers: exact counts from single events, and from trees on the mock clock."""

import random
from dataclasses import dataclass

import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tgworker.operations.metrics import SupervisionMetrics
from tgworker.operations.metrics_text import text_of
from tgworker.operations.tallies import MOST_NAMES, Counter, Gauge, Histogram, Labels, Names
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
    ChildWedged,
    Ending,
    Event,
    Intensity,
    IntensityExceeded,
    LagCause,
    LoopLagged,
    LoopStarved,
    ObserverFailed,
    OperationExpired,
    Pulse,
    RestartScheduled,
    SiblingsDisturbed,
    Silence,
    SupervisorEscalated,
    SupervisorSpec,
    SupervisorStopped,
    SupervisorStopping,
    Verdict,
    Wedged,
    open_supervisor,
)
from tgworker.supervision.testing import EventRecorder, RefusesToDie, Saboteur, ScriptedChild

Sample = tuple[str, tuple[str, ...]]
PATH = "root.feed"


def samples(text: bytes) -> dict[Sample, float]:
    """What a parser of Prometheus' own reads: by name and label values, but for what is 0."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.value and not sample.name.endswith("_bucket")
    }


def counted(*events: Event, most_names: int = MOST_NAMES) -> dict[Sample, float]:
    metrics = SupervisionMetrics(most_names=most_names)
    for event in events:
        metrics(event)
    return samples(text_of(metrics.tallies))


def ending(verdict: Verdict) -> Ending:
    return Ending(verdict, "why", incarnation=2, started_at_s=10, ended_at_s=12.5)


def lagged(lag_s: float, cause: LagCause) -> LoopLagged:
    return LoopLagged(
        path="root.canary",
        at_s=1,
        lag_s=lag_s,
        cause=cause,
        in_step=True,
        task="root.feed: +49 171 1234567",
        cpu_s=0,
        others_cpu_s=0,
        queued_s=None,
        suspended_s=0,
    )


def expired(operation: str) -> OperationExpired:
    return OperationExpired(
        path=PATH, at_s=1, incarnation=1, operation=operation, limit_s=30, elapsed_s=30, cut_off=True
    )


COUNTED: list[tuple[Event, dict[Sample, float]]] = [
    (ChildStarting(path=PATH, at_s=1, incarnation=1), {("tgworker_children", (PATH,)): 1}),
    (
        ChildEnded(path=PATH, at_s=1, ending=ending(Verdict.START_TIMEOUT), error=None),
        {
            ("tgworker_children", (PATH,)): -1,
            ("tgworker_child_endings_total", (PATH, "start-timeout")): 1,
        },
    ),
    (
        RestartScheduled(path=PATH, at_s=1, incarnation=3, attempt=2, delay_s=0.75, restart_at_s=2),
        {
            ("tgworker_child_restarts_total", (PATH,)): 1,
            ("tgworker_child_restart_delay_seconds_total", (PATH,)): 0.75,
        },
    ),
    (
        ChildQuiet(path=PATH, at_s=1, incarnation=1, quiet_s=40, evidence="a stack"),
        {("tgworker_child_quiet_total", (PATH,)): 1},
    ),
    (
        ChildWedged(path=PATH, at_s=1, ending=ending(Verdict.WEDGED)),
        {("tgworker_child_wedged_total", (PATH,)): 1},
    ),
    (expired("telegram.send"), {("tgworker_operations_expired_total", ("telegram.send",)): 1}),
    (
        SupervisorEscalated(path=PATH, at_s=1, failure=IntensityExceeded("m", path="root.x", cause="c")),
        {("tgworker_supervisor_escalations_total", (PATH,)): 1},
    ),
    (
        lagged(0.3, LagCause.BLOCKED),
        {
            ("tgworker_loop_lag_seconds_count", ("blocked",)): 1,
            ("tgworker_loop_lag_seconds_sum", ("blocked",)): 0.3,
        },
    ),
    (
        LoopStarved(path="root", at_s=1, late_s=30.5, cause=LagCause.SUSPENDED),
        {
            ("tgworker_loop_gap_seconds_count", ("suspended",)): 1,
            ("tgworker_loop_gap_seconds_sum", ("suspended",)): 30.5,
        },
    ),
    (
        ObserverFailed(path=PATH, at_s=1, observer="<f>", error=OSError("disk full")),
        {("tgworker_observer_failures_total", ()): 1},
    ),
]

NOT_COUNTED: list[Event] = [
    ChildReady(path=PATH, at_s=1, incarnation=1, after_s=1),
    ChildCancelled(
        path=PATH,
        at_s=1,
        incarnation=1,
        verdict=Verdict.SILENT,
        cause="c",
        evidence=None,
        stop_within_s=5,
    ),
    SiblingsDisturbed(path=PATH, at_s=1, siblings=("root.a",)),
    ChildFinished(path=PATH, at_s=1, verdict=None),
    SupervisorStopping(path=PATH, at_s=1, cause="asked to"),
    SupervisorStopped(path=PATH, at_s=1, orphans=()),
]


@pytest.mark.parametrize(("event", "expected"), COUNTED, ids=lambda value: type(value).__name__)
def test_an_event_counts_for_its_metrics_and_no_other(event: Event, expected: dict[Sample, float]) -> None:
    assert counted(event) == expected
    assert counted(event, event) == {sample: 2 * value for sample, value in expected.items()}


def test_what_says_nothing_new_is_not_counted_and_no_event_is_forgotten_here() -> None:
    assert counted(*NOT_COUNTED) == {}
    assert {type(event) for event in [*NOT_COUNTED, *(event for event, _ in COUNTED)]} == set(EVENTS)


def test_every_metric_has_its_event_and_is_named_as_prometheus_asks() -> None:
    metrics = SupervisionMetrics()
    there = {name for _, expected in COUNTED for name, _ in expected}
    for tally in metrics.tallies:
        assert tally.name in there or f"{tally.name}_count" in there
        assert tally.name.endswith("_total") == isinstance(tally, Counter), tally.name
        assert not isinstance(tally, Histogram) or tally.name.endswith("_seconds"), tally.name


def test_an_event_that_a_later_release_adds_counts_for_nothing() -> None:
    @dataclass(frozen=True, kw_only=True)
    class ChildRenamed(Event):
        former: str

    assert counted(ChildRenamed(path=PATH, at_s=1, former="y")) == {}


@pytest.mark.parametrize(
    "name", ["Hello Ada, this is a text", "+4917112345678", "4917112345678", "", "a\nb", "\udc80", "x" * 129]
)
def test_what_looks_like_no_name_is_not_shown_and_breaks_nothing(name: str) -> None:
    assert counted(expired(name), ChildStarting(path=name, at_s=1, incarnation=1)) == {
        ("tgworker_operations_expired_total", ("other",)): 1,
        ("tgworker_children", ("other",)): 1,
    }


@pytest.mark.parametrize("number", [float("inf"), float("nan"), -1.0])
def test_a_number_that_cannot_be_breaks_nothing(number: float) -> None:
    found = counted(lagged(number, LagCause.STARVED))
    assert found["tgworker_loop_lag_seconds_count", ("starved",)] == 1


def test_names_beyond_the_bound_are_other_and_the_first_ones_stay() -> None:
    names = Names()
    assert [names.of(f"n{number}") for number in range(MOST_NAMES)] == [f"n{n}" for n in range(MOST_NAMES)]
    assert names.of("late") == names.of("later") == "other"
    assert names.of("n0") == "n0"
    found = counted(*map(expired, ["a", "b", "c", "d", "a"]), most_names=2)
    assert found == {
        ("tgworker_operations_expired_total", ("a",)): 2,
        ("tgworker_operations_expired_total", ("b",)): 1,
        ("tgworker_operations_expired_total", ("other",)): 2,
    }


def test_what_never_happened_is_shown_as_0_where_that_is_known() -> None:
    text = text_of(SupervisionMetrics().tallies).decode()
    assert "tgworker_observer_failures_total 0.0\n" in text
    assert 'tgworker_loop_lag_seconds_count{cause="blocked"} 0.0\n' in text
    assert "_created" not in text
    assert text.count("# TYPE ") == text.count("# HELP ") == len(SupervisionMetrics().tallies)


def test_the_buckets_of_a_histogram_hold_all_that_is_smaller() -> None:
    histogram = Histogram("took_seconds", "How long.", ["what"], bounds=(0.5, 1, 10))
    for value in (0.1, 0.5, 0.6, 10, 11):
        histogram.observe(value, "x")
    (family,) = text_string_to_metric_families(text_of([histogram]).decode())
    assert family.type == "histogram"
    buckets = [sample for sample in family.samples if sample.name == "took_seconds_bucket"]
    assert [(sample.labels["le"], sample.value) for sample in buckets] == [
        ("0.5", 2),
        ("1.0", 3),
        ("10.0", 4),
        ("+Inf", 5),
    ]


def test_a_gauge_is_set_or_read_when_somebody_asks() -> None:
    there: dict[Labels, float] = {("a",): 1}
    rows = Gauge("rows", "Rows.", ["table"])
    things = Gauge("things", "Things.", ["kind"], read=lambda: there)
    rows.set("jobs", to=7)
    rows.set("jobs", to=3)
    there["b",] = 5
    assert samples(text_of([rows, things])) == {
        ("rows", ("jobs",)): 3,
        ("things", ("a",)): 1,
        ("things", ("b",)): 5,
    }


def test_a_program_s_own_registry_shows_them_beside_its_own_once() -> None:
    metrics = SupervisionMetrics("feed")
    registry = CollectorRegistry(auto_describe=True)
    metrics.register(registry)
    metrics(expired("http.get"))
    assert samples(generate_latest(registry)) == {
        ("feed_operations_expired_total", ("http.get",)): 1,
    }
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        SupervisionMetrics("feed").register(registry)


# ---------------------------------------------------------------- trees on the mock clock


async def works(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
    """Beats, and each minute runs into a deadline."""
    task_status.started()
    while True:
        with pulse.deadline("store.ask", 10):
            await trio.sleep(60)
        for _ in range(50):
            pulse.beat()
            await trio.sleep(1)


async def test_a_day_of_faults_is_counted_to_the_last_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    metrics, recorder, saboteur = SupervisionMetrics(), EventRecorder(), Saboteur()
    spec = SupervisorSpec(
        intensity=Intensity.unlimited(),
        children=tuple(
            saboteur.wrap(ChildSpec(name, works, backoff=Backoff(8), silence=Silence(stall_after_s=20)))
            for name in ("fetch", "publish")
        ),
    )
    async with open_supervisor(spec, rng=random.Random(7), observers=(metrics, recorder)) as supervisor:
        for fault in range(5):
            await trio.sleep(100)
            saboteur.crash("root.fetch", ConnectionError("scripted"))
            if fault % 2:
                saboteur.hang("root.publish")
        await trio.sleep(100)
        assert metrics.tallies[0].now() == [(("root.fetch",), 1), (("root.publish",), 1)]
        assert all(child.alive for child in supervisor.snapshot().children)
    found = samples(text_of(metrics.tallies))
    delays_s = {
        path: sum(event.delay_s for event in recorder.of(RestartScheduled, path))
        for path in ("root.fetch", "root.publish")
    }
    expired_times = len(recorder.of(OperationExpired))
    assert expired_times > 10
    assert found.pop(("tgworker_child_restart_delay_seconds_total", ("root.fetch",))) == pytest.approx(
        delays_s["root.fetch"]
    )
    assert found.pop(("tgworker_child_restart_delay_seconds_total", ("root.publish",))) == pytest.approx(
        delays_s["root.publish"]
    )
    assert found == {
        ("tgworker_child_endings_total", ("root.fetch", "raised")): 5,
        ("tgworker_child_endings_total", ("root.publish", "silent")): 2,
        ("tgworker_child_endings_total", ("root.fetch", "stopped")): 1,
        ("tgworker_child_endings_total", ("root.publish", "stopped")): 1,
        ("tgworker_child_restarts_total", ("root.fetch",)): 5,
        ("tgworker_child_restarts_total", ("root.publish",)): 2,
        ("tgworker_operations_expired_total", ("store.ask",)): expired_times,
    }


async def test_a_child_that_does_not_die_is_counted_when_it_is_wedged_and_again_when_it_ends_after_all(
    autojump_clock: trio.testing.MockClock,
) -> None:
    metrics, release = SupervisionMetrics(), trio.Event()
    child = ChildSpec(
        "deaf", ScriptedChild(RefusesToDie(release)), silence=Silence(stall_after_s=10), stop_within_s=3
    )

    async def run() -> None:
        with pytest.raises(Wedged):
            async with open_supervisor(
                SupervisorSpec(children=(child,)), rng=random.Random(1), observers=(metrics,)
            ):
                await trio.sleep_forever()

    wedged: dict[Sample, float] = {
        ("tgworker_child_wedged_total", ("root.deaf",)): 1,
        ("tgworker_supervisor_escalations_total", ("root",)): 1,
    }
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.sleep(12.9)
        assert samples(text_of(metrics.tallies)) == {("tgworker_children", ("root.deaf",)): 1}
        await trio.sleep(0.2)
        assert samples(text_of(metrics.tallies)) == {("tgworker_children", ("root.deaf",)): 1, **wedged}
        release.set()
    assert samples(text_of(metrics.tallies)) == {
        ("tgworker_child_endings_total", ("root.deaf", "wedged")): 1,
        **wedged,
    }
