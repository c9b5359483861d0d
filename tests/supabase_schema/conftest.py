"""Databases with the migrations in them, one for each test."""

from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from contracts.store_kit import Calendar
from stack_kit import made_template
from supabase_schema.rpc_kit import CLOCK, migrations, open_database
from supabase_schema.world import World
from tgworker.devstack import Cluster


@pytest.fixture(scope="session")
def database_template(shared_cluster: Cluster) -> str:
    return made_template(shared_cluster, "schema", *migrations(), CLOCK)


@pytest.fixture(scope="session")
def inbox_template(shared_cluster: Cluster) -> str:
    """An application's database before there was a worker of this kind."""
    return made_template(shared_cluster, "inbox", Path(__file__).with_name("inbox.sql"))


@pytest.fixture
def world(shared_cluster: Cluster, database_template: str) -> Generator[World]:
    """An empty database with the migrations, on the server's clock."""
    with open_database(shared_cluster, database_template) as url, ExitStack() as stack:
        yield World(url, stack)


@pytest.fixture
def timed(shared_cluster: Cluster, database_template: str) -> Generator[World]:
    """The same, on a calendar that the test moves."""
    with open_database(shared_cluster, database_template) as url, ExitStack() as stack:
        yield World(url, stack, Calendar())
