"""Both stores, each with Telegram beside it."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from crashes.ground import Ground, open_embedded_ground, open_supabase_ground
from stack_kit import made_template
from supabase_schema.rpc_kit import migrations
from tgworker.devstack import Cluster, Stack


@pytest.fixture(scope="session")
def database_template(shared_cluster: Cluster) -> str:
    return made_template(shared_cluster, "crashes", *migrations())


@pytest.fixture
async def embedded_ground(tmp_path: Path) -> AsyncGenerator[Ground]:
    async with open_embedded_ground(tmp_path) as ground:
        yield ground


@pytest.fixture
async def supabase_ground(tmp_path: Path, stack: Stack) -> AsyncGenerator[Ground]:
    async with open_supabase_ground(tmp_path, stack) as ground:
        yield ground
