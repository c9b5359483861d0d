"""kill -9 amid a history: no message is lost or stored twice, and the job is completed by the next worker."""

from collections import Counter

import pytest

from crashes.ground import OWNER, Ground
from tgworker.sandbox import SandboxUser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

READ_HISTORY = "crashes.history_scenario:read"
LINES = 105
"""So many stand in each chat: more than a page of Telegram's."""
PAGES = 2
MOST_DEATHS = 30


def fill(ground: Ground, number: int) -> list[SandboxUser]:
    """Chats with the account that are older than its first line: nothing but a history tells of them."""
    me = ground.sandbox.users[0]
    people = [ground.sandbox.add_user() for _ in range(number)]
    for person in people:
        for line in range(LINES):
            ground.sandbox.send_text(*((person.id, me.id) if line % 3 else (me.id, person.id)), f"{line}")
    return people


async def test_a_history_on_the_embedded_store(embedded_ground: Ground) -> None:
    await _die_amid(embedded_ground, ("commit", "line._send: write to a socket", "end (1)"))


async def test_a_history_on_supabase(supabase_ground: Ground) -> None:
    await _die_amid(supabase_ground, ("rest._answered: writ", "end (1)"))


async def _die_amid(ground: Ground, moments: tuple[str, ...]) -> None:
    """Die before each step that has one of these words: between two of them nothing is done that stays."""
    people = fill(ground, 2 + MOST_DEATHS)
    jobs = ({"owner_id": OWNER, "telegram_id": str(one.id), "limit_messages": 500} for one in people)
    run = ground.victims.run
    steps, again = [(await run(READ_HISTORY, job=next(jobs), **ground.arguments)).steps for _ in range(2)]
    every = [step for step in steps if step in again and any(word in step for word in moments)]
    assert PAGES + 3 <= len(every) <= MOST_DEATHS
    lives = [await run(READ_HISTORY, job=next(jobs), die_before=step, **ground.arguments) for step in every]
    await run(READ_HISTORY, job=None, **ground.arguments)
    assert sum(life.killed for life in lives) > len(every) / 2  # (a step may not come again)
    asked = people[: 2 + len(every)]
    # Each once, and counted as new once: by whichever of two workers stored its page.
    found = [
        (row["status"], row["error_message"], row["messages_synced"])
        for row in ground.rows("sync_history_jobs")
    ]
    assert found == [("completed", None, LINES)] * len(asked)
    stored = Counter(
        (str(row["conversation_id"]), row["external_message_id"]) for row in ground.rows("messages")
    )
    assert max(stored.values()) == 1
    me = ground.sandbox.users[0]
    ids = [str(line.id) for one in asked for line in ground.sandbox.chat(me.id, one.id)]
    assert sorted(ids) == sorted(external for _, external in stored)
    assert ground.rows("tgworker_job_claims") == []
