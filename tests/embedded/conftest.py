"""The embedded store on a temporary path, inline."""

from collections.abc import Generator
from pathlib import Path

import pytest

from embedded.embedded_kit import EmbeddedKit, open_kit
from tgworker.embedded import EmbeddedStore


@pytest.fixture
def kit(tmp_path: Path) -> Generator[EmbeddedKit]:
    with open_kit(tmp_path / "data") as kit:
        yield kit


@pytest.fixture
def store(kit: EmbeddedKit) -> EmbeddedStore:
    return kit.store
