"""The short form of ``scripts/prove-claims``, and the proof that its judge sees what it is there for."""

from random import Random

import pytest
import trio

from supabase.claimers import Plan, prove
from supabase.judge import Judge
from tgworker.devstack import Binaries
from tgworker.messaging.outcomes import Outcome, Sent


@pytest.mark.slow
async def test_no_claim_breaks_a_promise_while_postgrest_is_killed(stack_binaries: Binaries) -> None:
    plan = Plan(chats=40, messages=800, per_s=400, kill_every_s=2.5, away_s=0.4, within_s=90)
    found = await prove(plan, stack_binaries)
    assert found.ok, vars(found)
    assert found.messages == 800
    assert found.kills >= 3
    # It was no walk in the park.
    assert found.answers_lost_on_purpose > 0
    assert found.claimers_died > 0
    assert found.repeated_sends > 0
    assert any(what.startswith("tgworker_tick") for what in found.failed_requests)


class Certain(Random):
    """Everything goes well, and at once."""

    def random(self) -> float:
        return 0.5

    def uniform(self, a: float, b: float) -> float:
        return 0.0


async def test_the_judge_takes_a_repeat_for_the_same_message() -> None:
    judge = Judge(Certain())
    outcomes = [await judge.take(7, "000001", random_id=11) for _ in range(2)]
    assert outcomes == [Sent(1), Sent(1)]
    assert (judge.texts[7], judge.repeats, judge.violations) == (["000001"], 1, [])


async def test_the_judge_sees_a_message_under_two_random_ids() -> None:
    judge = Judge(Certain())
    for random_id in (11, 12):
        await judge.take(7, "000001", random_id)
    assert judge.violations == ["000001 was sent twice, under two random ids"]


async def test_the_judge_sees_a_message_that_overtook_another_of_its_chat() -> None:
    judge = Judge(Certain())
    await judge.take(7, "000002", 12)
    await judge.take(8, "000000", 13)
    assert judge.violations == []
    await judge.take(7, "000001", 11)
    assert judge.violations == ["000001 came after 000002 in chat 7"]


async def test_the_judge_sees_two_of_a_chat_in_flight_and_forgets_those_of_the_dead(
    autojump_clock: trio.testing.MockClock,
) -> None:
    judge = Judge(Random(1))
    outcomes: list[Outcome] = []

    async def send(text: str, random_id: int) -> None:
        outcomes.append(await judge.take(7, text, random_id))

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(0):
            await judge.take(7, "000000", 10)  # its sender dies
        nursery.start_soon(send, "000001", 11)
        await trio.testing.wait_all_tasks_blocked()
        assert judge.violations == []
        nursery.start_soon(send, "000002", 12)
    assert judge.violations[0] == "000002 and 000001 in flight in chat 7 at a time"
