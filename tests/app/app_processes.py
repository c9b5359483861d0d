"""Starts `process_program` and talks to it with signals."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = Path(__file__).with_name("process_program.py")


@contextmanager
def running(folder: Path, way: str, within_s: float = 25) -> Generator[subprocess.Popen[str]]:
    """A process that is ready for signals; it is killed at the end of the block, unless it ended before."""
    ours = {"TGWORKER_DATA_DIR": str(folder / "data"), "TGWORKER_LOG_FORMAT": "json"}
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TGWORKER_", "TELEGRAM_", "SUPABASE_"))
    }
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), way, str(within_s)],
        cwd=folder,
        env=inherited | ours,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
