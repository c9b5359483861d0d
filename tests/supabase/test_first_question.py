"""What is asked first: a wrong key and another schema are one clear line, before anything is connected."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import trio

from stack_kit import Database
from supabase.stack_world import LIMITS, open_stack_world
from tgworker.devstack import Stack, sign
from tgworker.messaging.errors import StoreMismatch
from tgworker.messaging.events import StoreUnavailable
from tgworker.messaging.models import Secret
from tgworker.supabase import KeyUnusable, check_schema, open_rest
from tgworker.supabase.requests import CallRequests
from tgworker.vault import new_key

VERSION = (
    "create or replace function tgworker_schema() returns jsonb language sql as $$ select jsonb_build_object("
    "'version', {}, 'adopted', false, 'now', now(), 'advice', '[]'::jsonb) $$"
)


def token(role: str, expires_in_s: float) -> str:
    """A JWT of the project's."""
    return sign(role, expires_at=int(time.time() + expires_in_s))


@pytest.mark.slow
async def test_the_right_keys_are_answered(stack: Stack) -> None:
    for key in (stack.service_role_key, stack.keys.secret):
        async with open_rest(stack.url, Secret(key)) as rest:
            schema = await check_schema(rest)
            assert (schema.version, schema.adopted, schema.advice) == (1, False, [])


@pytest.mark.slow
async def test_a_key_that_would_be_answered_with_empty_lists_is_noticed(stack: Stack) -> None:
    wrong = {
        "anon": stack.anon_key,
        "publishable": stack.keys.publishable,
        "another project's": "sb_secret_of_another_project",
        "expired": token("service_role", -60),
        "authenticated": token("authenticated", 60),
        "nonsense": "a.b.c",
    }
    for name, key in wrong.items():
        async with open_rest(stack.url, Secret(key)) as rest:
            with pytest.raises(KeyUnusable, match=r"into SUPABASE_SERVICE_ROLE_KEY$") as caught:
                await check_schema(rest)
            assert "\n" not in str(caught.value), name
            assert key not in str(caught.value), name


@pytest.mark.slow
@pytest.mark.parametrize(("version", "remedy"), [(0, "tgworker migrate`"), (99, "upgrade tgworker")])
async def test_another_version_of_the_schema_is_refused_with_its_remedy(
    stack: Stack, database: Database, version: int, remedy: str
) -> None:
    await database.sql(VERSION.format(version))
    async with open_rest(stack.url, Secret(stack.service_role_key)) as rest:
        with pytest.raises(StoreMismatch, match=remedy):
            await check_schema(rest)


@pytest.mark.slow
async def test_a_database_without_our_schema_is_refused_with_its_remedy(
    stack: Stack, database: Database
) -> None:
    await database.sql("drop function tgworker_schema(); notify pgrst, 'reload schema'")
    async with open_rest(stack.url, Secret(stack.service_role_key)) as rest:

        async def ask_until_it_is_noticed() -> None:
            while True:  # PostgREST sees the change a moment later
                await check_schema(rest)
                await trio.sleep(0.05)

        with trio.fail_after(10), pytest.raises(StoreMismatch, match="run `python -m tgworker migrate`"):
            await ask_until_it_is_noticed()


def run(stack: Stack, folder: Path, key: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    environment = {
        "PATH": os.defpath,
        "SUPABASE_URL": stack.url,
        "SUPABASE_SERVICE_ROLE_KEY": key,
        "TELEGRAM_API_ID": "1",
        "TELEGRAM_API_HASH": "0" * 32,
        "ENCRYPTION_KEY": new_key().value,
        "TGWORKER_DATA_DIR": str(folder),
        "TGWORKER_STATUS_BIND": "off",
    }
    return subprocess.run(
        [sys.executable, "-m", "tgworker", *argv],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.slow
async def test_run_ends_with_2_for_a_key_and_with_3_for_a_schema(
    stack: Stack, database: Database, tmp_path: Path
) -> None:
    async def ran(key: str, *argv: str) -> subprocess.CompletedProcess[str]:
        return await trio.to_thread.run_sync(lambda: run(stack, tmp_path, key, *argv))

    wrong = await ran(token("service_role", -60), "run")
    lines = [line for line in wrong.stderr.splitlines() if line.startswith("tgworker: ")]
    assert wrong.returncode == 2
    assert len(lines) == 1
    assert "SUPABASE_SERVICE_ROLE_KEY" in lines[0]
    await database.sql(VERSION.format(99))
    newer = await ran(stack.keys.secret, "run", "--no-guard")
    assert newer.returncode == 3
    assert "upgrade tgworker" in newer.stderr
    listed = await ran(stack.keys.secret, "accounts", "list")
    assert listed.returncode == 3


@pytest.mark.slow
async def test_a_key_that_stops_being_valid_stops_nothing_for_good(stack: Stack, tmp_path: Path) -> None:
    """While somebody rotates keys the worker asks on, says what is wrong, and is well by itself."""
    async with open_stack_world(stack, tmp_path, limits=LIMITS) as world:
        rest = world.store._rest
        right = rest._requests
        wrong = httpx.AsyncClient(headers={"apikey": "a.b.c", "Authorization": "Bearer a.b.c"})
        rest._requests = CallRequests(stack.url, wrong)
        await wrong.aclose()
        world.give(world.peers[0])
        await trio.sleep(1.5)
        said = [event.reason for _, event in world.notes if isinstance(event, StoreUnavailable)]
        assert any("refuses the key" in reason for reason in said)
        rest._requests = right
        await world.settle_down(10)
