"""Whatever comes and goes in whatever order: what is sent carries all that it says, once, or it says why not.

Hypothesis makes a plan (a list of steps); one trio run interprets it against a store and a model of Telegram.
"""

import json
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import assert_never

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.store_kit import OTHER_OWNER, OWNER, Inbox, StoreKit, WholeStore, user
from tgworker.messaging.models import AccountId, Attempt, ConversationId, MessageId
from tgworker.messaging.outcomes import Deferred, Sent, Settled, Unknown
from tgworker.messaging.records import OutboxState

CHATS = 2
LATE = "an attachment was linked after it was sent"


@dataclass(frozen=True)
class Insert:
    """The application writes a message that says how many attachments come, or its kind, or nothing."""

    chat: int
    asks: int | None
    kind: str


@dataclass(frozen=True)
class Link:
    index: int
    ours: bool = True


@dataclass(frozen=True)
class Unlink:
    index: int


@dataclass(frozen=True)
class Turn:
    slots: int


@dataclass(frozen=True)
class Finish:
    """An attempt ends: Telegram took all its files at once, or nobody knows, or it is for later."""

    index: int
    how: str


@dataclass(frozen=True)
class Crash:
    """The worker dies with everything in hand; another one opens the store."""


@dataclass(frozen=True)
class Wait:
    seconds: float


Step = Insert | Link | Unlink | Turn | Finish | Crash | Wait

STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(
        Insert, st.integers(0, CHATS - 1), st.sampled_from((None, 1, 2)), st.sampled_from(("text", "photo"))
    ),
    st.builds(Link, st.integers(0, 30), st.sampled_from((True, True, True, False))),
    st.builds(Link, st.integers(0, 3)),
    st.builds(Unlink, st.integers(0, 30)),
    st.builds(Turn, st.integers(1, 3)),
    st.just(Turn(3)),
    st.builds(Finish, st.integers(0, 5), st.sampled_from(("sent", "unknown", "taken, unknown", "flood"))),
    st.builds(Finish, st.just(0), st.just("sent")),
    st.just(Crash()),
    st.builds(Wait, st.sampled_from((0.5, 2.0, 4.0, 61.0, 601.0))),
)


@dataclass
class Row:
    """A message as the application and Telegram see it."""

    message: MessageId
    chat: int
    asks: int | None
    kind: str
    linked: list[str] = field(default_factory=list)
    pinned: tuple[str, ...] | None = None
    committed: bool = False
    taken: bool = False
    late: bool = False


class World:
    """The store, its worker's hands, the application's rows, and Telegram."""

    def __init__(self, kit: StoreKit, account: AccountId) -> None:
        self.kit = kit
        self.inbox = Inbox(kit, account)
        self.worker: WholeStore = kit.store
        self.chats: list[ConversationId] = []
        self.rows: list[Row] = []
        self.held: dict[MessageId, Attempt] = {}
        self.taken: list[MessageId] = []

    async def step(self, step: Step) -> None:
        match step:
            case Insert():
                self._insert(step)
            case Link():
                self._link(step)
            case Unlink():
                self._unlink(step)
            case Turn():
                await self.turn(step.slots)
            case Finish():
                if self.held:
                    await self.finish(list(self.held.values())[step.index % len(self.held)], step.how)
            case Crash():
                self.worker = self.kit.take_over()
                self.held.clear()
            case Wait():
                self.kit.calendar.advance(step.seconds)
            case _:
                assert_never(step)

    def _insert(self, step: Insert) -> None:
        payload = None if step.asks is None else json.dumps({"telegram": {"attachments": step.asks}})
        number = len(self.rows)
        message = self.inbox.write(
            self.chats[step.chat],
            f"{number}",
            external_message_id=f"local-{number}",
            message_type=step.kind,
            raw_payload=payload,
        )
        self.rows.append(Row(message, step.chat, step.asks, step.kind))

    def _link(self, step: Link) -> None:
        if self.rows:
            row = self.rows[-1 - step.index % len(self.rows)]
            attachment = self.inbox.attach(row.message, owner_id=OWNER if step.ours else OTHER_OWNER)
            if step.ours:
                row.linked.append(attachment)
                row.late |= row.committed

    def _unlink(self, step: Unlink) -> None:
        linked = [(row, each) for row in self.rows for each in row.linked]
        if linked:
            row, attachment = linked[step.index % len(linked)]
            self.kit.app.delete("attachments", attachment)
            row.linked.remove(attachment)

    async def turn(self, slots: int) -> bool:
        turn = await self.worker.turn((), {self.inbox.account: slots}, known=list(self.held))
        for attempt in turn.attempts:
            row = self.row(attempt.message_id)
            files = tuple(file.id for file in attempt.files)
            if attempt.doubt is None and attempt.part == 0 and attempt.known_id is None:
                assert files == tuple(row.linked), "what the application says now, in its order"
                assert row.asks is None or len(files) >= row.asks
                assert files or row.kind == "text"
                row.pinned, row.late = files, False
            assert files == row.pinned, "what is repeated is what was committed"
            assert attempt.message_id not in self.held
            row.committed = True
            self.held[attempt.message_id] = attempt
        chats = [attempt.conversation_id for attempt in self.held.values()]
        assert len(set(chats)) == len(chats), "two of one conversation are in flight"
        return bool(turn.attempts)

    async def finish(self, attempt: Attempt, how: str) -> None:
        row = self.row(attempt.message_id)
        del self.held[attempt.message_id]
        parts = max(1, len(attempt.files))
        took = how.startswith("taken") or how == "sent" or attempt.known_id is not None
        if took and not row.taken:
            row.taken = True
            self.taken.append(row.message)
        if how == "sent" or attempt.known_id is not None:
            first = attempt.known_id or 1000 * (1 + self.rows.index(row)) + attempt.part
            more = tuple((each, first + 1 + number) for number, each in enumerate(attempt.more_random_ids))
            outcome: Sent | Unknown | Deferred = Sent(first, more=() if attempt.known_id else more)
        elif took or attempt.doubt is not None:
            outcome = Unknown("no answer")
        elif how == "flood":
            outcome, row.committed = Deferred(2, "FLOOD_WAIT_2"), False
        else:
            outcome = Unknown("no answer")
        await self.worker.turn([Settled(replace(attempt, parts=parts), outcome)], {}, known=list(self.held))

    def row(self, message: MessageId) -> Row:
        (row,) = (row for row in self.rows if row.message == message)
        return row

    async def drain(self) -> None:
        for _ in range(200):
            self.kit.calendar.advance(61)
            busy = await self.turn(3)
            while self.held:
                await self.finish(next(iter(self.held.values())), "sent")
                busy = True
            if not busy and not await self.worker.list_outbox([OutboxState.WAITING, OutboxState.DEFERRED]):
                return
        raise AssertionError("something waits for ever")

    async def check(self) -> None:
        records = await self.worker.outcomes([row.message for row in self.rows])
        for row in self.rows:
            found = records[row.message]
            if row.taken:
                assert found.state is OutboxState.SENT
                assert (found.error == LATE) is row.late, "what came too late is told, and nothing else"
                assert found.files == len(row.pinned or ())
            else:
                assert found.state is OutboxState.DEAD
                assert found.error in {
                    *(
                        f"{there} of {row.asks} attachments came within 600 s"
                        for there in range(row.asks or 0)
                    ),
                    *(("no attachment came within 3 s",) if row.asks is None and row.kind == "photo" else ()),
                }
        # In order: a message never overtook an older one of its chat.
        for chat in range(CHATS):
            order = [self.rows.index(self.row(each)) for each in self.taken if self.row(each).chat == chat]
            assert order == sorted(order)


OpenKit = Callable[[Path], AbstractAsyncContextManager[StoreKit]]


async def interpret(open_store_kit: OpenKit, plan: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_store_kit(Path(folder) / "data") as kit:
            account = await kit.store.add_account("ada", OWNER, "token", user_id=1)
            world = World(kit, account)
            await kit.store.save_peers(account, [user(500 + number) for number in range(CHATS)])
            world.chats = [world.inbox.chat(str(500 + number)) for number in range(CHATS)]
            for step in plan:
                await world.step(step)
            await world.drain()
            await world.check()


HEALTHY = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.mark.slow
@pytest.mark.parametrize("open_store_kit", ["embedded"], indirect=True)
@settings(max_examples=40, deadline=None, suppress_health_check=HEALTHY)
@given(plan=st.lists(STEPS, min_size=30, max_size=60))
async def test_what_is_sent_carries_its_files(open_store_kit: OpenKit, plan: list[Step]) -> None:
    await interpret(open_store_kit, plan)
