"""Databases with the migrations in them."""

import pytest

from stack_kit import made_template
from supabase_schema.rpc_kit import migrations
from tgworker.devstack import Cluster


@pytest.fixture(scope="session")
def database_template(shared_cluster: Cluster) -> str:
    return made_template(shared_cluster, "adapter", *migrations())
