"""A worker above its memory limit ends in order and asks to be started anew."""

import json
import signal
from pathlib import Path

import pytest
import trio

from worker.processes import open_town

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def test_a_limit_that_a_running_worker_is_given_recycles_it_in_order(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        await town.login(town.facts["users"][0], "me")
        async with town.worker() as worker:
            await town.wait_online()
            assert [child["path"] for child in (await town.status())["tree"]["children"]][:4] == [
                "root.heartbeat",
                "root.status",
                "root.canary",
                "root.memory",
            ]
            (tmp_path / ".env").write_text("TGWORKER_MEMORY_LIMIT_MB=1\n")
            worker.send_signal(signal.SIGHUP)
            with trio.fail_after(40):
                assert await worker.wait() == 75
        said = [json.loads(line) for line in (tmp_path / "worker.log").read_text().splitlines()]
        assert [line["applied"] for line in said if line["event"] == "settings reloaded"] == [
            ["TGWORKER_MEMORY_LIMIT_MB"]
        ]
        (above,) = [line for line in said if line["event"] == "worker is above its memory limit"]
        assert above["limit_mb"] == 1
        assert above["used_mb"] > 10
        assert [line["reason"] for line in said if line["event"] == "worker stopping"] == ["memory"]
        assert (said[-1]["event"], said[-1]["exit_code"]) == ("worker stopped", 75)
        assert (await town.status())["heartbeat"]["status"] == "offline"
