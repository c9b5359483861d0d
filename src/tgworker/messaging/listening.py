"""Compares what Telegram says with what was heard, at intervals, and cures a deaf line step by step."""

from collections.abc import Callable
from typing import assert_never

import trio

from tgworker.messaging.events import AccountDeaf, Report
from tgworker.messaging.hearing import Ears, Remedy, Told, behind, having_tried, next_remedy, overdue
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId
from tgworker.messaging.ports import Connection, Pulse

NOTHING = Told({})
DEAF = "the line is deaf: it answers, but brings no updates"


class ClientDeaf(Exception):
    """An account stays deaf on a new line, too: its child ends, and everything of it is made anew."""


async def listen(
    pulse: Pulse,
    *,
    account_id: AccountId,
    connection: Connection,
    ears: Ears,
    renew: Callable[[AccountId], bool],
    limits: Limits,
    report: Report,
) -> str:
    """Look at intervals whether the line is deaf; returns why it has to be made anew.

    Args:
        pulse: Records the comparisons; it does not beat: a deaf line is well otherwise.
        account_id: Whose line it is.
        connection: The line.
        ears: What was tried for the account on other lines.
        renew: Asks for a new process for an account's sake; whether there will be one. It is asked no more
            often than once in `tgworker.messaging.hearing.SPENT_FOR_S`.
        limits: ``hearing_first_s``, ``hearing_every_s``, ``hearing_settle_s``.
        report: Hears of each step.

    Raises:
        ClientDeaf: Only a new child may help.
        TelegramAway: The line broke.
        AccountRefused: Telegram's final no.

    Cancellation: nothing is half-done.
    """
    wait_s = limits.hearing_first_s
    while True:
        await trio.sleep(wait_s)
        told = await _compare(pulse, connection, limits)
        wait_s = limits.hearing_first_s if told.more else limits.hearing_every_s
        before = connection.heard()
        missing = behind(told, before)
        if not missing:
            continue
        await trio.sleep(limits.hearing_settle_s)  # it may be on its way
        late = overdue(missing, before, connection.heard())
        if not late:
            continue
        now_s = trio.current_time()
        remedy = next_remedy(ears.of(account_id), now_s)
        ears.note(account_id, having_tried(ears.of(account_id), remedy, now_s))
        if remedy is Remedy.NEW_PROCESS and not renew(account_id):
            remedy = Remedy.DIFFERENCE
        report(AccountDeaf(account_id, remedy, len(late), sum(late.values())))
        match remedy:
            case Remedy.DIFFERENCE:
                connection.catch_up(late)
            case Remedy.RECONNECT:
                return DEAF
            case Remedy.NEW_CLIENT:
                raise ClientDeaf(DEAF)
            case Remedy.NEW_PROCESS:
                await trio.sleep_forever()  # until the process ends, in order
            case _:
                assert_never(remedy)
        wait_s = limits.hearing_first_s  # has it helped?


async def _compare(pulse: Pulse, connection: Connection, limits: Limits) -> Told:
    """What Telegram says; nothing where it does not answer: whether the line lives is the ping's affair."""
    with pulse.deadline("telegram.compare", limits.entity_s):
        return await connection.compare()
    return NOTHING
