"""Whatever happens, in whatever order: one in flight per conversation, in order, never lost, never twice.

Hypothesis makes a plan (a list of steps); one trio run interprets it against a store and a model of Telegram.
"""

import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.store_kit import OWNER, Inbox, StoreKit, WholeStore, batch, outgoing, user
from tgworker.messaging.models import AccountId, Attempt, ConversationId, MessageId
from tgworker.messaging.outcomes import Deferred, Outcome, Refused, Released, Sent, Settled, Unknown
from tgworker.messaging.records import OutboxState

CHATS = 3


@dataclass(frozen=True)
class Insert:
    """The application writes a message."""

    chat: int


@dataclass(frozen=True)
class Delete:
    """The application deletes one of its messages."""

    index: int


@dataclass(frozen=True)
class Claim:
    slots: int
    answer_lost: bool


@dataclass(frozen=True)
class Finish:
    """An attempt ends: what Telegram did, what the worker heard of it, and when the store is told."""

    index: int
    accepted: bool
    heard: str
    echo: str
    told_later: bool


@dataclass(frozen=True)
class Crash:
    """The worker dies with everything in hand; another one opens the store."""


@dataclass(frozen=True)
class Wait:
    seconds: float


Step = Insert | Delete | Claim | Finish | Crash | Wait

STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Insert, st.integers(0, CHATS - 1)),
    st.builds(Insert, st.integers(0, CHATS - 1)),
    st.builds(Delete, st.integers(0, 30)),
    st.builds(Claim, st.integers(1, 4), st.booleans()),
    st.builds(Claim, st.just(4), st.just(False)),
    st.builds(
        Finish,
        st.integers(0, 30),
        st.booleans(),
        st.sampled_from(("answer", "nothing", "flood", "refused", "released")),
        st.sampled_from(("none", "before", "after", "with id")),
        st.booleans(),
    ),
    st.builds(Finish, st.integers(0, 30), st.just(True), st.just("answer"), st.just("none"), st.booleans()),
    st.just(Crash()),
    st.builds(Wait, st.sampled_from((0.5, 5.0, 61.0))),
)


@dataclass
class Telegram:
    """Accepts each random id once, and answers a repeat with the original's id."""

    ids: dict[int, int] = field(default_factory=dict)
    texts: dict[int, list[str]] = field(default_factory=dict)

    def accept(self, chat: int, attempt: Attempt) -> int:
        if attempt.random_id not in self.ids:
            self.ids[attempt.random_id] = 1000 + len(self.ids)
            self.texts.setdefault(chat, []).append(attempt.text)
        return self.ids[attempt.random_id]


class World:
    """The store, its worker's hands, the application's rows, and Telegram."""

    def __init__(self, kit: StoreKit, account: AccountId) -> None:
        self.kit = kit
        self.inbox = Inbox(kit, account)
        self.account = account
        self.worker: WholeStore = kit.store
        self.telegram = Telegram()
        self.chats: list[ConversationId] = []
        self.written: list[tuple[int, MessageId, str]] = []
        self.deleted: set[MessageId] = set()
        self.refused: set[MessageId] = set()
        self.held: dict[MessageId, Attempt] = {}
        self.unsettled: list[Settled] = []

    def chat_of(self, attempt: Attempt) -> int:
        return self.chats.index(attempt.conversation_id)

    async def step(self, step: Step) -> None:
        match step:
            case Insert():
                text = f"{step.chat}-{len(self.written):04d}"
                message = self.inbox.write(self.chats[step.chat], text)
                self.written.append((step.chat, message, text))
            case Delete():
                if self.written:
                    _, message, _ = self.written[step.index % len(self.written)]
                    self.deleted.add(message)
                    self.kit.app.delete("messages", message)
            case Claim():
                await self.claim(step.slots, answer_lost=step.answer_lost)
            case Finish():
                if self.held:
                    message = list(self.held)[step.index % len(self.held)]
                    await self.finish(self.held[message], step)
            case Crash():
                self.held.clear()
                self.unsettled.clear()
                self.worker = self.kit.take_over()
            case Wait():
                self.kit.calendar.advance(step.seconds)
            case _:
                assert_never(step)

    async def claim(self, slots: int, *, answer_lost: bool) -> int:
        known = list(self.held)
        attempts = (await self.worker.turn(self.unsettled, {self.account: slots}, known=known)).attempts
        assert len(attempts) <= slots
        conversations = [attempt.conversation_id for attempt in attempts]
        assert len(set(conversations)) == len(conversations), "two of one conversation in one claim"
        assert not set(self.held) & {attempt.message_id for attempt in attempts}, "claimed while known"
        flying = {attempt.conversation_id for attempt in self.held.values() if not self.settled(attempt)}
        assert not flying & set(conversations), "two of one conversation in flight"
        if not answer_lost:  # (else what was settled is settled again, too)
            self.held.update({attempt.message_id: attempt for attempt in attempts})
            self.unsettled.clear()
        return len(attempts)

    def settled(self, attempt: Attempt) -> bool:
        """Whether an update has already told the store that Telegram has it."""
        row = self.kit.app.row("messages", attempt.message_id)
        return row is None or not str(row["external_message_id"]).startswith("local-")

    async def finish(self, attempt: Attempt, step: Finish) -> None:
        chat = self.chat_of(attempt)
        outcome: Outcome
        telegram_id: int | None = None
        known_to_telegram = attempt.random_id in self.telegram.ids
        match step.heard:
            case "answer":
                telegram_id = self.telegram.accept(chat, attempt)
                outcome = Sent(telegram_id)
            case "nothing":
                if step.accepted:
                    telegram_id = self.telegram.accept(chat, attempt)
                outcome = Unknown("no answer")
            case "flood":
                outcome = Deferred(3, "FLOOD_WAIT_3")
            case "refused" if not known_to_telegram:
                self.refused.add(attempt.message_id)
                outcome = Refused("PEER_ID_INVALID")
            case _:
                outcome = Released("went away")
        if telegram_id is not None and step.echo != "none":
            echo = outgoing(500 + chat, telegram_id, attempt.text)
            sent_ids = [(attempt.random_id, telegram_id)] if step.echo == "with id" else []
            update = batch(echo, sent_ids=sent_ids)
            if step.echo == "after":
                await self.settle(attempt, outcome)
                await self.worker.ingest(self.account, update)
                return
            await self.worker.ingest(self.account, update)
        if step.told_later:
            self.unsettled.append(Settled(attempt, outcome))
            del self.held[attempt.message_id]
        else:
            await self.settle(attempt, outcome)

    async def settle(self, attempt: Attempt, outcome: Outcome) -> None:
        await self.worker.turn([Settled(attempt, outcome)], {}, known=())
        del self.held[attempt.message_id]

    async def drain(self) -> None:
        """Everything goes well from now on."""
        for _ in range(len(self.written) + 10):
            for attempt in list(self.held.values()):
                await self.settle(attempt, Sent(self.telegram.accept(self.chat_of(attempt), attempt)))
            if await self.claim(4, answer_lost=False) == 0:
                self.kit.calendar.advance(61)
                if await self.claim(4, answer_lost=False) == 0:
                    return
        raise AssertionError("the outbox does not drain")

    async def check(self) -> None:
        # Each message is there once, or was given up for a reason that somebody knows.
        delivered = [text for texts in self.telegram.texts.values() for text in texts]
        assert len(delivered) == len(set(delivered))
        records = await self.worker.outcomes([message for _, message, _ in self.written])
        stored = {row["id"]: row for row in self.kit.app.rows("messages")}
        for _, message, text in self.written:
            state = records[message].state
            assert state.settled
            assert (text in delivered) or message in self.deleted | self.refused, (text, state)
            if message in stored:
                assert (state is OutboxState.SENT) == (text in delivered)
                assert not stored[message]["external_message_id"].startswith("local-")
        # In order: an accepted message never overtook an older one of its chat.
        for chat, texts in self.telegram.texts.items():
            assert texts == sorted(texts), f"chat {chat} out of order"
        # Stored once, whatever came first.
        ids = [row["external_message_id"] for row in stored.values() if row["direction"] == "outbound"]
        assert len(ids) == len(set(ids))
        # (What a person deleted in flight may come back as what it now is: a message in the chat.)
        written = {message for _, message, _ in self.written}
        deleted = {text for _, message, text in self.written if message in self.deleted}
        strays = [row["text"] for row_id, row in stored.items() if row_id not in written]
        assert set(strays) <= deleted, "an echo was stored as a message of its own"


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
@given(plan=st.lists(STEPS, min_size=40, max_size=80))
async def test_the_queue_keeps_its_promises_whatever_happens(
    open_store_kit: OpenKit, plan: list[Step]
) -> None:
    await interpret(open_store_kit, plan)


@pytest.mark.slow
@pytest.mark.parametrize("open_store_kit", ["functions", "supabase"], indirect=True)
@settings(max_examples=12, deadline=None, suppress_health_check=HEALTHY)  # a database for each of them
@given(plan=st.lists(STEPS, min_size=40, max_size=80))
async def test_so_does_the_queue_in_postgresql(open_store_kit: OpenKit, plan: list[Step]) -> None:
    await interpret(open_store_kit, plan)
