"""A worker that freezes while its stores are away: nothing delays its replacement."""

import os
import signal
import socket
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest
import trio

from guard.guarded_site import Guard, Line, open_site, until

pytestmark = pytest.mark.slow


@contextmanager
def locked(database: Path) -> Generator[None]:
    with closing(sqlite3.connect(database, isolation_level=None, timeout=10)) as other:
        other.execute("begin exclusive")
        yield
        other.execute("rollback")


@contextmanager
def black_hole() -> Generator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def at(line: Line) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()


async def replaced_promptly(guard: Guard) -> None:
    """The worker that was just stopped is dead, and another one forked, without waiting for anybody."""
    frozen = await guard.line("worker is frozen")
    ended = await guard.line("worker ended")
    forked = await guard.line("worker forked", nth=2)
    assert at(ended) - at(frozen) < 2
    assert at(forked) - at(ended) < 1


async def test_a_locked_store_delays_no_restart_and_is_waited_for_by_the_new_worker(tmp_path: Path) -> None:
    async with open_site(tmp_path) as site, site.guard() as guard:
        (account,) = site.accounts
        pid = (await site.wait_online())["pid"]
        await site.wait_row("online")
        with locked(site.data.database):
            with locked(site.data.heartbeats):
                os.kill(pid, signal.SIGSTOP)
                await replaced_promptly(guard)
            # The store is still away: the new worker waits for it, alive, and the guard says so.
            row = await site.wait_row("starting")
            await site.wait_row("starting", beyond=row.seq)
            status = await site.status()
            assert (status["answers"], status["heartbeat"]["status"]) == (False, "starting")
            assert "Current thread" in status["last_freeze"]["stacks"]
            assert len(guard.said("worker is frozen")) == 1
        await site.wait_online(beyond=pid)
        await site.wait_row("online")
        await site.give(account, ["after the outage"])
        await until(lambda: site.arrived(account) == ["after the outage"])
        assert not guard.said("worker forked", restarts=2)


async def test_a_supabase_that_does_not_answer_delays_neither_a_restart_nor_the_end(tmp_path: Path) -> None:
    with black_hole() as url:
        supabase = {"SUPABASE_URL": url, "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_test"}
        async with open_site(tmp_path, accounts=0) as site, site.guard(env=supabase) as guard:
            await site.wait_row("starting")  # the guard says so: its own heartbeats to Supabase hang
            os.kill(await guard.worker_pid(), signal.SIGSTOP)
            await replaced_promptly(guard)
            row = await site.wait_row("starting")
            await site.wait_row("starting", beyond=row.seq)
            began_s = trio.current_time()
            assert await guard.end() == 0
            assert trio.current_time() - began_s < 10
            await site.wait_row("offline")
