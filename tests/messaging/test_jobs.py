"""Message jobs: the loop that claims and settles, and the account that does them."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing

from messaging.messaging_fakes import (
    ANNA,
    BERT,
    PEER,
    FakeStore,
    RecordingPulse,
    Reports,
    ScriptedConnection,
    Weather,
    attempt,
    format_text,
    growing,
    unpaced_gate,
)
from tgworker.messaging.bounded import Outage
from tgworker.messaging.changes import Deleted
from tgworker.messaging.desk import Desk
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.events import JobFinished, JobsWaiting
from tgworker.messaging.gate import Gate
from tgworker.messaging.job_actions import job_random_id
from tgworker.messaging.job_desk import JobDesks
from tgworker.messaging.job_doing import AT_ONCE, JobDoer
from tgworker.messaging.job_outcomes import Done, JobOutcome, JobVerdict, SettledJob
from tgworker.messaging.jobs import run_jobs
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, JobId, JobMessage, MessageJob, Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused, Released, Unknown
from tgworker.messaging.store_ports import JobTurn

BOB = Peer(88, PeerKind.USER, access_hash=6)


def job(name: str = "job", action: str = "mark_read", payload: Any = None, **more: Any) -> MessageJob:
    values: dict[str, Any] = {"account_id": ANNA, "to": "77", "peer": PEER, "telegram_ids": (70,), **more}
    return MessageJob(JobId(name), action=action, payload=payload or {}, **values)


def of_message(name: str, action: str, payload: Any = None, **more: Any) -> MessageJob:
    return job(name, action, payload, message=JobMessage("text", "sent"), **more)


# ---------------------------------------------------------------- an account's


@dataclass
class Room:
    connection: ScriptedConnection
    store: FakeStore
    desks: JobDesks
    sends: Desk
    gate: Gate
    report: Reports
    pulse: RecordingPulse
    ended: list[BaseException] = field(default_factory=list[BaseException])

    def give(self, *jobs: MessageJob) -> None:
        self.desks.hand_over(jobs)

    @property
    def outcomes(self) -> dict[str, JobOutcome]:
        return {each.job.id: each.outcome for each in self.desks.unsettled()}

    @property
    def asked(self) -> list[tuple[float, tuple[object, ...]]]:
        return [(at, request) for at, _, request in self.connection.asked_jobs]


@asynccontextmanager
async def doing() -> AsyncGenerator[Room]:
    """An account that does jobs for the length of the block."""
    dispatch, report, pulse, desks = Dispatch(), Reports(), RecordingPulse(), JobDesks()
    store = FakeStore()
    gate = unpaced_gate(store, report)
    with dispatch.open_desk(ANNA) as sends:
        room = Room(ScriptedConnection(), store, desks, sends, gate, report, pulse)
        async with trio.open_nursery() as nursery:
            with desks.open(ANNA) as desk:
                doer = JobDoer(
                    ANNA,
                    pulse,
                    desk=desk,
                    sends=sends,
                    gate=gate,
                    connection=room.connection,
                    store=store,
                    limits=Limits(),
                    outage=Outage(pulse, report, growing),
                    report=report,
                    format_text=format_text,
                )

                async def run() -> None:
                    try:
                        await doer.run()
                    except TelegramAway as away:
                        room.ended.append(away)
                        nursery.cancel_scope.cancel()

                for _ in range(AT_ONCE):
                    nursery.start_soon(run)
                yield room
            nursery.cancel_scope.cancel()


async def test_each_action_is_one_request_or_two(autojump_clock: trio.testing.MockClock) -> None:
    async with doing() as here:
        here.connection.resolves = BOB
        jobs = {
            "edit": of_message("edit", "edit", {"text": "*new*", "parse_mode": "stars"}),
            "delete": of_message("delete", "delete", {"revoke": False}, telegram_ids=(70, 71)),
            "typing": job("typing", "typing", telegram_ids=()),
            "read": job("read", "mark_read", telegram_ids=()),
            "upto": of_message("upto", "read", telegram_ids=(70, 71)),
            "react": of_message("react", "react", {"emoji": "👍"}),
            "pin": of_message("pin", "pin", {"notify": True}),
            "unpin": of_message("unpin", "unpin", {"for_both": False}),
            "forward": of_message("forward", "forward", {"to": "@bob"}, telegram_ids=(70, 71)),
        }
        for name, each in jobs.items():
            here.give(each)
            await trio.testing.wait_all_tasks_blocked()
            assert here.outcomes[name] == Done(), name
        random_ids = (job_random_id(JobId("forward"), 0), job_random_id(JobId("forward"), 1))
        assert [request for _, request in here.asked] == [
            ("edit", 70, "new"),
            ("delete", (70, 71), False),
            ("mark_read", 0),
            ("typing",),
            ("mark_read", 0),
            ("mark_read", 71),
            ("react", 70, "👍"),
            ("pin", 70, True, True, True),
            ("pin", 70, False, False, False),
            ("forward", (70, 71), 88, random_ids),
        ]
        assert here.connection.resolved == [(0, "@bob")]
        assert [(each.action, each.outcome) for each in here.report.of(JobFinished)][:2] == [
            ("edit", "done"),
            ("delete", "done"),
        ]


async def test_the_store_hears_what_was_deleted(autojump_clock: trio.testing.MockClock) -> None:
    async with doing() as here:
        here.store.weather.will("ingest", "away")
        here.give(of_message("a", "delete", telegram_ids=(70, 71)))
        await trio.sleep(5)
        assert [each.changes for each in here.store.batches] == [(Deleted(77, (70, 71)),)]
        assert here.outcomes == {"a": Done()}


async def test_an_edit_of_a_split_text_changes_its_parts_and_deletes_those_left_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with doing() as here:
        message = JobMessage("text", "sent", parts=3)
        here.give(job("a", "edit", {"text": "short"}, telegram_ids=(70, 71, 72), message=message))
        await trio.testing.wait_all_tasks_blocked()
        assert [request for _, request in here.asked] == [("edit", 70, "short"), ("delete", (71, 72), True)]
        assert [each.changes for each in here.store.batches] == [(Deleted(77, (71, 72)),)]
        assert here.outcomes == {"a": Done()}


async def test_what_cannot_be_done_asks_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with doing() as here:
        here.give(
            of_message("a", "Edit "),
            of_message("b", "edit", {"text": 5}),
            job("c", "delete", message=JobMessage("text", "expired"), telegram_ids=()),
        )
        await trio.testing.wait_all_tasks_blocked()
        assert here.asked == []
        kinds = {name: type(outcome) for name, outcome in here.outcomes.items()}
        assert kinds == {"a": Refused, "b": Refused, "c": Done}
        assert {each.action for each in here.report.of(JobFinished)} == {"unknown", "edit", "delete"}


async def test_no_answer_within_30_s_leaves_it_open(autojump_clock: trio.testing.MockClock) -> None:
    async with doing() as here:
        here.connection.job_script.append(None)
        here.give(job("a"))
        await trio.sleep(29.999)
        assert here.outcomes == {}
        await trio.sleep(0.002)
        assert here.outcomes == {"a": Unknown("no answer within 30 s")}
        assert here.report.at[-1][0] == 30


async def test_one_that_hangs_holds_up_nobody_elses(autojump_clock: trio.testing.MockClock) -> None:
    async with doing() as here:
        here.connection.job_script.append(None)
        here.give(job("a"))
        await trio.testing.wait_all_tasks_blocked()
        here.give(job("b"), job("c"))
        await trio.sleep(1)
        assert here.outcomes == {"b": Done(), "c": Done()}


async def test_an_announced_wait_is_kept_for_that_action_and_no_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with doing() as here:
        here.connection.job_script.append(Deferred(33, "FLOOD_WAIT_33", HoldsUp.METHOD))
        here.give(of_message("a", "react", {"emoji": "👍"}))
        await trio.sleep(3)
        here.give(of_message("b", "react", {"emoji": "👍"}), job("c"))
        await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        assert here.outcomes == {
            "a": Deferred(33, "FLOOD_WAIT_33", HoldsUp.METHOD),
            "b": Deferred(30, "FLOOD_WAIT_33"),
            "c": Done(),
        }
        assert [request[0] for _, request in here.asked] == ["react", "mark_read"]


async def test_what_is_being_sent_goes_first_for_half_a_second_at_most(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with doing() as here:
        with here.sends.fly(attempt("a")):
            here.give(job("a"))
            await trio.sleep(0.4)
            assert here.asked == []
            await trio.sleep(1)
        assert here.asked == [(0.5, ("mark_read", 70))]


async def test_a_chat_that_nobody_knows_is_looked_for(autojump_clock: trio.testing.MockClock) -> None:
    async with doing() as here:
        here.connection.resolve_script.extend([Refused("PEER_NOT_FOUND"), Deferred(9, "FLOOD_WAIT_9"), None])
        for name in "abc":
            here.give(job(name, peer=None if name != "c" else replace(PEER, access_hash=None)))
            await trio.sleep(16)
        assert here.outcomes == {
            "a": Refused("PEER_NOT_FOUND"),
            "b": Deferred(9, "FLOOD_WAIT_9"),
            "c": Deferred(5, "Telegram did not say in time whom it is about"),
        }
        assert here.asked == []


async def test_a_line_that_breaks_leaves_open_what_was_asked_and_gives_back_the_rest(
    autojump_clock: trio.testing.MockClock,
) -> None:
    jobs = [job(str(number)) for number in range(AT_ONCE + 2)]
    async with doing() as here:
        here.connection.job_script.extend([None] * (AT_ONCE - 1) + [TelegramAway("the line broke")])
        here.give(*jobs)
        await trio.sleep(1)
    assert [str(each) for each in here.ended] == ["the line broke"]
    kinds = {name: type(outcome).__name__ for name, outcome in here.outcomes.items()}
    assert kinds == {str(n): "Unknown" if n < AT_ONCE else "Released" for n in range(AT_ONCE + 2)}
    assert Unknown("the line broke") in here.outcomes.values()


# ---------------------------------------------------------------- the loop


class Queue:
    """Fills `store_ports.JobStore`, as far as the loop sees it."""

    def __init__(self, *jobs: MessageJob) -> None:
        self.weather = Weather()
        self.jobs = list(jobs)
        self.waiting = 0
        self.asked: list[tuple[float, set[AccountId], set[JobId]]] = []
        self.verdicts: list[tuple[float, JobVerdict]] = []

    async def count_jobs(self) -> int:
        return await self.weather.face("count", lambda: len(self.jobs))

    async def claim_jobs(
        self, account_ids: Collection[AccountId], *, known: Collection[JobId], limit: int = 20
    ) -> JobTurn:
        self.asked.append((trio.current_time(), set(account_ids), set(known)))
        found = [each for each in self.jobs if each.account_id in account_ids and each.id not in known]
        return await self.weather.face("claim", lambda: JobTurn(tuple(found[:limit]), self.waiting))

    async def settle_jobs(self, verdicts: Sequence[JobVerdict]) -> None:
        def work() -> None:
            self.verdicts += [(trio.current_time(), each) for each in verdicts]
            ended = {each.job_id for each in verdicts if each.ended}
            self.jobs = [each for each in self.jobs if each.id not in ended]

        await self.weather.face("settle", work)


@asynccontextmanager
async def looping(queue: Queue) -> AsyncGenerator[tuple[JobDesks, Reports]]:
    desks, report, pulse = JobDesks(), Reports(), RecordingPulse()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pulse.watch)
        loop = partial(
            run_jobs, pulse, store=queue, desks=desks, limits=Limits(), delays=growing, report=report
        )
        await nursery.start(loop)
        yield desks, report
        nursery.cancel_scope.cancel()


async def test_jobs_are_claimed_when_an_account_comes_online_and_settled_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    queue = Queue(job("a"), job("b", account_id=BERT))
    async with looping(queue) as (desks, report):
        await trio.sleep(2)
        with desks.open(ANNA) as desk:
            found = await desk.take()
            assert (found.id, trio.current_time()) == ("a", 2)
            with desk.hold(found) as flight:
                await trio.sleep(1)
                flight.land(Done())
            await trio.testing.wait_all_tasks_blocked()
            assert queue.verdicts == [(3, JobVerdict(JobId("a"), ended=True))]
            assert desks.known() == frozenset()
        assert queue.asked[:3] == [(0, set(), set()), (2, {ANNA}, set()), (3, {ANNA}, set())]
        assert [each.waiting for each in report.of(JobsWaiting)] == [2]


async def test_the_tables_are_asked_every_5_s_while_nothing_happens(
    autojump_clock: trio.testing.MockClock,
) -> None:
    queue = Queue()
    async with looping(queue) as (_, _):
        await trio.sleep(21)
        assert [at for at, _, _ in queue.asked] == [0]
        assert queue.weather.times("count") == [0, 5, 10, 15, 20]
        queue.jobs.append(job("a"))  # (its account is not online, but it may have to be refused)
        await trio.sleep(10)
        assert [at for at, _, _ in queue.asked] == [0, 25, 30]


async def test_what_is_put_off_is_asked_for_at_its_time(autojump_clock: trio.testing.MockClock) -> None:
    queue = Queue(job("a"))
    async with looping(queue) as (desks, _):
        with desks.open(ANNA) as desk:
            with desk.hold(await desk.take()) as flight:
                flight.land(Deferred(2, "FLOOD_WAIT_2"))
            queue.jobs.clear()
            await trio.sleep(1)
            asked = len(queue.asked)
            queue.jobs.append(job("a"))
            await trio.sleep(0.5)
            assert len(queue.asked) == asked
            assert (await desk.take()).id == "a"
            assert trio.current_time() == 2


async def test_an_account_that_is_gone_before_the_answer_gives_its_jobs_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    desks = JobDesks()
    desks.hand_over([job("a")])
    assert desks.unsettled() == (SettledJob(job("a"), Released("the account went offline")),)
    assert desks.known() == {"a"}


async def test_a_job_that_comes_twice_is_done_once(autojump_clock: trio.testing.MockClock) -> None:
    desks = JobDesks()
    with desks.open(ANNA) as desk:
        desks.hand_over([job("a")])
        desks.hand_over([job("a"), job("b")])
        assert [(await desk.take()).id for _ in range(2)] == ["a", "b"]


@pytest.mark.parametrize("happening", ["away", "hang", "lost"])
async def test_an_outage_is_outlasted_and_no_outcome_is_lost(
    autojump_clock: trio.testing.MockClock, happening: str
) -> None:
    queue = Queue(job("a"))
    queue.weather.will("claim", happening)
    queue.weather.will("settle", happening, happening)
    async with looping(queue) as (desks, _):
        with desks.open(ANNA) as desk:
            with desk.hold(await desk.take()) as flight:
                flight.land(Done())
            await trio.sleep(60)
            assert {each.job_id for _, each in queue.verdicts} == {"a"}
            assert (queue.jobs, desks.known(), desks.unsettled()) == ([], frozenset(), ())


async def test_a_job_that_waits_for_its_message_is_asked_for_half_a_second_after_some_were_settled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    queue = Queue()
    async with looping(queue) as (desks, _):
        await trio.sleep(1)
        desks.settled()
        await trio.sleep(2)
        assert len(queue.asked) == 1  # none waits
        queue.waiting = 1
        desks.ring()
        await trio.testing.wait_all_tasks_blocked()
        desks.settled()
        await trio.sleep(0.4)
        desks.settled()
        await trio.sleep(1)
        assert [at for at, _, _ in queue.asked] == [0, 3, 3.5]
