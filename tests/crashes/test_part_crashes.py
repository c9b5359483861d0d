"""kill -9 at every step of a text that takes several messages: every part once, in order, none left out."""

import pytest

from crashes.ground import Ground
from crashes.steps import READ

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PARTS = 3
TRIES = 3


def long_text(name: str) -> str:
    """A text of three messages."""
    return "\n\n".join(f"{number} {name} " + "x" * 3000 for number in range(PARTS))


async def test_every_step_of_three_parts_on_the_embedded_store(embedded_ground: Ground) -> None:
    embedded_ground.sandbox.behave(repeats="original")
    await _die_at_every_step(embedded_ground)


async def test_every_step_of_three_parts_on_supabase(supabase_ground: Ground) -> None:
    supabase_ground.sandbox.behave(repeats="error")
    await _die_at_every_step(supabase_ground)


async def _die_at_every_step(ground: Ground) -> None:
    peer = ground.sandbox.users[1]
    await ground.send("the chat is found", to=peer)
    steps = (await ground.send(long_text("named"), to=peer)).steps
    again = (await ground.send(long_text("again"), to=peer)).steps
    every = [step for step in steps if step in again]
    assert sum("line._send: write to a socket" in step for step in every) >= PARTS
    texts = ["the chat is found", long_text("named"), long_text("again")]
    missed = list[str]()
    for step in every:
        for number in range(TRIES):
            texts.append(long_text(f"{step}, {number}"))
            if (await ground.send(texts[-1], to=peer, die_before=step)).killed:
                break
        else:
            missed.append(step)
    await ground.send(None, to=peer)
    assert [step for step in missed if READ not in step] == []  # (how often it reads is the network's matter)
    wanted = [part for text in texts for part in text.split("\n\n")]
    assert [text for _, text in ground.arrived(peer)] == wanted
    # The application sees the id of each first part.
    first = [telegram_id for telegram_id, text in ground.arrived(peer) if text[:1] not in "12"]
    assert ground.sent() == list(zip(first, texts, strict=True))
