"""Fixtures of the Telegram adapter's tests."""

import pytest

from tgworker.telegram import install_wait_for


@pytest.fixture(scope="session", autouse=True)
def _safe_wait_for() -> None:
    """What the composition root does before it opens a connection."""
    install_wait_for()
