"""kill -9 at every step of a message job: nothing is left in processing, and no forward is doubled."""

import pytest

from crashes.ground import OWNER, Ground
from crashes.steps import READ

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DO = "crashes.job_scenario:do"
TRIES = 3


async def test_every_step_of_a_forward_on_the_embedded_store(embedded_ground: Ground) -> None:
    embedded_ground.sandbox.behave(repeats="original")
    await _die_at_every_step(embedded_ground)


async def test_every_step_of_a_forward_on_supabase(supabase_ground: Ground) -> None:
    supabase_ground.sandbox.behave(repeats="error")
    await _die_at_every_step(supabase_ground)


async def _die_at_every_step(ground: Ground) -> None:
    peer = ground.sandbox.users[1]
    await ground.send("hello", to=peer)
    (message,) = (row["id"] for row in ground.rows("messages") if row["text"] == "hello")
    job = {
        "owner_id": OWNER,
        "message_id": str(message),
        "action": "forward",
        "payload": {"to": str(peer.id)},
    }
    run = ground.victims.run
    steps = (await run(DO, job=job, **ground.arguments)).steps
    again = (await run(DO, job=job, **ground.arguments)).steps
    every = [step for step in steps if step in again]
    assert any("line._send: write to a socket" in step for step in every)
    jobs, missed = 2, list[str]()
    for step in every:
        for _ in range(TRIES):
            jobs += 1
            if (await run(DO, job=job, die_before=step, **ground.arguments)).killed:
                break
        else:
            missed.append(step)
    await run(DO, job=None, **ground.arguments)
    assert [step for step in missed if READ not in step] == []
    rows = ground.rows("message_jobs")
    assert len(rows) == jobs
    assert {(row["status"], row["error_message"]) for row in rows} == {("completed", None)}
    assert [text for _, text in ground.arrived(peer)] == ["hello"] * (1 + jobs)
    assert ground.rows("tgworker_job_claims") == []
