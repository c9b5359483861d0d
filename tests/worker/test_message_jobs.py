"""A whole worker does message jobs: what the application asks for arrives at Telegram, in its order."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trio
import trio.testing

from embedded.embedded_kit import SqliteApplication
from tgworker.app.adapters import LOOK_EVERY_S, WATCHED_S
from tgworker.app.parts import Parts
from tgworker.embedded import EmbeddedStore
from tgworker.messaging.events import JobFinished
from tgworker.messaging.models import MessageId
from tgworker.messaging.pace import PaceLimits
from tgworker.messaging.pacing import PUBLISHED, UNPACED, Rates
from tgworker.sandbox import Fault
from worker.worker_world import OWNER, World, open_world

PACE = PaceLimits(fast_s=0.1, slow_s=0.1, watched_s=WATCHED_S, hush_s=0.1)


@dataclass
class Inbox:
    """The application beside a running worker, as a process of its own would be."""

    world: World
    app: SqliteApplication

    def job(self, action: str, message: MessageId | None = None, **payload: object) -> str:
        values = {"owner_id": OWNER, "message_id": message, "action": action, "payload": json.dumps(payload)}
        return self.app.insert("message_jobs", **values)

    def status(self, job: str) -> tuple[str, str | None]:
        row = self.app.row("message_jobs", job)
        assert row is not None
        return row["status"], row["error_message"]

    async def done(self, *jobs: str, within_s: float = 2) -> None:
        """Wait until they are completed; by default no longer than a job may take to begin."""
        with trio.move_on_after(within_s):
            while any(self.status(job)[0] in {"pending", "processing"} for job in jobs):
                await trio.sleep(0.01)
        assert [self.status(job) for job in jobs] == [("completed", None)] * len(jobs)

    async def sent(self, text: str) -> MessageId:
        message = await self.world.give(text)
        row = self.app.row("messages", message)
        while row is not None and not row["external_message_id"].isdigit():
            await trio.sleep(0.01)
            row = self.app.row("messages", message)
        return message


@asynccontextmanager
async def inbox(folder: Path, rates: Rates = UNPACED) -> AsyncGenerator[Inbox]:
    def watched(parts: Parts) -> Parts:
        assert isinstance(parts.store, EmbeddedStore)
        return replace(parts, wakeup=parts.store.watch(every_s=LOOK_EVERY_S), pace=PACE)

    async with open_world(folder, rewire=watched, rates=rates) as world:
        await world.until(2)
        app = SqliteApplication(world.folder / "tgworker.db")
        try:
            yield Inbox(world, app)
        finally:
            app.close()


async def test_every_action_arrives(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with inbox(tmp_path) as here:
        world, sandbox = here.world, here.world.sandbox
        me, peer, other = world.me, world.peer, world.stranger
        sandbox.befriend(me.id, other.id)
        message, doomed = await here.sent("hello"), await here.sent("oops")
        chat = here.app.row("messages", message)
        assert chat is not None
        sandbox.send_text(peer.id, me.id, "answer")

        await here.done(here.job("edit", message, text="**hello** again", parse_mode="markdown"))
        assert world.arrived() == ["hello again", "oops"]
        await here.done(here.job("delete", doomed))
        assert world.arrived() == ["hello again"]
        (summary,) = sandbox.chats(me.id)
        assert summary.unread == 1
        await here.done(here.job("typing", conversation_id=chat["conversation_id"]))
        (summary,) = sandbox.chats(me.id)
        assert summary.unread == 0
        await here.done(here.job("mark_read", conversation_id=chat["conversation_id"]))
        await here.done(here.job("react", message, emoji="👍"))
        await here.done(here.job("pin", message), here.job("unpin", message))
        await here.done(here.job("forward", message, to=f"@{other.username}"))
        assert world.arrived(other) == ["hello again"]
        actions = [event.action for _, event in world.seen(JobFinished) if event.outcome == "done"]
        wanted = ["edit", "delete", "typing", "mark_read", "react", "pin", "unpin", "forward"]
        assert actions == wanted
        deleted = here.app.row("messages", doomed)
        assert deleted is not None  # the application's row stays


async def test_an_edit_waits_for_its_message_and_changes_every_part_of_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with inbox(tmp_path) as here:
        world = here.world
        world.sandbox.faults.set(Fault("flood_wait", method="messages.sendMessage", seconds=30, count=1))
        message = await world.give("word " * 1500)  # two parts
        edits = [here.job("edit", message, text=text) for text in ("w " * 3000, "the end")]
        await world.until(20)
        assert [here.status(job) for job in edits] == [("pending", None)] * 2
        await world.until(33)
        await here.done(*edits, within_s=4)
        assert world.arrived() == ["the end"]


async def test_a_delete_of_a_message_that_waits_keeps_it_from_being_sent(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with inbox(tmp_path) as here:
        world = here.world
        world.sandbox.faults.set(Fault("flood_wait", method="messages.sendMessage", seconds=30, count=1))
        first, second = await world.give("first"), await world.give("second")
        await trio.sleep(1)
        await here.done(here.job("delete", second))
        await world.until(60)
        assert world.arrived() == ["first"]
        assert (await world.state_of(first), await world.state_of(second)) == ("sent", "cancelled")


async def test_a_lost_answer_is_repeated_and_a_forward_is_not_doubled(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with inbox(tmp_path) as here:
        world = here.world
        world.sandbox.befriend(world.me.id, world.stranger.id)
        message = await here.sent("hello")
        world.sandbox.faults.set(Fault("accept_drop", method="messages.forwardMessages", count=2))
        await here.done(here.job("forward", message, to=f"@{world.stranger.username}"), within_s=30)
        assert world.arrived(world.stranger) == ["hello"]
        outcomes = [(event.attempt, event.outcome) for _, event in world.seen(JobFinished)]
        assert outcomes == [(1, "unknown"), (2, "unknown"), (3, "done")]


async def test_a_job_that_nobody_can_do_ends_and_holds_up_nothing(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with inbox(tmp_path) as here:
        message = await here.sent("hello")
        here.world.sandbox.send_text(here.world.peer.id, here.world.me.id, "theirs")
        await trio.sleep(1)
        (theirs,) = here.app.rows("messages", direction="inbound")
        odd = here.job("Edit ", message, text="x")
        not_mine = here.job("edit", MessageId(theirs["id"]), text="x")
        fine = here.job("edit", message, text="fine")
        await here.done(fine)
        assert here.status(odd)[0] == "failed"
        status, why = here.status(not_mine)
        assert (status, why) == (
            "failed",
            "MESSAGE_AUTHOR_REQUIRED: only who wrote a message may edit it",
        )
        assert here.world.arrived() == ["fine"]


async def test_forwards_are_paced_as_what_is_sent(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with inbox(tmp_path, PUBLISHED) as here:
        world = here.world
        message = await here.sent("hello")
        began_s = world.now_s
        jobs = [here.job("forward", message, to=str(world.peer.id)) for _ in range(12)]
        await here.done(*jobs, within_s=60)
        assert len(world.arrived()) == 13
        assert round(world.now_s - began_s, 3) >= 13 - 5, (
            "one message a second into one chat, after a burst of 5"
        )
        assert world.sandbox.statistics().floods == {}
