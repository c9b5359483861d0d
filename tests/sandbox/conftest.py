"""Fixtures of the sandbox's tests."""

from collections.abc import AsyncGenerator

import pytest

from tgworker.sandbox import Sandbox, ServerKey, open_sandbox


@pytest.fixture(scope="session")
def server_key() -> ServerKey:
    return ServerKey.generate()


@pytest.fixture
async def sandbox(server_key: ServerKey) -> AsyncGenerator[Sandbox]:
    """Three users, no control connection."""
    async with open_sandbox(users=3, key=server_key) as sandbox:
        yield sandbox
