"""How a guard ends, in real processes: in order, at once, killed, with a frozen worker. None outlives it."""

import os
import signal
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from subprocess import PIPE

import pytest
import trio

from guard.guarded_site import Guard, Site, open_site, runs, until
from tgworker.guard._course import REPEAT_S
from tgworker.sandbox import Fault

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


def pipes(pid: int) -> Counter[str]:
    """The pipes of a process, standard streams aside, with how many of their ends it has."""
    found: Counter[str] = Counter()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found[str(fd.readlink())] += int(fd.name) > 2
    return Counter({end: ends for end, ends in found.items() if ends and end.startswith("pipe:")})


async def test_sigterm_amid_sends_ends_both_in_order_and_loses_nothing(tmp_path: Path) -> None:
    texts = [f"message {number:02d}" for number in range(100)]
    async with open_site(tmp_path, freeze_after_s=10) as site:
        (account,) = site.accounts
        async with site.guard() as guard:
            await site.wait_online()
            of_guard, of_worker = pipes(guard.process.pid), pipes(await guard.worker_pid())
            own = {end for end, ends in of_guard.items() if ends == 2}
            assert own, "by which signals wake it"
            assert not own & of_worker.keys()
            (way,) = of_guard.keys() & of_worker.keys()
            assert (of_guard[way], of_worker[way]) == (1, 1)

            site.sandbox.faults.set(Fault("delay", "messages.sendMessage", seconds=0.01))
            await site.give(account, texts)
            await until(lambda: len(site.arrived(account)) > 20)
            assert await guard.end() == 0
            assert len(site.arrived(account)) < 100
            await in_order(site, guard)
        site.sandbox.faults.clear()
        async with site.guard():
            await until(lambda: len(site.arrived(account)) >= 100)
            while (await site.wait_online())["queues"]["claimed"]:
                await trio.sleep(0.05)
        assert site.arrived(account) == texts


async def in_order(site: Site, guard: Guard) -> None:
    """What is to be seen of an orderly end."""
    row = await site.row()
    assert row is not None
    assert row.status == "offline"
    await until(lambda: bool(guard.said("guard stopped")))
    order = ["guard stopping", "worker stopping", "worker stopped", "worker ended", "guard stopped"]
    assert guard.order(*order) == order
    assert not [line for line in guard.lines if line["level"] == "error"]
    assert guard.said("worker ended", reason="exit code 0", level="info")
    assert (await site.status())["heartbeat"]["status"] == "offline"


@asynccontextmanager
async def open_ward(file: Path) -> AsyncGenerator[Guard]:
    """`ward_program` with this file."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            process = await trio.lowlevel.open_process([*WARD, str(file)], stderr=PIPE)
            guard = Guard(process)
            nursery.start_soon(guard.read)
            try:
                yield guard
            finally:
                process.kill()


async def test_the_last_word_is_said_also_where_an_older_one_is_still_being_written(tmp_path: Path) -> None:
    file = tmp_path / "said"
    async with open_ward(file) as guard:
        await guard.line("worker is frozen")  # its row is being written, slowly
        assert await guard.end() == 0
    assert file.read_text().split() == ["online", "frozen", "offline"]
    assert guard.said("no file for stacks", reason="no room"), "standard error will do"


async def test_an_outage_of_the_store_is_one_line_of_the_log_however_long_it_lasts(tmp_path: Path) -> None:
    file, away = tmp_path / "said", tmp_path / "away"
    complaint = "guard's heartbeat not written"
    away.touch()
    async with open_ward(file) as guard:
        await until(lambda: file.exists() and file.read_text().count("away") >= 3)
        away.unlink()
        await until(lambda: "frozen" in file.read_text())
        assert [line["reason"] for line in guard.said(complaint)] == ["the store is away"]
        tries = file.read_text().count("away")
        away.touch()  # another outage
        await until(lambda: file.read_text().count("away") > tries)
        await guard.line(complaint, nth=2, reason="the store is away")
        assert await guard.end() == 0
        assert all(line["level"] for line in guard.lines), "no traceback stands between the lines of the log"


async def test_a_worker_that_cannot_be_forked_is_tried_again(tmp_path: Path) -> None:
    async with open_ward(tmp_path / "said") as guard:
        await guard.worker_pid()
        guard.process.send_signal(signal.SIGHUP)  # no room
        await guard.line("worker cannot be forked", level="error")
        guard.process.send_signal(signal.SIGHUP)
        await guard.worker_pid(nth=2)
        assert await guard.end() == 0


async def test_what_no_new_process_cures_ends_the_guard_with_the_same_code(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "{}:{}".format(*taken.getsockname())
        async with open_site(tmp_path, accounts=0) as site:
            async with site.guard(env={"TGWORKER_STATUS_BIND": address}) as guard:
                assert await guard.process.wait() == 2
            (complaint,) = [line["event"] for line in guard.lines if address in line["event"]]
            assert "TGWORKER_STATUS_BIND" in complaint
            with closing(sqlite3.connect(site.data.database)) as database:
                database.execute("pragma user_version = 4711")
            async with site.guard() as guard:
                assert await guard.process.wait() == 3
            assert guard.said("worker ended", reason="exit code 3", level="info")
            assert len(guard.said("worker forked")) == 1


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
            await trio.sleep(REPEAT_S)
            with trio.fail_after(10):
                assert await guard.end() == 0
            assert not runs(pid)
            await until(lambda: bool(guard.said("guard stopped")))
            assert guard.said("worker ended", reason="signal 9")
            row = await site.row()
            assert row is not None
            assert row.status == "offline"


async def test_a_worker_whose_data_folder_is_removed_says_so_and_ends(tmp_path: Path) -> None:
    async with open_site(tmp_path, accounts=0) as site, site.guard() as guard:
        await site.wait_row("online")
        site.data.path.rename(site.folder / "elsewhere")
        assert await guard.process.wait() == 2
        removed = await guard.line("the data folder was removed: put it back from a backup, or log in again")
        assert removed["folder"] == str(site.data.path)
        assert guard.said("guard stopped", exit_code=2)
