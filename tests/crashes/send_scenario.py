"""A worker that sends one row, as a process of its own: see `crashes.victims`."""

from typing import Any

import trio

from crashes.steps import Steps
from crashes.victim_worker import LOOK_EVERY_S, OTHERS, Victim, open_victim
from tgworker.messaging.models import AccountId
from tgworker.messaging.records import OutboxState

RING_EVERY_S = 0.5

OPEN = (OutboxState.WAITING, OutboxState.RESOLVING, OutboxState.DEFERRED, OutboxState.SENDING)


async def send(
    steps: Steps,
    *,
    account: str,
    to: str,
    text: str | None,
    recovery: bool = False,
    **arguments: Any,
) -> None:
    """Finish what an earlier process has left behind, then send one row and end without any farewell.

    Args:
        steps: Counts from the row on.
        account: Who sends.
        to: To whom.
        text: What; ``None``: nothing, only finish.
        recovery: Count the steps of what is left behind, too.
        arguments: As for `crashes.victim_worker.open_victim`.
    """
    steps.others = OTHERS
    if recovery:
        steps.arm()
    with trio.fail_after(20):
        async with open_victim(**arguments) as victim:
            await victim.online.wait()
            await _idle(victim)
            if text is not None:
                await steps.quiet()
                steps.arm()
                await victim.store.enqueue(AccountId(account), to, [text])
                victim.worker.dispatch.ring()
                await _idle(victim)
            steps.end()


async def _idle(victim: Victim) -> None:
    """Wait until nothing is open; what was put off is asked for now and then, since nobody polls."""
    ring_at = trio.current_time() + RING_EVERY_S
    while await victim.store.list_outbox(OPEN):
        if trio.current_time() > ring_at:
            ring_at += RING_EVERY_S
            victim.worker.dispatch.ring()
        await trio.sleep(LOOK_EVERY_S)
