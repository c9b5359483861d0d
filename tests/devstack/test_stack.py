"""A whole stack: its parts killed, frozen and restarted under a client's eyes; its folders, its control."""

import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import httpx
import pytest
import trio

from tgworker.devstack import (
    Binaries,
    Cluster,
    FolderInUse,
    Folders,
    PartFailed,
    PortTaken,
    SqlFailed,
    Stack,
    Unfit,
    open_cluster,
    open_folders,
    open_stack,
    open_stack_on,
)

THINGS = Path(__file__).with_name("things.sql")
WHOAMI = "/rest/v1/rpc/whoami"


async def status(client: httpx.AsyncClient, *, timeout_s: float = 10) -> int:
    return (await client.post(WHOAMI, timeout=timeout_s)).status_code


async def impatient_status(client: httpx.AsyncClient) -> int | None:
    try:
        return await status(client, timeout_s=0.2)
    except httpx.ReadTimeout:
        return None


async def until_well(client: httpx.AsyncClient) -> None:
    with trio.fail_after(30):
        while await status(client) != 200:
            await trio.sleep(0.02)


@pytest.fixture
async def own(stack_binaries: Binaries) -> AsyncGenerator[Stack]:
    """A stack of the test's own, to be broken, with a control connection."""
    async with open_stack(stack_binaries, migrations=[THINGS], control_port=0) as stack:
        yield stack


@pytest.fixture
async def client(own: Stack) -> AsyncGenerator[httpx.AsyncClient]:
    headers = {"apikey": own.keys.secret}
    async with httpx.AsyncClient(base_url=own.url, headers=headers, timeout=10) as client:
        yield client


@pytest.mark.slow
async def test_postgrest_killed_frozen_restarted(own: Stack, client: httpx.AsyncClient) -> None:
    assert await status(client) == 200
    await own.postgrest.kill()
    assert not own.postgrest.is_alive()
    answer = await client.post(WHOAMI)
    assert (answer.status_code, answer.json()) == (503, {"message": "name resolution failed"})
    await own.postgrest.restart()
    assert await status(client) == 200

    own.postgrest.freeze()
    with pytest.raises(httpx.ReadTimeout):
        await status(client, timeout_s=0.3)
    own.postgrest.thaw()
    await until_well(client)

    first = own.postgrest.pid
    own.postgrest.freeze()
    await own.postgrest.restart()
    assert own.postgrest.pid != first
    assert await status(client) == 200


@pytest.mark.slow
async def test_an_answer_under_way_is_lost_with_postgrest(own: Stack, client: httpx.AsyncClient) -> None:
    answers: list[int] = []

    async def nap() -> None:
        answer = await client.post("/rest/v1/rpc/nap", json={"p_seconds": 5})
        answers.append(answer.status_code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(nap)
        await trio.sleep(0.3)
        await own.postgrest.kill()
    assert answers == [502]


@pytest.mark.slow
async def test_postgresql_killed_frozen_restarted(own: Stack, client: httpx.AsyncClient) -> None:
    assert await status(client) == 200
    await own.postgresql.kill()
    answers = [await client.post(WHOAMI) for _ in range(20)]
    # For a connection that it finds broken PostgREST 12 has a 400 with an empty code, or a 503 with 57P01.
    assert {each.status_code for each in answers} <= {400, 503}
    assert answers[-1].status_code == 503
    await own.postgresql.restart()
    await until_well(client)

    own.postgresql.freeze()
    with pytest.raises(httpx.ReadTimeout):
        await status(client, timeout_s=0.3)
    own.postgresql.thaw()
    await until_well(client)


@pytest.mark.slow
async def test_postgrest_that_boots_before_postgresql_gets_well(
    own: Stack, client: httpx.AsyncClient
) -> None:
    await own.postgrest.kill()
    await own.postgresql.kill()
    await own.postgrest.launch()
    statuses = {await impatient_status(client) for _ in range(4)}
    assert statuses <= {503, None}  # no socket yet, or it hangs
    assert own.postgrest.is_alive()
    await own.postgresql.restart()
    await until_well(client)


async def test_the_gateway_killed_frozen_restarted(stack: Stack, service: httpx.AsyncClient) -> None:
    assert await status(service) == 200
    url = stack.url
    await stack.gateway.kill()
    assert not stack.gateway.is_alive()
    with pytest.raises(httpx.ConnectError):
        await status(service)
    await stack.gateway.restart()
    assert stack.url == url
    assert await status(service) == 200

    stack.gateway.freeze()
    with pytest.raises(httpx.ReadTimeout):
        await status(service, timeout_s=0.2)
    stack.gateway.thaw()
    assert await status(service) == 200
    stack.gateway.freeze()
    await stack.gateway.restart()
    assert await status(service) == 200


@pytest.mark.slow
async def test_everything_is_switched_over_the_control_connection(
    own: Stack, client: httpx.AsyncClient
) -> None:
    assert own.control is not None
    async with httpx.AsyncClient(base_url=own.control, timeout=40) as control:
        parts = (await control.get("/parts")).json()
        assert parts == {name: {"alive": True} for name in ("postgresql", "postgrest", "gateway")}

        assert (await control.post("/parts/postgrest/kill")).json() == {"alive": False}
        assert await status(client) == 503
        assert (await control.post("/parts/postgrest/restart")).json() == {"alive": True}
        assert await status(client) == 200
        await control.post("/parts/postgresql/freeze")
        with pytest.raises(httpx.ReadTimeout):
            await status(client, timeout_s=0.3)
        await control.post("/parts/postgresql/thaw")
        await until_well(client)
        await control.post("/parts/gateway/kill")
        with pytest.raises(httpx.ConnectError):
            await status(client)
        await control.post("/parts/gateway/restart")
        assert await status(client) == 200

        fault = {"action": "error", "path": "/rest/*", "status": 503, "count": 3}
        assert (await control.post("/faults", json=fault)).json() == {"fault": 1}
        assert await status(client) == 503
        (listed,) = (await control.get("/faults")).json()
        assert (listed["id"], listed["hits"], listed["action"]) == (1, 1, "error")
        assert (await control.delete("/faults/1")).json() == {"cleared": 1}
        assert (await control.delete("/faults")).json() == {"cleared": 0}
        assert await status(client) == 200

        for method, path, body, code, said in (
            ("POST", "/faults", {"action": "explode"}, 400, "Invalid enum value 'explode'"),
            ("POST", "/faults", {"action": "cut", "count": 0}, 400, "count must be 1 or more"),
            ("POST", "/parts/mysql/kill", None, 404, "no part is called mysql: there are postgresql,"),
            ("POST", "/parts/gateway/hug", None, 404, "hug is none of kill, freeze"),
            ("GET", "/", None, 404, "no command is called GET /"),
        ):
            refused = await control.request(method, path, json=body)
            assert (refused.status_code, said in refused.json()["message"]) == (code, True), refused.text
        page = await control.post("/stop", headers={"origin": "https://example.com"})
        assert (page.status_code, own.stopped.is_set()) == (403, False)
        assert (await control.post("/stop")).status_code == 200
    await own.stopped.wait()


async def test_a_taken_port_is_said(stack: Stack, stack_binaries: Binaries, stack_folders: Folders) -> None:
    port = int(stack.gateway.address.rpartition(":")[2])
    with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 is taken: choose another with --port"):
        async with open_stack_on(
            stack.postgresql, stack_binaries, stack_folders, database=stack.database, port=port
        ):
            pytest.fail("two on one port")


async def test_what_fails_inside_comes_out_as_it_is(
    shared_cluster: Cluster, stack_binaries: Binaries, stack_folders: Folders
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_stack_on(shared_cluster, stack_binaries, stack_folders, database="template1"):
            _ = 1 / 0


# -------------------------------------------------------------------- folders


@pytest.fixture
def open_folder() -> Generator[Path]:
    """A folder that PostgreSQL's user may enter; pytest's own are closed to everybody but us."""
    folder = Path(tempfile.mkdtemp(prefix="tgworker-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
async def test_a_data_folder_keeps_rows_and_objects(open_folder: Path, stack_binaries: Binaries) -> None:
    data = open_folder / "data"
    more = open_folder / "20_more.sql"
    more.write_text("insert into notes (text) values ('from the second migration')")
    for migrations, count in (([THINGS], "2"), ([THINGS, more], "3"), ([THINGS, more], "3")):
        async with open_stack(stack_binaries, migrations=migrations, data_dir=data) as stack:
            assert await stack.postgresql.run_sql("select count(*) from notes") == count
            assert await stack.postgresql.run_sql("show fsync") == "on"
            headers = {"apikey": stack.keys.secret}
            async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=10) as client:
                if count == "2":
                    await client.post("/storage/v1/bucket", json={"name": "files"})
                    await client.post("/storage/v1/object/files/a", content=b"kept")
                assert (await client.get("/storage/v1/object/files/a")).content == b"kept"
            with pytest.raises(FolderInUse, match="another dev-stack runs on"), open_folders(data):
                pytest.fail("two on one folder")


async def test_a_migration_that_fails_is_named(stack_binaries: Binaries, tmp_path: Path) -> None:
    wrong = tmp_path / "10_wrong.sql"
    wrong.write_text("create table one (a int);\nbroken;\n")
    with pytest.raises(SqlFailed, match=r'10_wrong\.sql:2: ERROR: +syntax error at or near "broken"'):
        async with open_stack(stack_binaries, migrations=[wrong]):
            pytest.fail("it was applied")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the parts to another user")
def test_a_data_folder_that_postgresql_s_user_cannot_enter_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(Unfit, match=r"to whom .* is closed: choose a folder for --data-dir"),
        open_folders(tmp_path / "data"),
    ):
        pytest.fail("it was taken")


def test_a_temporary_folder_with_too_long_a_path_is_refused(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = open_folder / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(Unfit, match="too long a path for a Unix socket: set TMPDIR"), open_folders():
        pytest.fail("it was taken")
    assert list(deep.iterdir()) == []


async def test_a_postgresql_that_does_not_start_says_why(stack_binaries: Binaries) -> None:
    with open_folders() as folders:
        async with open_cluster(Cluster(stack_binaries.postgresql, folders)):
            pass
        folders.database.joinpath("PG_VERSION").write_text("9.0\n")
        with pytest.raises(PartFailed, match=r"PostgreSQL does not start: .*FATAL.* incompatible"):
            async with open_cluster(Cluster(stack_binaries.postgresql, folders)):
                pytest.fail("it started")


async def test_a_postgresql_whose_folder_cannot_be_made_says_why(stack_binaries: Binaries) -> None:
    with open_folders() as folders:
        folders.database.joinpath("left-over").touch()
        with pytest.raises(PartFailed, match=r"data folder cannot be made: .* exists but is not empty$"):
            async with open_cluster(Cluster(stack_binaries.postgresql, folders)):
                pytest.fail("it started")
