"""A whole worker lives through whatever Hypothesis thinks of; in the end both sides' ledgers are compared.

Rules write a script: messages both ways, faults of Telegram, of the line and of the store, crashes, handovers
to another worker while the old one still runs, time that passes. It is played on the mock clock against the
sandbox when the script ends. ``scripts/soak`` does the same with processes, on real clocks.
"""

import inspect
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
import trio
import trio.testing
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tgworker.app.parts import Parts, Store
from tgworker.cli.demo.ledger import compare
from tgworker.messaging.errors import StoreAway
from tgworker.sandbox import Fault
from worker.worker_world import Ground, World, open_ground

SEND = "messages.sendMessage"
DIFFERENCE = "updates.getDifference"
PATIENCE_S = 3600.0
CHATS = (0, 1)


class Mood:
    """Whether a worker's store answers: ``well``, ``away``, ``lost`` (done, no answer), ``dead``."""

    def __init__(self) -> None:
        self.is_now = "well"

    def wrapped(self, store: Store) -> Store:
        """The same store, subject to the mood."""
        return cast("Store", _Moody(store, self))


class _Moody:
    def __init__(self, store: Store, mood: Mood) -> None:
        self._store = store
        self._mood = mood

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._store, name)
        if not inspect.iscoroutinefunction(member):
            return member

        async def call(*args: Any, **options: Any) -> Any:
            if self._mood.is_now in ("away", "dead"):
                await trio.lowlevel.checkpoint()
                raise StoreAway("it is away")
            answer = await member(*args, **options)
            if self._mood.is_now == "lost":
                raise StoreAway("its answer was lost")
            return answer

        return call


@dataclass
class Ending:
    """Of one worker."""

    asked: trio.Event = field(default_factory=trio.Event)
    done: trio.Event = field(default_factory=trio.Event)

    async def take_place(self) -> None:
        self.asked.set()
        await self.done.wait()


@dataclass
class Life:
    """A worker, its successors, and what was given to both sides.

    Attributes:
        given: What the application gave, by chat.
        written: What the partners wrote, by chat.
    """

    ground: Ground
    nursery: trio.Nursery
    given: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    written: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    mood: Mood = field(default_factory=Mood)
    world: World | None = None
    _ending: "Ending | None" = None
    _number: int = 0

    @property
    def now(self) -> World:
        assert self.world is not None
        return self.world

    async def begin(self) -> None:
        """Start a worker with a mood of its own."""
        self.mood = Mood()
        self._ending = Ending()
        self.world = await self.nursery.start(self._hold, self._ending)

    async def _hold(self, ending: "Ending", *, task_status: trio.TaskStatus[World]) -> None:
        async with self.ground.worker() as world:
            task_status.started(world)
            await ending.asked.wait()
        ending.done.set()

    def rewire(self, parts: Parts) -> Parts:
        return replace(parts, store=self.mood.wrapped(parts.store))

    async def end(self) -> None:
        assert self._ending is not None
        await self._ending.take_place()

    async def crash(self) -> None:
        """From here on nothing that the worker does reaches the store."""
        self.mood.is_now = "dead"
        await self.end()
        await self.begin()

    async def hand_over(self, overlap_s: float) -> None:
        """Another worker takes over while this one still believes that it is the one."""
        old = self._ending
        await self.begin()
        await trio.sleep(overlap_s)
        assert old is not None
        await old.take_place()

    def next(self, words: str) -> str:
        self._number += 1
        return f"{words} {self._number:04d}"

    def partner(self, chat: int) -> int:
        return (self.now.peer, self.now.stranger)[chat].id

    async def give(self, chat: int, number: int) -> None:
        for _ in range(number):
            text = self.next("out")
            self.given[chat].append(text)
            await self.now.store.enqueue(self.now.account, str(self.partner(chat)), [text])

    def write(self, chat: int, number: int) -> None:
        for _ in range(number):
            text = self.next("in")
            self.written[chat].append(text)
            self.ground.sandbox.send_text(self.partner(chat), self.now.me.id, text)

    async def moody(self, mood: str, seconds: float) -> None:
        self.mood.is_now = mood
        await trio.sleep(seconds)
        self.mood.is_now = "well"

    async def troubled(self, fault: Fault, seconds: float) -> None:
        number = self.ground.sandbox.faults.set(fault)
        await trio.sleep(seconds)
        self.ground.sandbox.faults.clear(number)

    async def agree(self) -> None:
        """Wait until nothing is open, and compare both ledgers."""
        store = self.now.store
        with trio.move_on_after(PATIENCE_S):
            while await store.list_outbox() or not await self._all_in():
                await trio.sleep(1)
        assert [(row.state.value, row.error) for row in await store.list_outbox()] == []
        incoming = await store.transcript(self.now.account, direction="inbound")
        outgoing = await store.transcript(self.now.account, direction="outbound")
        for chat in CHATS:
            partner = self.partner(chat)
            lines = self.ground.sandbox.chat(partner, self.now.me.id)
            delivered = [line.text for line in lines if not line.outgoing]
            assert compare(self.given[chat], delivered).clean, (self.given[chat], delivered)
            stored = [text for at, text in incoming if at == partner]
            assert sorted(stored) == self.written[chat]
            own = self.ground.sandbox.chat(self.now.me.id, partner)
            assert sorted(text for at, text in outgoing if at == partner) == sorted(
                line.text for line in own if line.outgoing
            )

    async def _all_in(self) -> bool:
        stored = await self.now.store.transcript(self.now.account, direction="inbound")
        return len(stored) >= sum(map(len, self.written.values()))


@asynccontextmanager
async def open_life(folder: Path) -> AsyncGenerator[Life]:
    lives: list[Life] = []
    async with open_ground(folder, rewire=lambda parts: lives[0].rewire(parts)) as ground:
        ground.sandbox.behave(duplicates="live")  # two workers at once is what handovers are about here
        async with trio.open_nursery() as nursery:
            life = Life(ground, nursery)
            lives.append(life)
            await life.begin()
            await trio.sleep(1)  # online: what is written before the account's first time is no news
            yield life
            await life.end()


Step = Callable[[Life], Awaitable[None]]

chats = st.sampled_from(CHATS)
numbers = st.integers(1, 4)
moments = st.sampled_from([0.0, 0.001, 0.01, 0.5, 3.0])
whiles = st.sampled_from([0.0, 0.01, 1.0, 12.0, 40.0])


class RandomLife(RuleBasedStateMachine):
    """The rules write the script."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[Step] = []

    @rule(chat=chats, number=numbers, pause=moments)
    def the_application_writes(self, chat: int, number: int, pause: float) -> None:
        async def step(life: Life) -> None:
            await life.give(chat, number)
            await trio.sleep(pause)

        self.script.append(step)

    @rule(chat=chats, number=numbers, pause=moments)
    def a_partner_writes(self, chat: int, number: int, pause: float) -> None:
        async def step(life: Life) -> None:
            life.write(chat, number)
            await trio.sleep(pause)

        self.script.append(step)

    @rule(seconds=st.sampled_from([1.0, 20.0, 100.0, 600.0]))
    def time_passes(self, seconds: float) -> None:
        async def step(_: Life) -> None:
            await trio.sleep(seconds)

        self.script.append(step)

    @rule(
        action=st.sampled_from(["blackhole", "drop", "accept_mute", "accept_drop", "half_close"]),
        method=st.sampled_from([SEND, SEND, DIFFERENCE]),
        count=st.integers(1, 3),
        chat=chats,
        seconds=whiles,
    )
    def requests_fail(self, action: Any, method: str, count: int, chat: int, seconds: float) -> None:
        async def step(life: Life) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(life.troubled, Fault(action, method=method, count=count), seconds)
                await life.give(chat, 1)
                life.write(chat, 1)

        self.script.append(step)

    @rule(seconds=st.sampled_from([1, 7, 61]), method=st.sampled_from([SEND, DIFFERENCE]), chat=chats)
    def telegram_says_later(self, seconds: int, method: str, chat: int) -> None:
        async def step(life: Life) -> None:
            life.ground.sandbox.faults.set(Fault("flood_wait", method=method, seconds=seconds, count=1))
            await life.give(chat, 1)
            life.write(chat, 1)

        self.script.append(step)

    @rule(code=st.sampled_from([500, -503]), chat=chats)
    def telegram_has_trouble(self, code: int, chat: int) -> None:
        async def step(life: Life) -> None:
            life.ground.sandbox.faults.set(
                Fault("rpc_error", method=SEND, code=code, message="INTERNAL", count=1)
            )
            await life.give(chat, 1)

        self.script.append(step)

    @rule(seconds=whiles)
    def the_line_is_a_hole(self, seconds: float) -> None:
        self.script.append(lambda life: life.troubled(Fault("blackhole", method="raw"), seconds))

    @rule()
    def the_line_is_cut(self) -> None:
        async def step(life: Life) -> None:
            life.ground.sandbox.drop_connections()

        self.script.append(step)

    @rule(
        repeats=st.sampled_from(["original", "error"]),
        answers=st.sampled_from(["short", "full"]),
        pushes=st.sampled_from(["short", "full"]),
        slice_=st.sampled_from([1, 3, 1000]),
    )
    def telegram_has_other_manners(self, repeats: str, answers: str, pushes: str, slice_: int) -> None:
        async def step(life: Life) -> None:
            life.ground.sandbox.behave(
                repeats=repeats, answers=answers, pushes=pushes, difference_limit=slice_
            )

        self.script.append(step)

    @rule(mood=st.sampled_from(["away", "lost"]), seconds=whiles, chat=chats)
    def the_store_is_moody(self, mood: str, seconds: float, chat: int) -> None:
        async def step(life: Life) -> None:
            await life.give(chat, 1)
            life.write(chat, 1)
            await life.moody(mood, seconds)

        self.script.append(step)

    @rule(pause=moments, chat=chats)
    def the_worker_crashes(self, pause: float, chat: int) -> None:
        async def step(life: Life) -> None:
            await life.give(chat, 1)
            life.write(chat, 1)
            await trio.sleep(pause)
            await life.crash()

        self.script.append(step)

    @rule(pause=moments, overlap=moments, chat=chats)
    def another_worker_takes_over(self, pause: float, overlap: float, chat: int) -> None:
        async def step(life: Life) -> None:
            await life.give(chat, 2)
            await trio.sleep(pause)
            await life.hand_over(overlap)

        self.script.append(step)

    def teardown(self) -> None:
        """Play the script."""
        if not self.script:
            return

        async def play() -> None:
            with TemporaryDirectory() as folder:
                async with open_life(Path(folder)) as life:
                    for step in self.script:
                        await step(life)
                    life.ground.sandbox.faults.clear()
                    await life.agree()

        trio.run(play, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.slow
def test_whatever_happens_both_ledgers_agree() -> None:
    run_state_machine_as_test(RandomLife, settings=settings(max_examples=12, stateful_step_count=15))
