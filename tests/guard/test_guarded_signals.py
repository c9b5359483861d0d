"""SIGHUP, SIGUSR1 and the dead of others, at a guard that is a real process."""

import os
import signal
import sys
from pathlib import Path

import pytest
import trio

from guard.guarded_site import COMMAND, SABOTAGE, open_site, runs, until

pytestmark = pytest.mark.slow

AS_PID_1 = """
import ctypes, os, subprocess, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER: orphans become its children
subprocess.run(["sh", "-c", "sleep 0.1 & sleep 30 & echo $! > orphan"], check=True)
subprocess.Popen(["sh", "-c", "echo $$ > child; exec sleep 30"])
os.execv(sys.argv[1], sys.argv[1:])
"""
"""A program that becomes a guard with an orphan and a child which it does not know."""


async def test_sighup_applies_renews_or_refuses_and_sigusr1_disturbs_nothing(tmp_path: Path) -> None:
    async with open_site(tmp_path, freeze_after_s=10) as site, site.guard() as guard:
        (account,) = site.accounts
        file = tmp_path / ".env"
        pid = (await site.wait_online())["pid"]

        file.write_text("TGWORKER_LOG_LEVEL=debug\n")
        guard.process.send_signal(signal.SIGHUP)
        assert (await guard.line("settings reloaded"))["applied"] == ["TGWORKER_LOG_LEVEL"]

        file.write_text("TGWORKER_LOG_LEVEL=debug\nTGWORKER_DEADLINE_SEND_S=soon\nTGWORKER_GIVE_UP=perhaps\n")
        guard.process.send_signal(signal.SIGHUP)
        await guard.line("settings not reloaded", nth=2)
        reasons = sorted(line["reason"] for line in guard.said("settings not reloaded"))
        assert [reason.split()[0] for reason in reasons] == ["TGWORKER_DEADLINE_SEND_S", "TGWORKER_GIVE_UP"]

        guard.process.send_signal(signal.SIGUSR1)
        dump = await trio.Path((await guard.line("stacks written"))["file"]).read_text()
        assert "root.outbound" in dump
        assert f"account {account}" in dump
        assert (await site.wait_online())["pid"] == pid, "none of this took a new worker"
        assert not guard.said("worker ended")

        for nth, seconds in enumerate((5, 6, 7), start=1):  # however often: no failure, and no backoff
            file.write_text(f"TGWORKER_LOG_LEVEL=debug\nTGWORKER_DEADLINE_SEND_S={seconds}\n")
            guard.process.send_signal(signal.SIGHUP)
            takes_over = await guard.line("a new worker takes settings over", nth=nth)
            assert takes_over["needs_new_worker"] == ["TGWORKER_DEADLINE_SEND_S"]
            ended = await guard.line("worker ended", nth=nth)
            assert (ended["reason"], ended["restart_in_s"], ended["level"]) == ("exit code 75", 0, "info")
            await site.wait_online(beyond=pid)
            pid = await guard.worker_pid(nth=nth + 1)
        guard.process.send_signal(signal.SIGHUP)
        assert (await guard.line("settings reloaded", nth=5))["applied"] == [], "the new one has them all"
        assert await guard.end() == 0


async def test_requests_that_come_before_a_worker_listens_are_served_when_it_does(tmp_path: Path) -> None:
    async with open_site(tmp_path, accounts=0, freeze_after_s=10) as site:
        site.do("start", "wait")
        async with site.guard(program=SABOTAGE) as guard:
            pid = await guard.worker_pid()
            guard.process.send_signal(signal.SIGHUP)
            guard.process.send_signal(signal.SIGUSR1)
            await until(lambda: {signal.SIGHUP, signal.SIGUSR1} <= pending(pid))
            (site.folder / "orders" / "start").unlink()
            await guard.line("settings reloaded")
            await guard.line("stacks written")
            await site.wait_row("online")
            assert not guard.said("worker ended")

            site.do("start", "wait")  # a worker that has no handlers yet
            os.kill(pid, signal.SIGKILL)
            await guard.worker_pid(nth=2)
            assert await guard.end() == 0
        assert guard.said("worker ended", reason="signal 15", level="info")


def pending(pid: int) -> set[int]:
    """The signals that wait for a process to unblock them."""
    (mask,) = (
        line.split()[1]
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("ShdPnd:")
    )
    return {number for number in range(1, 32) if int(mask, 16) >> (number - 1) & 1}


async def test_the_dead_of_others_are_reaped_by_a_guard_that_is_pid_1(tmp_path: Path) -> None:
    async with open_site(tmp_path, accounts=0) as site:
        program = (sys.executable, "-c", AS_PID_1, *COMMAND)
        async with site.guard(program=program) as guard:
            await site.wait_row("online")
            strangers = [int((tmp_path / name).read_text()) for name in ("orphan", "child")]
            for pid in strangers:
                assert parent_of(pid) == guard.process.pid
                os.kill(pid, signal.SIGKILL)
            await until(lambda: not any(map(exists, strangers)))
            assert children_of(guard.process.pid) == {await guard.worker_pid()}
            assert runs(await guard.worker_pid())
            assert await guard.end() == 0
        assert guard.said("worker ended", reason="exit code 0")


def exists(pid: int) -> bool:
    """Whether it runs, or has ended and not been reaped."""
    return Path(f"/proc/{pid}").exists()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(pid: int) -> set[int]:
    """All children, those included that have ended and not been reaped; helpers come and go."""
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
