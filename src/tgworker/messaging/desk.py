"""One online account's desk: where attempts wait for its senders, and what is in their hands."""

import heapq
import itertools
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager

import trio

from tgworker.messaging.models import Attempt, MessageId
from tgworker.messaging.outcomes import Outcome, Released, Settled, Unknown

CANCELLED = "it was cancelled before anything was sent"


class Flight:
    """One attempt in a sender's hands.

    A flight that ends without an outcome is `Released` while it has not taken off, and `Unknown` afterwards.
    One that is parked ends without any: it goes back to its desk.

    Args:
        attempt: The attempt.
        started_at: On trio's clock.
        expires_at: When it is too late to take off, on trio's clock.
    """

    def __init__(self, attempt: Attempt, started_at: float, expires_at: float = math.inf) -> None:
        self.attempt = attempt
        self.started_at = started_at
        self.expires_at = expires_at
        self.withdrawn = False
        self.carries_files = False
        self.parked_until: float | None = None
        self.outcome: Outcome = Released("it was cut off before anything was sent")

    def park(self, until: float) -> None:
        """Say that nothing was sent, and that it is to be tried at that time of trio's clock."""
        self.parked_until = until

    def take_off(self) -> Released | None:
        """Say that bytes are about to leave; returns why they must not, if so: the last look."""
        if self.withdrawn:
            return Released(CANCELLED)
        if trio.current_time() >= self.expires_at:
            return Released("it expired before it was sent")
        self.outcome = Unknown("the send was cut off")
        return None

    def land(self, outcome: Outcome) -> None:
        """Say what became of the attempt."""
        self.outcome = outcome


class Desk:
    """One online account's hand-over point: a bounded queue, what is in flight, and what is parked.

    A parked attempt takes no slot: a chat that waits for its turn delays no other.

    Args:
        slots: How many attempts it takes.
        parking: How many more may be parked.
        file: Gets the outcomes.
        ring: Called when it may take attempts that it could not before.
    """

    def __init__(
        self, slots: int, parking: int, *, file: Callable[[Settled], None], ring: Callable[[], None]
    ) -> None:
        self._file = file
        self._ring = ring
        self._slots = slots
        self._parking = parking
        self._send, self._receive = trio.open_memory_channel[Attempt](slots + parking)
        self._parked: list[tuple[float, int, Attempt]] = []  # a heap
        self._parked_news = trio.Event()
        self._numbers = itertools.count()
        self._halts: set[str] = set()
        # Queued or in flight. Counted by itself: what the channel has given to a sender that has not run yet
        # is in neither.
        self._held: set[MessageId] = set()
        self._flights: dict[MessageId, Flight] = {}
        self._expiries: dict[MessageId, float] = {}
        self._withdrawn: set[MessageId] = set()
        self._work_began = trio.Event()
        self._unnamed = trio.Event()
        self._idle = trio.Event()
        self._idle.set()

    @property
    def free_slots(self) -> int:
        """How many more attempts this desk takes now."""
        return 0 if self._halts else max(0, self._slots + len(self._parked) - len(self._held))

    @property
    def can_park(self) -> bool:
        """Whether there is room for one more parked attempt."""
        return len(self._parked) < self._parking

    @property
    def parked(self) -> int:
        """How many attempts wait for their chat's turn."""
        return len(self._parked)

    def halt(self, *, halted: bool, by: str = "waits") -> None:
        """Take attempts no more, or again: while the account may send nothing, nothing is claimed for it.

        Args:
            halted: Whether nothing is taken.
            by: Who says so; others may say so, too.
        """
        if halted is not (by in self._halts):
            (self._halts.add if halted else self._halts.discard)(by)
            self._ring()

    @property
    def queued(self) -> int:
        """How many attempts wait for a sender."""
        return self._receive.statistics().current_buffer_used

    @property
    def in_flight(self) -> int:
        """How many attempts senders hold."""
        return len(self._flights)

    @property
    def busy_since(self) -> float:
        """When the oldest flight started, on trio's clock; infinity with nothing in flight."""
        return min((flight.started_at for flight in self._flights.values()), default=math.inf)

    @property
    def carries_files(self) -> bool:
        """Whether files are on their way: what is asked meanwhile waits behind their bytes."""
        return any(flight.carries_files for flight in self._flights.values())

    @property
    def unnamed_news(self) -> trio.Event:
        """What the next message will set that was sent under an id that nobody knows."""
        return self._unnamed

    def tell_unnamed(self) -> None:
        """Say that there is such a message."""
        self._unnamed.set()
        self._unnamed = trio.Event()

    async def wait_work_begins(self) -> None:
        """Wait until something is in flight that was not before."""
        await self._work_began.wait()

    async def wait_idle(self) -> None:
        """Wait until nothing is in flight."""
        await self._idle.wait()

    def hand_over(self, attempt: Attempt, *, claimed_at: float = math.inf) -> None:
        """Queue an attempt for the account's senders; never blocks (`free_slots` was asked first).

        Args:
            attempt: The attempt.
            claimed_at: Not later than its claim, on trio's clock.
        """
        self._send.send_nowait(attempt)
        self._held.add(attempt.message_id)
        if attempt.expires_in_s is not None:
            self._expiries[attempt.message_id] = claimed_at + attempt.expires_in_s

    def withdraw(self, message_id: MessageId) -> None:
        """Give an attempt back, if nothing of it has left."""
        if message_id not in self._held:
            return
        flight = self._flights.get(message_id)
        if flight is not None:
            flight.withdrawn = True  # it looks before it takes off
            return
        found = [entry[2] for entry in self._parked if entry[2].message_id == message_id]
        self._parked = [entry for entry in self._parked if entry[2].message_id != message_id]
        heapq.heapify(self._parked)
        for attempt in self._drained():
            if attempt.message_id == message_id:
                found.append(attempt)
            else:
                self._send.send_nowait(attempt)
        for attempt in found:
            self._put_back(attempt, Released(CANCELLED))
        if not found:
            self._withdrawn.add(message_id)  # a sender has it that has not run yet

    async def take(self) -> Attempt:
        """The next attempt, in the order of the hand-overs."""
        return await self._receive.receive()

    @contextmanager
    def fly(self, attempt: Attempt) -> Generator[Flight]:
        """Hold an attempt while it is being sent; its outcome is filed however the block ends."""
        flight = Flight(attempt, trio.current_time(), self._expiries.get(attempt.message_id, math.inf))
        flight.withdrawn = attempt.message_id in self._withdrawn
        self._flights[attempt.message_id] = flight
        if len(self._flights) == 1:
            self._work_began.set()
            self._work_began = trio.Event()
            self._idle = trio.Event()
        try:
            yield flight
        finally:
            del self._flights[attempt.message_id]
            if not self._flights:
                self._idle.set()
            if flight.parked_until is None:
                self._put_back(flight.attempt, flight.outcome)
            elif flight.withdrawn:
                self._put_back(flight.attempt, Released(CANCELLED))
            else:
                self._park(flight.attempt, flight.parked_until)

    async def run_parked(self) -> None:
        """Queue parked attempts again when their time has come; returns never."""
        while True:
            news = self._parked_news
            with trio.move_on_at(self._parked[0][0] if self._parked else math.inf):
                await news.wait()
            now = trio.current_time()
            while self._parked and self._parked[0][0] <= now:
                self._send.send_nowait(heapq.heappop(self._parked)[2])

    def close(self, reason: str) -> None:
        """Give back what no sender has taken."""
        while self._parked:
            self._put_back(heapq.heappop(self._parked)[2], Released(reason))
        for attempt in self._drained():
            self._put_back(attempt, Released(reason))

    def _drained(self) -> list[Attempt]:
        """Everything that is queued, taken out."""
        attempts: list[Attempt] = []
        while True:
            try:
                attempts.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                return attempts

    def _park(self, attempt: Attempt, until: float) -> None:
        was_full = not self.free_slots
        heapq.heappush(self._parked, (until, next(self._numbers), attempt))
        self._parked_news.set()
        self._parked_news = trio.Event()
        if was_full:
            self._ring()  # there is a free slot again, and nobody hears of it by an outcome

    def _put_back(self, attempt: Attempt, outcome: Outcome) -> None:
        self._held.discard(attempt.message_id)
        self._withdrawn.discard(attempt.message_id)
        self._expiries.pop(attempt.message_id, None)
        self._file(Settled(attempt, outcome))
