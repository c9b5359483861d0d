"""Every test here runs against each store; the Supabase store joins the list when it is built."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from contracts.store_kit import OWNER, Inbox, StoreKit
from embedded.embedded_kit import open_kit

OpenKit = Callable[[Path], AbstractContextManager[StoreKit]]

STORES: dict[str, OpenKit] = {"embedded": open_kit}


@pytest.fixture(params=STORES)
def open_store_kit(request: pytest.FixtureRequest) -> OpenKit:
    """Opens a fresh store on a path that does not exist yet."""
    return STORES[request.param]


@pytest.fixture
def kit(open_store_kit: OpenKit, tmp_path: Path) -> Generator[StoreKit]:
    with open_store_kit(tmp_path / "data") as kit:
        yield kit


@pytest.fixture
async def inbox(kit: StoreKit) -> Inbox:
    account = await kit.store.add_account("ada", OWNER, "token", user_id=1, phone="+44 20 7946 0000")
    return Inbox(kit, account)
