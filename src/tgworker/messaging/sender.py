"""A sender: takes attempts from its account's desk and turns each into an outcome."""

from dataclasses import replace
from functools import partial

import trio

from tgworker.messaging.desk import Desk, Flight
from tgworker.messaging.doubts import look_for, must_look, unsendable, why_looked
from tgworker.messaging.events import Report, SendFinished
from tgworker.messaging.file_sending import FileSender
from tgworker.messaging.gate import Gate, Parked
from tgworker.messaging.limits import Limits
from tgworker.messaging.outcomes import (
    Outcome,
    Refused,
    Released,
    Sent,
    Unknown,
    Unresolved,
    reason_of,
)
from tgworker.messaging.pacing import Go
from tgworker.messaging.planning import FilePart, Format, parts_of
from tgworker.messaging.ports import Connection, Pulse
from tgworker.messaging.senders import Take
from tgworker.messaging.store_ports import DoubtStore

ASKED = "Telegram is asked who its recipient is"


async def run_sender(
    pulse: Pulse,
    *,
    desk: Desk,
    gate: Gate,
    connection: Connection,
    store: DoubtStore,
    limits: Limits,
    report: Report,
    format_text: Format,
    files: FileSender,
    take: Take | None = None,
) -> None:
    """Send what the desk holds, one attempt at a time, until ``take`` has nothing for it.

    Several senders share one desk: the store never claims two attempts of one conversation at a time, so that
    order holds however many there are, and a chat that waits delays no other. What may not leave yet is not
    sent: the gate says what becomes of it.

    Of a long text the part that the attempt names is sent; the next one is an attempt of its own. So it is
    with files, but for those of one album, which go together.

    Without ``take`` it takes from the desk, and returns never.

    Cancellation: the attempt in hand is filed, as `Released` until bytes may have left, then as `Unknown`.
    """
    take = take or desk.take
    while (attempt := await take()) is not None:
        with desk.fly(attempt) as flight:
            outcome = await _send(pulse, flight, gate, connection, store, limits, format_text, files)
            if isinstance(outcome, Parked):
                flight.park(outcome.until)
                continue
            flight.land(outcome)
        if isinstance(outcome, Sent) and outcome.telegram_id is None:
            desk.tell_unnamed()
        report(
            SendFinished(
                attempt.account_id,
                attempt.message_id,
                attempt.number,
                type(outcome).__name__.lower(),
                trio.current_time() - flight.started_at,
                reason_of(outcome),
            )
        )


async def _send(
    pulse: Pulse,
    flight: Flight,
    gate: Gate,
    connection: Connection,
    store: DoubtStore,
    limits: Limits,
    format_text: Format,
    files: FileSender,
) -> Outcome | Parked:
    attempt = flight.attempt
    # A cancellation that came while the attempt was handed over must not put it in doubt.
    await trio.lowlevel.checkpoint_if_cancelled()
    parts = parts_of(attempt, format_text)
    if isinstance(parts, Refused):
        return unsendable(attempt, parts)
    flight.attempt = attempt = replace(attempt, parts=len(parts))  # the settle says whether this was the last
    if attempt.known_id is not None or attempt.part >= len(parts):
        return Sent(attempt.known_id)  # (another release of the worker may have made more of the same text)
    peer = attempt.peer
    if peer is None:
        return Unresolved(ASKED)  # nothing is resolved here: whom it is for, the account's resolver finds
    if (wait := gate.closed()) is not None:
        return Released(wait.reason)
    part = parts[attempt.part]
    if isinstance(part, FilePart):
        return await files.send(pulse, flight, peer, parts)
    ask = partial(connection.look_for, peer, part.text, entities=part.entities)
    looked = partial(
        look_for, pulse, attempt, peer, lambda above: ask(above=above), store=store, limits=limits
    )
    if attempt.doubt is not None and must_look(attempt.doubt, limits.repeat_window_s):
        return await looked(why_looked(attempt.doubt))
    admitted = await gate.admit(pulse, attempt, peer)
    if not isinstance(admitted, Go):
        return admitted
    if (kept := flight.take_off()) is not None:
        return kept
    outcome: Outcome = Unknown(f"no answer within {limits.send_s:g} s")
    with pulse.deadline("telegram.send", limits.send_s):
        outcome = await connection.send_text(
            peer, part.text, random_id=attempt.random_id, entities=part.entities
        )
    gate.note(peer, outcome)
    if isinstance(outcome, Refused) and attempt.doubt is not None:
        # It will not take it now; an attempt before may have got through.
        why = f"Telegram refused to take it again ({outcome.reason})"
        return await looked(why, missing=outcome)
    return outcome
