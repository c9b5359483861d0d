"""Every test here runs against each store; the Supabase store joins the list when it is built."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from contracts.store_kit import OWNER, Inbox, StoreKit
from embedded.embedded_kit import open_kit
from stack_kit import made_template
from supabase_schema.rpc_kit import CLOCK, migrations, open_rpc_kit
from tgworker.devstack import Cluster

OpenKit = Callable[[Path], AbstractContextManager[StoreKit]]


@pytest.fixture(scope="session")
def contract_template(shared_cluster: Cluster) -> str:
    loose = Path(__file__).with_name("loose.sql")
    return made_template(shared_cluster, "contracts", *migrations(), CLOCK, loose)


@pytest.fixture(params=["embedded", "functions"])
def open_store_kit(request: pytest.FixtureRequest) -> OpenKit:
    """Opens a fresh store on a path that does not exist yet.

    ``functions`` is the SQL of the Supabase store, called without HTTP.
    """
    if request.param == "embedded":
        return open_kit
    cluster: Cluster = request.getfixturevalue("shared_cluster")
    open_database = partial(open_rpc_kit, cluster, request.getfixturevalue("contract_template"))
    return lambda _path: open_database()


@pytest.fixture
def kit(open_store_kit: OpenKit, tmp_path: Path) -> Generator[StoreKit]:
    with open_store_kit(tmp_path / "data") as kit:
        yield kit


@pytest.fixture
async def inbox(kit: StoreKit) -> Inbox:
    account = await kit.store.add_account("ada", OWNER, "token", user_id=1, phone="+44 20 7946 0000")
    return Inbox(kit, account)
