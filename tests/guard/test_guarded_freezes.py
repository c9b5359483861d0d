"""A worker whose interpreter stands still, in real processes: what log, heartbeat row and `status` show."""

import os
import signal
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest
import trio

from guard.guarded_site import SABOTAGE, Line, Site, open_site, until
from tgworker.sandbox import Fault

pytestmark = pytest.mark.slow

LIFE = ["online", "stalled", "frozen", "restarting", "starting", "online"]
"""What the row may say of a worker that freezes and is replaced, in this order; it may skip what is brief."""


def is_subsequence(some: Sequence[str], of: Sequence[str]) -> bool:
    rest = iter(of)
    return all(one in rest for one in some)


def at(line: Line) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


async def test_code_that_stops_the_interpreter_is_named_and_the_worker_is_back(tmp_path: Path) -> None:
    async with open_site(tmp_path, accounts=2) as site, site.guard(program=SABOTAGE) as guard:
        bad, good = site.accounts
        await site.wait_online()
        for nth, (deed, where) in enumerate(
            [("sleep", "in sleep"), ("regex", "in regex"), ("deaf", None)], start=1
        ):
            pid = await guard.worker_pid(nth=nth)
            await site.wait_online(bad)  # it starts last, by and by
            site.do(bad, deed)
            frozen = await guard.line("worker is frozen", nth=nth)
            assert (frozen["worker_pid"], frozen["account"], frozen["level"]) == (pid, bad, "error")
            if where is None:
                row = await site.wait_row("frozen")  # for as long as it does not die
                assert not any(loop["alive"] for loop in row.loops_status.values())
                assert not guard.said("worker ended", worker_pid=pid)
            ended = await guard.line("worker ended", nth=nth)
            assert ended["reason"] == ("signal 9" if where is None else "signal 6")

            await site.wait_online(good, beyond=pid)
            status = await site.status()
            assert (status["answers"], status["pid"]) == (True, await guard.worker_pid(nth=nth + 1))
            if where is not None:
                assert status["last_freeze"]["file"] == ended["stacks"]
                assert where in status["last_freeze"]["stacks"]
                assert "sabotage_program.py" in status["last_freeze"]["stacks"]
            else:
                assert ended["stacks"] is None
        assert guard.said("worker ended")[0]["restart_in_s"] == 0, "the first time within the period"
        reasons = [line["reason"] for line in guard.said("account has frozen the worker", account=bad)]
        assert reasons[:2] == [None, "it starts last from now on"]
        assert str(reasons[2]).startswith("quarantined: it has frozen the worker, 3 faults in a row")
        await site.give(good, ["after all that"])
        await until(lambda: site.arrived(good) == ["after all that"])


async def test_a_worker_that_freezes_as_soon_as_it_has_opened_its_store_is_not_waited_for(
    tmp_path: Path,
) -> None:
    # Between two beats: those are a tenth of the limit apart, and the first one came before the store.
    async with open_site(tmp_path, freeze_after_s=3, TGWORKER_STATUS_BIND="127.0.0.1:0") as site:
        (account,) = site.accounts
        site.do(account, "sleep")
        async with site.guard(program=SABOTAGE) as guard:
            started, frozen = await guard.line("worker started"), await guard.line("worker is frozen")
            assert frozen["account"] == account
            assert at(frozen) - at(started) < 20, "not as long as opening may take"
            await site.wait_online()


async def test_a_stopped_worker_under_load_loses_nothing_and_the_row_tells_the_truth(tmp_path: Path) -> None:
    out = [f"out {number:03d}" for number in range(250)]
    inward = [f"in {number:03d}" for number in range(200)]

    async def talk(site: Site) -> None:
        me = site.sandbox.users[0]
        for text in inward:
            site.sandbox.send_text(site.peer.id, me.id, text)
            await trio.sleep(0.025)

    async with open_site(tmp_path, freeze_after_s=4, heartbeat_s=1) as site, site.guard() as guard:
        (account,) = site.accounts
        pid = (await site.wait_online())["pid"]
        await site.wait_row("online")
        site.sandbox.faults.set(Fault("delay", "messages.sendMessage", seconds=0.01))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(site.watch)
            nursery.start_soon(talk, site)
            await site.give(account, out)
            await until(lambda: len(site.arrived(account)) > 50)
            os.kill(pid, signal.SIGSTOP)
            stopped_at, before = time.time(), len(site.arrived(account))
            assert before < 200

            frozen = await guard.line("worker is frozen")
            assert (frozen["account"], frozen["worker_pid"]) == (None, pid), (
                "who stopped it is nobody's account"
            )
            assert 3 < at(frozen) - stopped_at < 8
            site.sandbox.faults.clear()
            await site.wait_online(beyond=pid)
            await until(lambda: len(site.arrived(account)) >= 250)
            await site.wait_row("online", beyond=site.seen[-1].row.seq)
            while len(await site.stored(account)) < 200:
                await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
        assert site.arrived(account) == out
        assert await site.stored(account) == inward

        statuses = site.statuses()
        assert is_subsequence(statuses, LIFE), statuses
        assert "stalled" in statuses, "the guard knew it before the verdict"
        oldest = max(site.seen, key=lambda seen: seen.row.age_s)
        assert oldest.row.age_s <= 1 + 2, oldest
        orders = [(seen.row.incarnation, seen.row.seq) for seen in site.seen]
        assert orders == sorted(orders)
        assert site.seen[-1].row.incarnation == site.seen[0].row.incarnation + 1

        freeze = (await site.status())["last_freeze"]
        assert "Current thread" in freeze["stacks"]
        assert "in run_worker" in freeze["stacks"]
        done = await site.command("status")
        assert f"process {pid}, all of it in {freeze['file']}" in done.stdout.decode()
