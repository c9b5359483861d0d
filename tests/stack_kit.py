"""The local stack for tests: one PostgreSQL for the whole session, a fresh database for each test.

`tests/conftest.py` offers the fixtures to every room. Where the programs are missing, tests that ask for them
are skipped, loudly; in CI they fail. `scripts/test` and `.ci/run` fetch what is missing beforehand.
"""

import os
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from tgworker.cli.dev_stack import places
from tgworker.devstack import (
    Binaries,
    BinaryMissing,
    Cluster,
    Folders,
    Places,
    Stack,
    open_folders,
    open_stack_on,
)


@dataclass(frozen=True, slots=True)
class Database:
    """A database of one test, with what Supabase prepares in it and nothing else.

    Attributes:
        cluster: The PostgreSQL that it is in; shared by all tests: do not kill it.
        name: Its name.
    """

    cluster: Cluster
    name: str

    @property
    def url(self) -> str:
        """For clients (psycopg, `SUPABASE_DB_URL`), as ``postgres``, who runs migrations on Supabase."""
        return self.cluster.url(self.name)

    async def sql(self, sql: str, *, user: str = "postgres") -> str:
        """Run SQL; returns the rows, one line each, fields split by ``|``."""
        return await self.cluster.run_sql(sql, user=user, database=self.name)

    async def apply(self, *files: Path) -> None:
        """Run files of SQL in this order, as migrations are."""
        for file in files:
            await self.cluster.run_file(file, database=self.name)


def find_binaries(where: Places, *, ci: bool) -> Binaries:
    """PostgreSQL and PostgREST; without them a test is skipped, but in CI it fails."""
    try:
        return where.find()
    except BinaryMissing as error:
        if ci:
            pytest.fail(f"CI must have the local stack: {error}", pytrace=False)
        pytest.skip(f"NOT TESTED against PostgreSQL: {error}")


@pytest.fixture(scope="session")
def stack_binaries() -> Binaries:
    """PostgreSQL and PostgREST."""
    return find_binaries(places(), ci=os.environ.get("CI") == "true")


@pytest.fixture(scope="session")
def stack_folders() -> Generator[Folders]:
    """The folders of the session's stack."""
    with open_folders() as folders:
        yield folders


@pytest.fixture(scope="session")
def shared_cluster(stack_binaries: Binaries, stack_folders: Folders) -> Generator[Cluster]:
    """A PostgreSQL for all tests of the session."""
    cluster = Cluster(stack_binaries.postgresql, stack_folders)
    try:
        trio.run(cluster.start)
        yield cluster
    finally:
        trio.run(cluster.close)


@pytest.fixture(scope="session")
def database_template() -> str:
    """What each test's database is a copy of: what Supabase prepares, and nothing else.

    A room that wants its schema in every test overrides this in its conftest with `made_template`.
    """
    return "postgres"


def made_template(cluster: Cluster, name: str, *files: Path) -> str:
    """Make a database to copy from, with files of SQL applied once; returns its name."""

    async def make() -> None:
        await cluster.create_database(name)
        for file in files:
            await cluster.run_file(file, database=name)

    trio.run(make)
    return name


@pytest.fixture
async def database(shared_cluster: Cluster, database_template: str) -> AsyncGenerator[Database]:
    """A fresh database; it is dropped after the test."""
    name = f"test_{os.urandom(6).hex()}"
    await shared_cluster.create_database(name, template=database_template)
    try:
        yield Database(shared_cluster, name)
    finally:
        with trio.CancelScope(shield=True):
            await shared_cluster.drop_database(name)


@pytest.fixture
async def stack(
    database: Database, stack_binaries: Binaries, stack_folders: Folders
) -> AsyncGenerator[Stack]:
    """PostgREST and a gateway on the test's database.

    PostgREST sees changes of the schema a moment later only: better that it is in the template.
    """
    async with open_stack_on(
        database.cluster, stack_binaries, stack_folders, database=database.name
    ) as stack:
        yield stack
