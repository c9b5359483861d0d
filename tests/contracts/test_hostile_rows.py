"""Whatever stands in the application's columns: nothing raises, nothing is lost, nobody reaches another."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from contracts.conftest import OpenKit
from contracts.hostile_rows import columns_of, rows
from contracts.hostile_world import HostileWorld

HEALTHY = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
NO_SHRINKING = [Phase.explicit, Phase.reuse, Phase.generate]
"""A database for each example costs too much: what fails is shown as it is."""
ROWS = 12
"""So many at most stand in one world."""


async def live_through(open_store_kit: OpenKit, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_store_kit(Path(folder) / "data") as kit:
            world = HostileWorld(kit)
            await world.prepare()
            for row in data.draw(st.lists(rows(columns_of(kit)), min_size=1, max_size=ROWS), label="rows"):
                world.write(row)
            world.ask()
            await world.work()
            world.check()


@pytest.mark.slow
@pytest.mark.parametrize("open_store_kit", ["embedded"], indirect=True)
@settings(max_examples=40, deadline=None, suppress_health_check=HEALTHY)
@given(data=st.data())
async def test_hostile_rows_stop_nothing_and_reach_nobody(
    open_store_kit: OpenKit, data: st.DataObject
) -> None:
    await live_through(open_store_kit, data)


@pytest.mark.slow
@pytest.mark.parametrize("open_store_kit", ["functions"], indirect=True)
@settings(max_examples=8, deadline=None, suppress_health_check=HEALTHY, phases=NO_SHRINKING)
@given(data=st.data())
async def test_nor_do_they_in_postgresql(open_store_kit: OpenKit, data: st.DataObject) -> None:
    await live_through(open_store_kit, data)
