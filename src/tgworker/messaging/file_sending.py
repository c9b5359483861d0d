"""Sends the files of messages: prepares them, brings them to Telegram, and makes messages of them, once each.

An album is one request, and one attempt: Telegram takes it whole or not at all. Its first part is the
attempt's; the ids of the others come with the answer, and the store knows them when it claims those parts.
"""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import trio

from tgworker.messaging.albums import album_length
from tgworker.messaging.bounded import within
from tgworker.messaging.desk import Flight
from tgworker.messaging.doubts import look_for, must_look, unsendable, why_looked
from tgworker.messaging.errors import StoreAway, TelegramAway
from tgworker.messaging.file_kinds import claimed_kind
from tgworker.messaging.file_store import ObjectChanged, ObjectMissing
from tgworker.messaging.gate import Gate, Parked
from tgworker.messaging.limits import Limits
from tgworker.messaging.media import PartialUpload
from tgworker.messaging.media_ports import MediaMessage, OutgoingMediaStore, PartsForgotten
from tgworker.messaging.models import Attempt, Peer
from tgworker.messaging.outcomes import Deferred, Outcome, Refused, Released, Sent, Unknown
from tgworker.messaging.pacing import Go
from tgworker.messaging.planning import FilePart, Part
from tgworker.messaging.ports import Connection, Pulse
from tgworker.messaging.preparing import Prepared, Preparer, Unfit
from tgworker.messaging.store_ports import DoubtStore
from tgworker.messaging.uploading import Stuck, upload
from tgworker.messaging.uploads import Uploads

TURN_AGAIN_S = 1.0
"""Too many files are on their way: so long later it is tried again."""

MOST_TRIES = 6
"""So often a file that could not be sent is tried: after that its message is dead-lettered."""

PAUSE_S = 5.0
LONGEST_PAUSE_S = 600.0
"""Between two tries, doubling."""

LONGEST_OUTAGE_S = 30.0
"""The file store is away: that is no fault of the file, and is over sooner."""

FORGOTTEN = 3
"""So often parts are sent again that Telegram has forgotten, in one attempt."""

PROGRESS_EVERY_S = 2.0
"""How often it is shown how far a message's files are. (A file that is through sooner shows nothing.)"""


class SendingStore(DoubtStore, OutgoingMediaStore, Protocol):
    """What sending files asks of the store."""


@dataclass(frozen=True, slots=True)
class _Load:
    """A file that is ready, and the message that is made of it."""

    part: int
    prepared: Prepared
    upload: PartialUpload
    message: MediaMessage


class FileSender:
    """One line's sending of files.

    Args:
        connection: The account's line.
        gate: When messages may leave.
        store: Knows what other messages are, and shows progress.
        limits: The deadlines; ``media_s`` runs while nothing moves.
        preparer: Looks at files, and converts them.
        uploads: What was brought to Telegram already.
        can_park: Whether there is room for a message that waits for its turn.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        gate: Gate,
        store: SendingStore,
        limits: Limits,
        preparer: Preparer,
        uploads: Uploads,
        can_park: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._gate = gate
        self._store = store
        self._limits = limits
        self._preparer = preparer
        self._uploads = uploads
        self._can_park = can_park

    async def send(self, pulse: Pulse, flight: Flight, peer: Peer, parts: Sequence[Part]) -> Outcome | Parked:
        """Send the part that an attempt names, and what stands in one album with it.

        Args:
            pulse: The sender's.
            flight: The attempt; its part is a file.
            peer: Whom it goes to.
            parts: The whole message.

        Cancellation: what Telegram has of the files is remembered for the next attempt.
        """
        attempt = flight.attempt
        with self._uploads.turn(attempt.account_id) as has_turn:
            if not has_turn:
                again_at = trio.current_time() + TURN_AGAIN_S
                return (
                    Parked(again_at) if self._can_park() else Deferred(TURN_AGAIN_S, "other files go first")
                )
            try:
                async with AsyncExitStack() as stack:
                    loads = await self._prepare(pulse, stack, attempt, parts)
                    if isinstance(loads, Unfit):
                        return _unfit(attempt, loads)
                    flight.carries_files = True
                    return await self._send_showing(pulse, flight, peer, loads)
            except (ObjectMissing, ObjectChanged) as error:
                self._forget(attempt, parts)
                return _unfit(attempt, Unfit(str(error), may_pass=True))
            except StoreAway as away:
                wait_s = min(_pause_s(attempt), LONGEST_OUTAGE_S)
                return Deferred(wait_s, f"a file cannot be read now: {away}")
            except TelegramAway as away:
                return Released(str(away))
            except OSError as error:
                reason = f"a file cannot be copied to the spool: {error.strerror}"
                return Deferred(_pause_s(attempt), reason)
            finally:
                flight.carries_files = False
                for part in range(len(parts)):
                    self._uploads.put_back(attempt, part)

    # ---------------------------------------------------------------- before

    async def _prepare(
        self, pulse: Pulse, stack: AsyncExitStack, attempt: Attempt, parts: Sequence[Part]
    ) -> list[_Load] | Unfit:
        loads: list[_Load] = []
        random_ids = (attempt.random_id, *attempt.more_random_ids)
        for part, random_id in zip(_album(attempt, parts), random_ids, strict=False):
            one = parts[part]
            assert isinstance(one, FilePart)
            prepared = await stack.enter_async_context(
                self._preparer.prepared(pulse, one.file, attempt.message_type)
            )
            if isinstance(prepared, Unfit):
                where = (
                    f"file {part + 1} of {len(attempt.files)}: " if len(attempt.files) > 1 else "its file: "
                )
                return replace(prepared, reason=where + prepared.reason)
            facts = prepared.facts
            upload = self._uploads.of(
                attempt, part, facts.size, facts.file_name or "file", version=prepared.version
            )
            message = MediaMessage(upload, facts, one.caption, random_id, prepared.waveform)
            loads.append(_Load(part, prepared, upload, message))
        # What files turn out to be may divide an album.
        return loads[: album_length([load.message.facts.kind for load in loads])]

    def _forget(self, attempt: Attempt, parts: Sequence[Part]) -> None:
        for part in range(len(parts)):
            self._uploads.forget(attempt, part)

    # ---------------------------------------------------------------- on its way

    async def _send_showing(
        self, pulse: Pulse, flight: Flight, peer: Peer, loads: Sequence[_Load]
    ) -> Outcome | Parked:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._show_progress, pulse, flight.attempt, loads, name="progress")
            try:
                said: Outcome | Parked | Exception = await self._send(pulse, flight, peer, loads)
            except (ObjectMissing, ObjectChanged, StoreAway, TelegramAway) as error:
                said = error  # raised in here it would come out in a group
            nursery.cancel_scope.cancel(reason="the files are through")
        if isinstance(said, Exception):
            raise said
        return said

    async def _send(
        self, pulse: Pulse, flight: Flight, peer: Peer, loads: Sequence[_Load]
    ) -> Outcome | Parked:
        attempt, messages = flight.attempt, [load.message for load in loads]
        doubt = attempt.doubt
        if doubt is not None and must_look(doubt, self._limits.repeat_window_s):
            return await self._look(pulse, attempt, peer, messages, why_looked(doubt))
        for _ in range(FORGOTTEN):
            for load in loads:
                said = await upload(pulse, load.upload, load.prepared.source, self._connection, self._limits)
                if isinstance(said, Refused):
                    self._uploads.forget(attempt, load.part)
                    return unsendable(attempt, said)
                if isinstance(said, Stuck):
                    return _unfit(attempt, Unfit(said.reason, may_pass=True))
                if said is not None:
                    return said
            admitted = await self._gate.admit(pulse, attempt, peer)
            if not isinstance(admitted, Go):
                return admitted
            if (kept := flight.take_off()) is not None:
                return kept
            outcome: Outcome | PartsForgotten = Unknown(f"no answer within {self._limits.media_s:g} s")
            with pulse.deadline("telegram.send_media", self._limits.media_s):
                outcome = await self._connection.send_media(peer, messages)
            if not isinstance(outcome, PartsForgotten):
                return await self._sent(pulse, attempt, peer, loads, outcome)
            for number, part in outcome.files.items():
                acknowledged = loads[number].upload.acknowledged
                acknowledged.clear() if part is None else acknowledged.discard(part)
        return Deferred(_pause_s(attempt), "Telegram has forgotten parts of its files again and again")

    async def _sent(
        self, pulse: Pulse, attempt: Attempt, peer: Peer, loads: Sequence[_Load], outcome: Outcome
    ) -> Outcome:
        self._gate.note(peer, outcome)
        if isinstance(outcome, Sent | Refused):
            for load in loads:
                self._uploads.forget(attempt, load.part)
        if isinstance(outcome, Refused) and attempt.doubt is not None:
            # It will not take it now; an attempt before may have got through.
            why = f"Telegram refused to take it again ({outcome.reason})"
            messages = [load.message for load in loads]
            return await self._look(pulse, attempt, peer, messages, why, missing=outcome)
        return outcome

    async def _look(
        self,
        pulse: Pulse,
        attempt: Attempt,
        peer: Peer,
        messages: Sequence[MediaMessage],
        why: str,
        *,
        missing: Refused | None = None,
    ) -> Outcome:
        return await look_for(
            pulse,
            attempt,
            peer,
            lambda above: self._connection.look_for_media(peer, messages, above=above),
            why,
            store=self._store,
            limits=self._limits,
            missing=missing,
        )

    async def _show_progress(self, pulse: Pulse, attempt: Attempt, loads: Sequence[_Load]) -> None:
        total = sum(load.upload.size for load in loads)
        while True:
            await trio.sleep(PROGRESS_EVERY_S)
            done = sum(load.upload.bytes_done for load in loads)
            with suppress(StoreAway):  # the next one shows more
                await within(
                    pulse,
                    "database.progress",
                    self._limits.database_s,
                    partial(self._store.record_progress, attempt, done, total),
                )


def _album(attempt: Attempt, parts: Sequence[Part]) -> range:
    """The parts that go together with the one that an attempt names, from that one on."""
    kinds = [claimed_kind(attempt.message_type, part.file) for part in parts if isinstance(part, FilePart)]
    begin = 0
    while begin + (length := album_length(kinds[begin:])) <= attempt.part:
        begin += length
    return range(attempt.part, begin + length)


def _unfit(attempt: Attempt, unfit: Unfit) -> Outcome:
    if unfit.may_pass and _tries(attempt) < MOST_TRIES:
        return Deferred(_pause_s(attempt), unfit.reason)
    return unsendable(attempt, Refused(unfit.reason))


def _tries(attempt: Attempt) -> int:
    """Which try of this part it is, from 1: each part that was sent before took one."""
    return max(1, attempt.number - attempt.part)


def _pause_s(attempt: Attempt) -> float:
    return min(PAUSE_S * 2.0 ** min(_tries(attempt) - 1, 20), LONGEST_PAUSE_S)
