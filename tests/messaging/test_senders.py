"""How many senders there are, when."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from messaging.messaging_fakes import ANNA, attempt
from tgworker.messaging.desk import Desk
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.senders import Take, run_senders


@asynccontextmanager
async def crew(
    most: int, seconds: Callable[[str], float]
) -> AsyncGenerator[tuple[Dispatch, Desk, list[tuple[float, str]], set[int]]]:
    """Senders for which each attempt takes so long; what they sent, and which of them there are."""
    dispatch, sent, there = Dispatch(), list[tuple[float, str]](), set[int]()
    with dispatch.open_desk(ANNA) as desk:

        async def send(take: Take) -> None:
            there.add(me := id(take) + len(there) + len(sent))
            while (one := await take()) is not None:
                await trio.sleep(seconds(one.text))
                sent.append((trio.current_time(), one.text))
            there.discard(me)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_senders, desk, most, send)
            await trio.testing.wait_all_tasks_blocked()
            yield dispatch, desk, sent, there
            nursery.cancel_scope.cancel()


async def test_an_idle_account_has_one_sender_and_a_busy_one_as_many_as_it_may(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with crew(3, lambda _: 1) as (dispatch, desk, sent, there):
        assert len(there) == 1
        dispatch.hand_over([attempt(f"{number}", text=f"{number}") for number in range(7)])
        await trio.sleep(0.5)
        assert len(there) == 3
        await trio.sleep(10)
        assert [at for at, _ in sent] == [1, 1, 1, 2, 2, 2, 3]  # three at a time, and nobody waits in vain
        assert sorted(text for _, text in sent) == [f"{number}" for number in range(7)]
        assert (len(there), desk.queued) == (1, 0)


async def test_what_is_handed_over_together_is_taken_together(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with crew(20, lambda _: 1) as (dispatch, desk, _, there):
        dispatch.hand_over([attempt(f"{number}", text=f"{number}") for number in range(20)])
        for _ in range(4):  # steps of the loop, however many there are
            await trio.lowlevel.checkpoint()
        assert (len(there), desk.queued) == (20, 0)


async def test_a_slow_one_holds_nobody_up(autojump_clock: trio.testing.MockClock) -> None:
    async with crew(2, lambda text: 100 if text == "slow" else 1) as (dispatch, _, sent, there):
        dispatch.hand_over([attempt("a", text="slow"), attempt("b", text="1"), attempt("c", text="2")])
        await trio.sleep(5)
        assert [text for _, text in sent] == ["1", "2"]
        assert len(there) == 2  # one is busy, one waits
        await trio.sleep(200)
        assert len(there) == 1


@pytest.mark.parametrize("most", [1, 2, 20])
async def test_attempts_that_come_one_by_one_are_all_sent(
    autojump_clock: trio.testing.MockClock, most: int
) -> None:
    async with crew(most, lambda _: 0.1) as (dispatch, _, sent, there):
        for number in range(50):
            dispatch.hand_over([attempt(f"{number}", text=f"{number}")])
            await trio.sleep(0.05 * (number % 5))
        await trio.sleep(60)
        assert len(sent) == 50
        assert len(there) == 1
