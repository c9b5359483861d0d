"""Real processes are killed and frozen under a whole worker: nothing is lost, nothing twice, all in order."""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
import trio

from supabase.stack_world import StackWorld, open_stack_world
from supabase_schema.rpc_kit import migrations
from tgworker.devstack import Binaries, Fault, Stack, open_stack

AWAY_S = 2.0
LONG_S = 30.0

Breaking = Callable[[Stack], Awaitable[None]]


@pytest.fixture
async def own_stack(stack_binaries: Binaries) -> AsyncGenerator[Stack]:
    """A stack that may be killed: what it has committed stays."""
    # (Not pytest's folder, which is closed to the user whom PostgreSQL runs as.)
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101
        data = Path(folder, "stack")
        async with open_stack(stack_binaries, migrations=migrations(), data_dir=data) as stack:
            yield stack


async def traffic(world: StackWorld) -> None:
    """People and the application write, as far as the database lets them."""
    while True:
        for peer in world.peers:
            world.tell(peer)
            with suppress(psycopg.OperationalError):  # the application could not write either
                await trio.to_thread.run_sync(world.give, peer)
        await trio.sleep(0.1)


async def kill_postgrest(stack: Stack) -> None:
    await stack.postgrest.kill()
    await trio.sleep(AWAY_S)
    await stack.postgrest.start()


async def kill_postgrest_for_long(stack: Stack) -> None:
    await stack.postgrest.kill()
    await trio.sleep(LONG_S)
    await stack.postgrest.start()


async def freeze_postgrest(stack: Stack) -> None:
    stack.postgrest.freeze()
    await trio.sleep(AWAY_S)
    stack.postgrest.thaw()


async def kill_postgresql(stack: Stack) -> None:
    await stack.postgresql.kill()
    await trio.sleep(AWAY_S)
    await stack.postgresql.start()


async def freeze_postgresql(stack: Stack) -> None:
    stack.postgresql.freeze()
    await trio.sleep(AWAY_S)
    stack.postgresql.thaw()


async def boot_postgrest_before_postgresql(stack: Stack) -> None:
    await stack.postgrest.kill()
    await stack.postgresql.kill()
    await stack.postgrest.launch()
    await trio.sleep(AWAY_S)
    await stack.postgresql.start()


async def terminate_connections(stack: Stack) -> None:
    for _ in range(10):
        await stack.postgresql.run_sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'authenticator'",
            user="supabase_admin",
        )
        await trio.sleep(AWAY_S / 10)


async def lock_a_table(stack: Stack) -> None:
    await stack.postgresql.run_sql(
        f"begin; lock table messages in access exclusive mode; select pg_sleep({AWAY_S}); commit"
    )


async def answer_errors(stack: Stack) -> None:
    fault = stack.faults.set(Fault("error", path="/rest/v1/*", status=502))
    await trio.sleep(AWAY_S)
    stack.faults.clear(fault)


async def lose_answers(stack: Stack) -> None:
    """Every answer is lost after the commit, of every function."""
    fault = stack.faults.set(Fault("lose_answer", path="/rest/v1/rpc/*"))
    await trio.sleep(AWAY_S)
    stack.faults.clear(fault)


BREAKINGS: tuple[Breaking, ...] = (
    kill_postgrest,
    kill_postgrest_for_long,
    freeze_postgrest,
    kill_postgresql,
    freeze_postgresql,
    boot_postgrest_before_postgresql,
    terminate_connections,
    lock_a_table,
    answer_errors,
    lose_answers,
)


@pytest.mark.slow
@pytest.mark.timeout(150)  # half a minute of it is the longest outage
@pytest.mark.parametrize("breaking", BREAKINGS, ids=lambda breaking: breaking.__name__)
async def test_nothing_is_lost_twice_or_out_of_order(
    own_stack: Stack, tmp_path: Path, breaking: Breaking
) -> None:
    async with open_stack_world(own_stack, tmp_path) as world:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(traffic, world)
            await trio.sleep(0.5)
            await breaking(own_stack)
            with trio.fail_after(40):  # that it takes its time is not our doing
                while not await own_stack.postgrest.is_ready():
                    await trio.sleep(0.02)
            # It resumes by itself: what a heartbeat was promised, and what its own deadline may hold it up.
            took_s = await world.wait_heartbeat(10)
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel(reason="enough was written")
        await world.settle_down(20)
        assert sum(map(len, world.given().values())) > 5
        assert took_s < 8, f"the heartbeat came back after {took_s:.1f} s"
