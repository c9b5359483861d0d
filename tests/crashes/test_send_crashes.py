"""kill -9 at every step of a send, and at every step of finishing one: one copy, and both sides agree."""

from collections.abc import Sequence

import pytest

from crashes.ground import Ground
from tgworker.sandbox import SandboxUser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TRIES = 3
"""A step that does not come again (tasks may run in another order) is asked for so often."""


async def test_every_step_of_a_send_on_the_embedded_store(embedded_ground: Ground) -> None:
    embedded_ground.sandbox.behave(repeats="original")
    await _die_at_every_step(embedded_ground)


async def test_every_step_of_a_send_on_supabase(supabase_ground: Ground) -> None:
    supabase_ground.sandbox.behave(repeats="error")
    await _die_at_every_step(supabase_ground)


async def _die_at_every_step(ground: Ground) -> None:
    peer = ground.sandbox.users[1]
    await ground.send("the chat is found", to=peer)
    steps = (await ground.send("the steps are named", to=peer)).steps
    again = (await ground.send("those that come every time", to=peer)).steps
    every = [step for step in steps if step in again]
    assert any("claims.claim" in step or "turns.turn" in step or "outbox._take" in step for step in every)
    assert any("line._send: write to a socket" in step for step in every)
    missed = [step for step in every if not await _die_before(ground, step, peer)]
    await ground.send(None, to=peer)
    # (In how many pieces an answer comes is the network's affair.)
    assert [step for step in missed if "read from a socket" not in step] == []
    assert ground.sent() == ground.arrived(peer)
    assert len(ground.sent()) >= len(every)


async def _die_before(ground: Ground, step: str, to: SandboxUser) -> bool:
    for number in range(1, TRIES + 1):
        if (await ground.send(f"{step}, {number}", to=to, die_before=step)).killed:
            return True
    return False


async def test_every_step_of_a_first_message_to_somebody(embedded_ground: Ground) -> None:
    """Finding him comes before the send: steps that a later message does not take."""
    ground = embedded_ground
    known = ground.sandbox.users[1]
    await ground.send("the chat is found", to=known)
    usual = set((await ground.send("the steps are named", to=known)).steps)
    peers = [known, ground.sandbox.add_user()]
    for step in (await ground.send("hello", to=peers[1])).steps:
        if step not in usual:
            peers.append(ground.sandbox.add_user())
            await ground.send(f"hello, {step}", to=peers[-1], die_before=step)
    await ground.send(None, to=known)
    assert len(peers) > 5
    assert sorted(ground.sent()) == sorted(ground.arrived(*peers))


async def test_every_step_of_finishing_a_send_that_telegram_has(embedded_ground: Ground) -> None:
    await _die_while_finishing(embedded_ground)


async def test_every_step_of_finishing_it_on_supabase(supabase_ground: Ground) -> None:
    """Of those about messages: a worker asks much else when it starts, and each run costs half a second."""
    await _die_while_finishing(supabase_ground, about=("turns.", "ingest.", "line._send"))


async def _die_while_finishing(ground: Ground, about: Sequence[str] = ("",)) -> None:
    ground.sandbox.behave(repeats="error")
    peer = ground.sandbox.users[1]
    await ground.send("the chat is found", to=peer)
    answered = _answer((await ground.send("the steps are named", to=peer)).steps)
    await ground.send("a mess", to=peer, die_before=answered)
    steps = (await ground.send(None, to=peer, recovery=True)).steps
    steps = tuple(step for step in steps if any(one in step for one in about))
    assert steps
    killed = 0
    for step in steps:
        await ground.send(f"mess, {step}", to=peer, die_before=answered)
        killed += (await ground.send(None, to=peer, die_before=step, recovery=True)).killed
    await ground.send(None, to=peer)
    assert killed > 0.8 * len(steps)  # (a step of a busy moment may not come again)
    assert ground.sent() == ground.arrived(peer)
    assert len(ground.sent()) > 0.8 * len(steps)


def _answer(steps: tuple[str, ...]) -> str:
    """The step before which Telegram has the message for certain, and the worker does not know it."""
    written = next(n for n, step in enumerate(steps) if "line._send: written to a socket" in step)
    return next(step for step in steps[written:] if "read from a socket" in step)
