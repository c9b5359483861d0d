"""Fixtures of the local stack's tests: a small application's schema, and clients with each key."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from stack_kit import made_template
from tgworker.devstack import Cluster, Stack


@pytest.fixture(scope="session")
def database_template(shared_cluster: Cluster) -> str:
    return made_template(shared_cluster, "things", Path(__file__).with_name("things.sql"))


@pytest.fixture
async def bare(stack: Stack) -> AsyncGenerator[httpx.AsyncClient]:
    """A client without a key."""
    async with httpx.AsyncClient(base_url=stack.url, timeout=10) as client:
        yield client


@pytest.fixture
async def service(stack: Stack) -> AsyncGenerator[httpx.AsyncClient]:
    """A client as the worker is one: the JWT of ``service_role`` in both places."""
    key = stack.service_role_key
    headers = {"apikey": key, "authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=10) as client:
        yield client
