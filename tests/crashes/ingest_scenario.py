"""A worker to which something comes, as a process of its own: see `crashes.victims`."""

from collections.abc import Sequence
from typing import Any

import trio

from crashes.steps import Steps
from crashes.victim_worker import LOOK_EVERY_S, OTHERS, Victim, open_victim
from tgworker.messaging.models import AccountId
from tgworker.sandbox import open_control


async def ingest(
    steps: Steps,
    *,
    account: str,
    control: str,
    before: list[str],
    live: list[list[Any]],
    catching_up: bool,
    **arguments: Any,
) -> None:
    """Catch up, hear what is said then, and end without any farewell once all of it is stored.

    Args:
        steps: Counts what it takes to hear what is said while the line is held.
        account: Whose messages.
        control: The sandbox's control connection.
        before: What was said before.
        live: Who says what to whom: sender, recipient, text.
        catching_up: Count what it takes to catch up instead.
        arguments: As for `crashes.victim_worker.open_victim`.
    """
    steps.others = OTHERS
    if catching_up:
        steps.arm()
    with trio.fail_after(20):
        async with open_victim(**arguments) as victim, open_control(control) as sandbox:
            await victim.online.wait()
            await _stored(victim, AccountId(account), before)
            if live:
                await steps.quiet()
                steps.arm()
                for sender, recipient, text in live:
                    await sandbox.send_text(sender, recipient, text)
                await _stored(victim, AccountId(account), [text for _, _, text in live])
            steps.end()


async def _stored(victim: Victim, account: AccountId, texts: Sequence[str]) -> None:
    """Wait until the store holds them."""
    missing = set(texts)
    while missing:
        await trio.sleep(LOOK_EVERY_S)
        for direction in ("inbound", "outbound"):
            held = await victim.store.transcript(account, direction=direction)
            missing -= {text for _, text in held}
