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

from guard.guarded_site import Line, open_site, until

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


async def test_no_store_that_is_away_delays_the_restart_of_a_frozen_worker(tmp_path: Path) -> None:
    with black_hole() as url:
        async with (
            open_site(
                tmp_path, freeze_after_s=2, SUPABASE_URL=url, SUPABASE_SERVICE_ROLE_KEY="sb_secret_test"
            ) as site,
            site.guard() as guard,
        ):
            (account,) = site.accounts
            pid = (await site.wait_online())["pid"]
            await site.wait_row("online")
            with locked(site.data.database):
                with locked(site.data.heartbeats):
                    os.kill(pid, signal.SIGSTOP)
                    frozen = await guard.line("worker is frozen")
                    ended = await guard.line("worker ended")
                    forked = await guard.line("worker forked", nth=2)
                    assert at(ended) - at(frozen) < 1.5
                    assert at(forked) - at(ended) < 1
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
            assert await guard.end() == 0, "nor does it keep the guard from ending"
