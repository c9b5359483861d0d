"""Every test here runs against each store: the embedded one, the Supabase store, and its SQL alone."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from contracts.store_kit import OWNER, Inbox, StoreKit
from embedded.embedded_kit import open_kit
from stack_kit import made_template
from supabase.postgrest_kit import CLOCK as POSTGREST_CLOCK
from supabase.postgrest_kit import open_postgrest_kit
from supabase_schema.rpc_kit import CLOCK, migrations, open_rpc_kit
from tgworker.devstack import Cluster

OpenKit = Callable[[Path], AbstractAsyncContextManager[StoreKit]]

LOOSE = Path(__file__).with_name("loose.sql")


@pytest.fixture(scope="session")
def contract_template(shared_cluster: Cluster) -> str:
    return made_template(shared_cluster, "contracts", *migrations(), CLOCK, LOOSE)


@pytest.fixture(scope="session")
def postgrest_template(shared_cluster: Cluster) -> str:
    return made_template(shared_cluster, "contracts_rest", *migrations(), POSTGREST_CLOCK, LOOSE)


@pytest.fixture(params=["embedded", "functions", pytest.param("supabase", marks=pytest.mark.slow)])
def open_store_kit(request: pytest.FixtureRequest) -> OpenKit:
    """Opens a fresh store on a path that does not exist yet.

    ``supabase`` is the whole store, over PostgREST; ``functions`` is its SQL, called without HTTP.
    """
    if request.param == "embedded":
        return lambda path: _opened(open_kit(path))
    ask = request.getfixturevalue
    if request.param == "functions":
        open_functions = partial(open_rpc_kit, ask("shared_cluster"), ask("contract_template"))
        return lambda _path: _opened(open_functions())
    open_stack = partial(
        open_postgrest_kit,
        ask("shared_cluster"),
        ask("postgrest_template"),
        ask("stack_binaries"),
        ask("stack_folders"),
    )
    return lambda _path: open_stack()


@asynccontextmanager
async def _opened(context: AbstractContextManager[StoreKit]) -> AsyncGenerator[StoreKit]:
    with context as kit:
        yield kit


@pytest.fixture
async def kit(open_store_kit: OpenKit, tmp_path: Path) -> AsyncGenerator[StoreKit]:
    async with open_store_kit(tmp_path / "data") as kit:
        yield kit


@pytest.fixture
async def inbox(kit: StoreKit) -> Inbox:
    account = await kit.store.add_account("ada", OWNER, "token", user_id=1, phone="+44 20 7946 0000")
    return Inbox(kit, account)
