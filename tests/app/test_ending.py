"""A worker's process that does not end in order: it ends all the same, and says what was left."""

import json
import signal
from pathlib import Path

import pytest

from app.app_processes import running

pytestmark = pytest.mark.slow


def end(folder: Path, way: str, within_s: float, *signals: signal.Signals) -> tuple[int, list[str]]:
    """Send a process signals; returns its exit code and what it wrote to standard error."""
    with running(folder, way, within_s) as process:
        for number in signals:
            process.send_signal(number)
        _, errors = process.communicate(timeout=40)
    return process.returncode, errors.splitlines()


def test_what_does_not_end_within_its_budget_is_cut_short_and_the_exit_code_says_so(tmp_path: Path) -> None:
    code, errors = end(tmp_path, "deaf", 0.1, signal.SIGTERM)
    stopping, cut = map(json.loads, errors)
    assert code == 143
    assert (stopping["event"], stopping["reason"]) == ("worker stopping", "SIGTERM")
    assert (cut["event"], cut["exit_code"]) == ("worker exits before it has stopped", 143)


def test_a_loop_that_does_not_turn_outlasts_the_budget_by_little_and_leaves_its_stack(tmp_path: Path) -> None:
    code, errors = end(tmp_path, "frozen", 0.1, signal.SIGTERM)
    assert code == 1
    assert errors[0].startswith("Timeout (")
    assert any("process_program.py" in line and "in frozen" in line for line in errors)


@pytest.mark.parametrize("way", ["deaf", "frozen"])
def test_a_second_signal_ends_the_process_at_once(way: str, tmp_path: Path) -> None:
    # Signals that are pending together are served by number: SIGINT is the first in any case.
    code, errors = end(tmp_path, way, 1000, signal.SIGINT, signal.SIGTERM)
    assert code == 143
    last = json.loads(errors[-1])
    assert last["event"] == "worker exits at once, because it was told to stop twice"
