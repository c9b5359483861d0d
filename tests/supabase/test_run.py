"""``run`` as people start it, on a real stack: the guard, its worker, their heartbeats and leases."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import trio

from stack_kit import Database
from supabase.stack_world import OWNER
from tgworker.devstack import Stack
from tgworker.messaging.models import AccountId, Secret
from tgworker.sandbox import Sandbox, open_sandbox
from tgworker.supabase import Holder, SupabaseLeases, SupabaseStore, open_rest
from tgworker.vault import FernetVault, new_key

HEARTBEAT = "select status, incarnation from worker_heartbeats where worker_id = 'run'"
LEASE = "select fence, holder is not null from tgworker_leases"


def environment_of(stack: Stack, sandbox: Sandbox, folder: Path, key: Secret) -> dict[str, str]:
    key_file = folder / "server.pem"
    key_file.write_text(sandbox.public_key_pem)
    return {
        "PATH": os.defpath,
        "SUPABASE_URL": stack.url,
        "SUPABASE_SERVICE_ROLE_KEY": stack.keys.secret,
        "TGWORKER_PACING": "off",
        "TGWORKER_TELEGRAM_SERVER": f"{sandbox.host}:{sandbox.port}",
        "TGWORKER_TELEGRAM_SERVER_KEY": str(key_file),
        "TGWORKER_TELEGRAM_DC": str(sandbox.dc),
        "TGWORKER_DATA_DIR": str(folder / "data"),
        "TGWORKER_WORKER_ID": "run",
        "TGWORKER_HEARTBEAT_S": "0.5",
        "TGWORKER_STATUS_BIND": "off",
        "ENCRYPTION_KEY": key.value,
    }


@asynccontextmanager
async def running(environment: dict[str, str], folder: Path) -> AsyncGenerator[trio.Process]:
    """A guard and its worker; both are gone afterwards."""
    with open(folder / "log", "wb") as log:  # noqa: ASYNC230, PTH123
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "tgworker", "run"], env=environment, cwd=folder, stderr=log
        )
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            process.terminate()
            with trio.move_on_after(20):
                await process.wait()
            if process.returncode is None:
                process.kill()


async def until(condition: Callable[[str], bool], database: Database, sql: str, within_s: float = 20) -> str:
    """Wait until the database says so; returns what it said."""
    said = ""
    with trio.move_on_after(within_s):
        while not condition(said := await database.sql(sql)):
            await trio.sleep(0.05)
        return said
    raise AssertionError(f"{sql} says {said!r}")


def worker_of(guard: trio.Process) -> int:
    found = subprocess.run(
        ["pgrep", "-P", str(guard.pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(found.stdout.split()[0])


@pytest.mark.slow
async def test_a_worker_that_is_killed_is_followed_by_one_that_has_its_accounts_at_once(
    stack: Stack, database: Database, tmp_path: Path
) -> None:
    key = new_key()
    async with open_sandbox(users=2) as sandbox, open_rest(stack.url, Secret(stack.keys.secret)) as rest:
        me, peer = sandbox.users
        nobody = SupabaseLeases(rest, Holder(uuid4(), 1, "test"), clock=trio.current_time)
        store = SupabaseStore(rest, nobody)
        account = await store.add_account("me", OWNER, FernetVault([key]).encrypt(me.session), user_id=me.id)

        async def deliver(*texts: str) -> None:
            await store.enqueue(AccountId(account), str(peer.id), texts)
            with trio.fail_after(20):
                while True:
                    chat = sandbox.chat(peer.id, me.id)
                    if [line.text for line in chat if not line.outgoing][-len(texts) :] == list(texts):
                        return
                    await trio.sleep(0.02)

        environment = environment_of(stack, sandbox, tmp_path, key)
        async with running(environment, tmp_path) as guard:
            before = await until(lambda said: said.startswith("online"), database, HEARTBEAT)
            await deliver("one", "two")
            assert await database.sql(LEASE) == "1|t"

            os.kill(worker_of(guard), signal.SIGKILL)
            killed_at = trio.current_time()
            # The next worker's heartbeats count as newer than the last one's, and than its guard's.
            after = await until(
                lambda said: said.startswith("online") and said != before, database, HEARTBEAT
            )
            assert int(after.partition("|")[2]) > int(before.partition("|")[2])
            # The same holder: the lease, of which most of a minute was left, is there at once, with the next
            # token.
            assert await database.sql(LEASE) == "2|t"
            await deliver("three", "four")
            assert trio.current_time() - killed_at < 45

            guard.terminate()
            with trio.fail_after(20):
                assert await guard.wait() == 0
        assert (await database.sql(HEARTBEAT)).startswith("offline")
        assert await database.sql(LEASE) == "2|f"
        texts = [line.text for line in sandbox.chat(peer.id, me.id) if not line.outgoing]
        assert texts == ["one", "two", "three", "four"]
