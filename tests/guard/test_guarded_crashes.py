"""A worker that dies, at work or at its start, in real processes: it is replaced, and nothing is lost."""

import os
import signal
from pathlib import Path

import pytest
import trio

from guard.guarded_site import SABOTAGE, open_site, until
from tgworker.sandbox import Fault

pytestmark = pytest.mark.slow


async def test_kill_9_in_the_middle_of_sends_loses_nothing_and_sends_nothing_twice(tmp_path: Path) -> None:
    texts = [f"message {number:03d}" for number in range(200)]
    async with open_site(tmp_path, freeze_after_s=10) as site, site.guard() as guard:
        (account,) = site.accounts
        await site.wait_online()
        slowed = site.sandbox.faults.set(Fault("delay", "messages.sendMessage", seconds=0.005))
        await site.give(account, texts)
        for nth, least in ((1, 30), (2, 90)):
            await until(lambda: len(site.arrived(account)) > least)  # noqa: B023
            os.kill(await guard.worker_pid(nth=nth), signal.SIGKILL)
            ended = await guard.line("worker ended", nth=nth)
            assert (ended["reason"], ended["stacks"]) == ("signal 9", None)
            assert ended["restart_in_s"] <= 1, "with a backoff, as for any child that fails"
        assert len(site.arrived(account)) < 200
        site.sandbox.faults.clear(slowed)
        await until(lambda: len(site.arrived(account)) >= 200)
        while (await site.wait_online())["queues"]["claimed"]:
            await trio.sleep(0.05)
        assert site.arrived(account) == texts
        assert (await site.command("outbox", "list", "--json")).stdout.strip() == b"[]"


async def test_exits_in_a_handler_and_at_the_start_are_retried_for_ever_and_shown(tmp_path: Path) -> None:
    async with open_site(tmp_path, freeze_after_s=10) as site, site.guard(program=SABOTAGE) as guard:
        (account,) = site.accounts
        await site.wait_online()
        site.do("start", "exit")
        site.do(account, "exit")
        for nth in range(1, 7):  # three are put up with
            assert (await guard.line("worker ended", nth=nth))["reason"] == "exit code 9"
        failed = await guard.line("too many workers ended: trying at the longest backoff from now on")
        assert guard.lines.index(failed) > guard.lines.index(await guard.line("worker ended", nth=4))
        await site.wait_row("failed")
        status = await site.status()
        assert (status["answers"], status["heartbeat"]["status"]) == (False, "failed")
        before = await site.wait_row("failed")
        await site.wait_row("failed", beyond=before.seq)  # the guard goes on saying so
        assert not (site.data.path / "faults.json").exists(), "nobody is blamed for a crash"

        (site.folder / "orders" / "start").unlink()  # whatever was wrong is over
        await site.wait_online()
        await site.wait_row("online")
        await site.give(account, ["and on it goes"])
        await until(lambda: site.arrived(account) == ["and on it goes"])


async def test_a_guard_that_may_give_up_exits_with_70(tmp_path: Path) -> None:
    async with open_site(tmp_path, accounts=0, TGWORKER_GIVE_UP="1") as site:
        site.do("start", "exit")
        async with site.guard(program=SABOTAGE) as guard:
            assert await guard.process.wait() == 70
            row = await site.row()
            assert row is not None
            assert row.status == "failed"
        assert len(guard.said("worker ended", reason="exit code 9")) == 4
        assert guard.said("guard stopped", exit_code=70)
        status = await site.status()
        assert (status["answers"], status["heartbeat"]["status"]) == (False, "failed")
