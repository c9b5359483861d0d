"""The tests run as well where a script starts them in the background, as they do at a terminal."""

import signal
import subprocess
import sys

import pytest

from project.checkout import ROOT

HERE = "tests/project/test_background.py"


@pytest.mark.slow
def test_in_the_background_signals_arrive_too() -> None:
    """A shell without job control lets its background ignore SIGINT and SIGQUIT, and what that starts."""
    inner = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE, "-m", "not slow"]
    done = subprocess.run(
        ["sh", "-c", 'trap "" INT QUIT; exec "$@"', "sh", *inner],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_what_a_test_starts_obeys(number: signal.Signals) -> None:
    with subprocess.Popen(["sleep", "30"]) as process:
        process.send_signal(number)
        assert process.wait(10) == -number


def test_ctrl_c_reaches_the_test_itself() -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
