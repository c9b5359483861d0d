"""SIGHUP: what is applied at once, what waits for a restart, and what cannot be read."""

import io
import json
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.app_processes import running
from tgworker.app.reload import LiveSettings
from tgworker.operations.logs import Logger, Threshold, make_logger
from tgworker.settings import Settings, load_settings


class Reloaded:
    """Settings whose environment a test changes."""

    def __init__(self) -> None:
        self.environ = {"HOME": "/home/ada", "TGWORKER_LOG_LEVEL": "warning"}
        self.stream = io.StringIO()
        threshold = Threshold("warning")
        self.log: Logger = make_logger(
            self.stream, json=True, level=threshold, now=lambda: datetime(2026, 1, 1, tzinfo=UTC)
        )
        self.live = LiveSettings(self.load(), self.load, threshold)

    def load(self) -> Settings:
        return load_settings(self.environ, require=())

    def __call__(self, **changes: str) -> list[dict[str, Any]]:
        """Change the environment, reload; returns the log lines of that."""
        self.environ |= changes
        self.stream.seek(0)
        self.stream.truncate()
        self.live.reload(self.log)
        return [
            {name: value for name, value in json.loads(line).items() if name not in {"timestamp", "level"}}
            for line in self.stream.getvalue().splitlines()
        ]


@pytest.fixture
def reloaded() -> Reloaded:
    return Reloaded()


def test_what_can_be_applied_is(reloaded: Reloaded) -> None:
    assert reloaded(
        TGWORKER_LOG_LEVEL="info", TGWORKER_MEMORY_LIMIT_MB="512", TGWORKER_STATUS_TOKEN="word"
    ) == [
        {
            "event": "settings reloaded",
            "applied": ["TGWORKER_STATUS_TOKEN", "TGWORKER_MEMORY_LIMIT_MB", "TGWORKER_LOG_LEVEL"],
        }
    ]
    assert reloaded.live.now.memory_limit_mb == 512
    assert reloaded.log.is_enabled_for(20)
    assert reloaded() == [{"event": "settings reloaded", "applied": []}]


def test_what_needs_a_restart_is_named_each_time_and_not_applied(reloaded: Reloaded) -> None:
    waits = {
        "event": "settings that have changed wait for a restart",
        "needs_new_worker": ["TGWORKER_DEADLINE_SEND_S"],
        "needs_new_process": ["TGWORKER_WORKER_ID"],
    }
    assert reloaded(TGWORKER_DEADLINE_SEND_S="5", TGWORKER_WORKER_ID="other") == [waits]
    assert reloaded() == [waits]
    assert reloaded.live.now.limits.send_s == 30
    assert reloaded.live.now.worker_id == "telegram-main"


def test_what_cannot_be_read_changes_nothing(reloaded: Reloaded) -> None:
    lines = reloaded(TGWORKER_LOG_LEVEL="loud", TGWORKER_MEMORY_LIMIT_MB="little")
    assert [line["event"] for line in lines] == ["settings not reloaded"] * 2
    assert lines[0]["reason"].startswith("TGWORKER_MEMORY_LIMIT_MB is not a whole number: ")
    assert not reloaded.log.is_enabled_for(20)
    assert reloaded.live.now.memory_limit_mb is None


@pytest.mark.slow
def test_a_process_reads_its_env_file_anew_on_sighup_and_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, "idle") as process:
        assert process.stderr is not None
        (tmp_path / ".env").write_text("TGWORKER_LOG_LEVEL=nonsense\n")
        process.send_signal(signal.SIGHUP)
        assert json.loads(process.stderr.readline())["event"] == "settings not reloaded"
        (tmp_path / ".env").write_text("TGWORKER_LOG_LEVEL=debug\nTGWORKER_FREEZE_AFTER_S=5\n")
        process.send_signal(signal.SIGHUP)
        assert json.loads(process.stderr.readline())["applied"] == ["TGWORKER_LOG_LEVEL"]
        assert json.loads(process.stderr.readline())["needs_new_process"] == ["TGWORKER_FREEZE_AFTER_S"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
