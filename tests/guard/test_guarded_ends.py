"""How a guard ends, in real processes: in order, at once, killed, with a frozen worker. None outlives it."""

import os
import signal
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
import trio

from guard.guarded_site import Guard, Site, open_site, runs, until

pytestmark = pytest.mark.slow

WARD = (sys.executable, str(Path(__file__).with_name("ward_program.py")))
FOR_EVER = "50"
"""A freeze limit, in seconds, that no test waits for."""


async def stop_the_worker(guard: Guard, nth: int = 1) -> int:
    """SIGSTOP; returns the worker's process."""
    pid = await guard.worker_pid(nth=nth)
    os.kill(pid, signal.SIGSTOP)
    return pid


async def refuse_a_second(site: Site, guard: Guard) -> None:
    second = await site.command("run")
    assert second.returncode == 2
    (line,) = second.stderr.decode().splitlines()
    assert f"process {guard.process.pid}" in line, line
    assert str(site.data.path) in line


async def test_no_worker_outlives_a_killed_guard_and_no_second_guard_starts_beside_a_living_one(
    tmp_path: Path,
) -> None:
    async with open_site(tmp_path, TGWORKER_FREEZE_AFTER_S=FOR_EVER) as site:
        async with site.guard() as guard:
            await site.wait_online()
            await refuse_a_second(site, guard)
            pid = await guard.worker_pid()
            guard.process.kill()
            await until(lambda: not runs(pid))
        async with site.guard() as guard:  # nothing is left behind that would refuse it
            await site.wait_online(beyond=pid)
            frozen = await stop_the_worker(guard)
            await refuse_a_second(site, guard)
            guard.process.kill()
            await until(lambda: not runs(frozen))
        async with site.guard() as guard:
            await site.wait_online(beyond=frozen)
            assert not guard.said("worker ended")


async def test_sigterm_ends_both_in_order(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, site.guard() as guard:
        await site.wait_online()
        assert await guard.end() == 0
        row = await site.row()
        assert row is not None
        assert row.status == "offline"
        await until(lambda: bool(guard.said("guard stopped")))
        order = ["guard stopping", "worker stopping", "worker stopped", "worker ended", "guard stopped"]
        assert guard.order(*order) == order
        assert not [line for line in guard.lines if line["level"] in {"warning", "error"}]
        assert guard.said("worker ended", reason="exit code 0", level="info")
        assert (await site.status())["heartbeat"]["status"] == "offline"


async def test_the_last_word_is_said_also_where_an_older_one_is_still_being_written(tmp_path: Path) -> None:
    file = tmp_path / "said"
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            process = await trio.lowlevel.open_process([*WARD, str(file)], stderr=PIPE)
            guard = Guard(process)
            nursery.start_soon(guard.read)
            try:
                await guard.line("worker is frozen")  # its row is being written, slowly
                assert await guard.end() == 0
            finally:
                process.kill()
    assert file.read_text().split() == ["online", "frozen", "offline"]
    assert guard.said("no file for stacks", reason="no room"), "standard error will do"


async def test_ctrl_c_reaches_the_guard_alone_and_ends_both_in_order(tmp_path: Path) -> None:
    async with open_site(tmp_path, accounts=0) as site, site.guard() as guard:
        await site.wait_row("online")
        os.killpg(guard.process.pid, signal.SIGINT)  # as a terminal does with its foreground group
        assert await guard.process.wait() == 0
        await until(lambda: bool(guard.said("guard stopped")))
        assert guard.said("worker stopping", reason="SIGTERM")
        assert not guard.said("worker exits at once, because it was told to stop twice")
        row = await site.row()
        assert row is not None
        assert row.status == "offline"


async def test_a_frozen_worker_is_waited_for_until_its_limit_or_the_second_signal(tmp_path: Path) -> None:
    async with open_site(tmp_path, accounts=0, freeze_after_s=2) as site:
        async with site.guard() as guard:
            await site.wait_row("online")
            pid = await stop_the_worker(guard)
            assert await guard.end() == 0
            await until(lambda: bool(guard.said("guard stopped")))
            order = ["guard stopping", "worker is frozen", "worker ended", "guard stopped"]
            assert guard.order(*order, "worker forked") == ["worker forked", *order]
            row = await site.row()
            assert row is not None
            assert row.status == "offline"
        async with site.guard(env={"TGWORKER_FREEZE_AFTER_S": FOR_EVER}) as guard:
            await site.wait_row("online")
            pid = await stop_the_worker(guard)
            guard.process.send_signal(signal.SIGTERM)
            await guard.line("guard stopping", at_once=False)
            with trio.fail_after(10):
                assert await guard.end() == 0
            assert not runs(pid)
            await until(lambda: bool(guard.said("guard stopped")))
            assert guard.said("worker ended", reason="signal 9")
            row = await site.row()
            assert row is not None
            assert row.status == "offline"
