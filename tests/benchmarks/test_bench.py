"""The command: every line is measured in its short form, and what it prints can be relied on.

Nothing here holds a figure against its goal: that would fail on a busy machine. The bounds are those that
only a broken measurement, or costs of another order, would miss: in a ratio of two short measurements a
factor of five either way is noise, since either may fall into a moment in which others have the processor.
"""

import json
import subprocess
import sys
from typing import Any

import pytest

from benchmarks import __main__ as bench
from benchmarks.alone import measure_alone
from benchmarks.line import Effort, Measured, NotMeasured
from benchmarks.lines import LINES
from project.checkout import ROOT
from tgworker.devstack import Binaries

# Each line's value, in its short form, lies between these. A new line needs a row.
SANE = {
    "beat_vs_checkpoint": (0.0005, 2.0),
    "deadline_vs_move_on_after": (0.05, 20.0),
    "restart_ms": (0.01, 50.0),
    "children_start_stop_vs_nursery": (0.1, 30.0),
    "idle_children_cpu_percent": (0.0, 50.0),
    "freeze_recovery_over_limit_s": (-0.5, 20.0),
    "cold_start_s": (0.05, 20.0),
    "guard_idle_cpu_percent": (0.0, 20.0),
    "guard_memory_mb": (5.0, 200.0),
    "claim_backlog_ms": (0.05, 500.0),
    "supabase_settle_vs_plan": (0.5, 200.0),
    "supabase_ingest_vs_plan": (2.0, 2_000.0),
    "latency_embedded_p99_ms": (1.0, 10_000.0),
    "latency_supabase_p99_ms": (1.0, 10_000.0),
    "latency_supabase_wakeup_p99_ms": (1.0, 10_000.0),
    "supabase_polling_requests_per_s": (0.1, 20.0),
    "supabase_wakeup_requests_per_s": (0.0, 20.0),
    "worker_idle_cpu_percent": (0.0, 90.0),
    "throughput_embedded_vs_bare": (0.05, 50.0),
    "throughput_supabase_vs_bare": (0.01, 50.0),
    "throughput_vs_plan": (1.0, 5_000.0),
    "inbound_embedded_vs_bare": (0.01, 50.0),
    "inbound_supabase_vs_bare": (0.005, 50.0),
    "upload_vs_bare": (0.005, 50.0),
    "download_vs_bare": (0.005, 50.0),
    "media_rss_mb": (0.0, 100.0),
    "history_vs_bare": (0.01, 50.0),
    "presence_calls_per_s": (0.1, 1.0),
    "account_restart_ms": (1.0, 5_000.0),
    "blackhole_detect_s": (0.01, 20.0),
    "blackhole_detect_idle_s": (0.01, 20.0),
    "idle_account_kb": (-2_000.0, 5_000.0),
    "idle_500_cpu_percent": (0.0, 100.0),
    "host_vs_asyncio_sequential": (0.02, 20.0),
    "host_vs_asyncio_concurrent": (0.02, 20.0),
    "update_cost_drift": (0.2, 5.0),
}


def run_bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True, timeout=280
    )


def test_every_line_has_a_row_of_what_is_sane() -> None:
    assert list(SANE) == [line.id for line in LINES]


@pytest.mark.slow
@pytest.mark.parametrize("module", dict.fromkeys(line.module for line in LINES))
def test_a_module_s_lines_are_measured_in_their_short_form(module: str, stack_binaries: Binaries) -> None:
    lines = [line for line in LINES if line.module == module]
    done = run_bench("--short", "--json", "--only", ",".join(line.id for line in lines))
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert list(answer) == ["lines"]
    assert list(answer["lines"]) == [line.id for line in lines]
    for line in lines:
        entry = answer["lines"][line.id]
        assert set(entry) == {"value", "unit", "goal", "detail"}
        assert (entry["unit"], entry["goal"]) == (line.unit, line.goal.limit)
        low, high = SANE[line.id]
        assert low <= entry["value"] <= high, (line.id, entry)
        assert entry["detail"]["goal_is"] == line.goal.side.value
        assert entry["detail"]["met"] is line.goal.met_by(entry["value"])
        assert len(entry["detail"]) > 2  # the figures behind the value
        assert f"\n  {line.id}: " in done.stderr


@pytest.mark.slow
def test_people_get_a_table_of_what_they_asked_for_in_its_order() -> None:
    done = run_bench("--short", "--only", "restart_ms, beat_vs_checkpoint")
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["line", "value", "goal", "what"]
    assert [row.split()[0] for row in rows] == ["beat_vs_checkpoint", "restart_ms"]
    assert " ≤ 1 " in rows[1]
    assert "deadline_vs_move_on_after" not in done.stderr


@pytest.mark.parametrize(
    ("only", "complaint"),
    [
        ("beat_vs_checkpoint,nonsense", "--only: unknown nonsense"),
        ("BEAT_VS_CHECKPOINT,restart", "--only: unknown BEAT_VS_CHECKPOINT, restart"),
        (" , ", "--only names no line"),
        ("", "--only names no line"),
    ],
)
def test_an_unknown_id_is_refused_in_one_line_that_names_the_known(only: str, complaint: str) -> None:
    done = run_bench("--json", "--only", only)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"bench: {complaint}; known: {', '.join(line.id for line in LINES)}\n"


def test_other_wrong_words_are_refused_in_one_line() -> None:
    done = run_bench("--shorter-than-short")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "bench: unrecognized arguments: --shorter-than-short\n"


def test_a_line_that_cannot_be_measured_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(module: str, effort: Effort) -> dict[str, Measured] | NotMeasured:
        assert effort is Effort.FULL
        match module:
            case "benchmarks.beat":
                return NotMeasured("it broke")
            case "benchmarks.deadline":
                return {"another_line": Measured(1.0, {})}
            case _:
                return {"restart_ms": Measured(1.0, {"p99_ms": 3.0})}

    monkeypatch.setattr(bench, "measure_alone", measured)
    asked = "beat_vs_checkpoint,deadline_vs_move_on_after,restart_ms"
    assert bench.main(["--json", "--only", asked]) == 1
    lines = json.loads(capsys.readouterr().out.splitlines()[-1])["lines"]
    assert lines == {
        "beat_vs_checkpoint": {
            "value": None,
            "unit": "ratio",
            "goal": 0.2,
            "detail": {"goal_is": "at most", "error": "it broke"},
        },
        "deadline_vs_move_on_after": {
            "value": None,
            "unit": "ratio",
            "goal": 2.0,
            "detail": {"goal_is": "at most", "error": "benchmarks.deadline did not measure it"},
        },
        "restart_ms": {
            "value": 1.0,
            "unit": "ms",
            "goal": 1.0,
            "detail": {"goal_is": "at most", "met": True, "p99_ms": 3.0},
        },
    }


def test_missed_goals_are_an_answer_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(_module: str, _effort: Effort) -> dict[str, Measured]:
        return {"restart_ms": Measured(1.01, {})}

    monkeypatch.setattr(bench, "measure_alone", measured)
    assert bench.main(["--only", "restart_ms"]) == 0
    assert "1.01 ms  ≤ 1   missed  a child raises" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise RuntimeError('broken')", "its process ended with 1; see standard error"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "its process ended with -9"),
        ("import time; time.sleep(30)", "not done after 1 s"),
    ],
)
def test_a_measurement_that_breaks_or_hangs_stays_in_its_process(
    body: str, reason: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_line.py").write_text(f"def measure(effort):\n    {body}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = measure_alone("broken_line", Effort.SHORT, give_up_after_s=1.0 if "sleep" in body else 30.0)
    assert isinstance(result, NotMeasured)
    assert result.reason.startswith(reason)


def test_what_a_module_prints_is_not_taken_for_its_answer(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chatty_line.py").write_text(
        "from benchmarks.line import Measured\n"
        "def measure(effort):\n"
        "    print('hello')\n"
        "    return {'chatty': Measured(2.5, {'effort': effort.value})}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert measure_alone("chatty_line", Effort.SHORT) == {"chatty": Measured(2.5, {"effort": "short"})}
