"""A worker dies while it takes what comes in; another one, elsewhere, goes on with what the store holds."""

from pathlib import Path

import psycopg
import pytest

from crashes.ground import Ground
from crashes.test_ingest_crashes import Scene
from tgworker.devstack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

OTHER = 8
"""Another guard's workers, on another machine: with a data folder of its own, and no memory of the first."""


async def test_another_worker_goes_on_where_the_dead_one_was(
    supabase_ground: Ground, stack: Stack, tmp_path: Path
) -> None:
    ground, scene = supabase_ground, Scene(supabase_ground)
    await scene.begin()
    scene.say("steps")
    steps = (await scene.life(catching_up=True)).steps
    ingesting = [step for step in steps if "Inbox.ingest" in step or "ingest" in step]
    scene.say("while nobody was there")
    # The call is on its way: nobody can say whether it will be carried out.
    assert (await scene.life(catching_up=True, die_before=ingesting[1])).killed
    scene.say("after the first died")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ground.arguments |= {"folder": str(elsewhere), "holder": OTHER}
    with psycopg.connect(stack.db_url) as connection:  # time passes: the dead worker's lease runs out
        connection.execute("update tgworker_leases set expires_at = now()")
    before = ground.sandbox.statistics().requests
    await scene.life()
    scene.agreed()
    # Whom it may address it knows from the first one: nobody is looked up.
    peer = ground.sandbox.users[1]
    life = await ground.victims.run(
        "crashes.send_scenario:send", to=str(peer.id), text="from the second", **ground.arguments
    )
    assert not life.killed
    after = ground.sandbox.statistics().requests
    for method in ("contacts.getContacts", "messages.getDialogs", "contacts.resolveUsername"):
        assert after.get(method, 0) == before.get(method, 0), method
    assert after["updates.getState"] == before["updates.getState"]  # it began from the stored position
    scene.agreed()
    assert ground.sent()[-1][1] == "from the second"
    with psycopg.connect(stack.db_url) as connection:
        assert connection.execute("select fence from tgworker_leases").fetchall()[0][0] > 1
