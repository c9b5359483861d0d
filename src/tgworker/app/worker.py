"""A running worker: its life, and what it says about itself."""

import os
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any

import trio

from tgworker import __version__
from tgworker.app.children import SupervisedAccounts
from tgworker.app.parts import STORE_BACKOFF, Parts
from tgworker.app.status import AccountStates, StoreState, loops_of
from tgworker.app.tree import Loops, child, tree
from tgworker.messaging.account_context import AccountContext
from tgworker.messaging.bell import Bell
from tgworker.messaging.bounded import Delays
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.events import Event, HeartbeatMissed, MessagesUnsure, StoreUnavailable
from tgworker.messaging.fetching import AT_ONCE, FetchPlan
from tgworker.messaging.hearing import Ears
from tgworker.messaging.heartbeat import worker_status
from tgworker.messaging.history_desk import HistoryDesks
from tgworker.messaging.job_desk import JobDesks
from tgworker.messaging.job_outcomes import verdict
from tgworker.messaging.leases import Nudge
from tgworker.messaging.models import Account, AccountId, Heartbeat, WorkerStatus
from tgworker.messaging.pace import Pace
from tgworker.messaging.preparing import Preparer
from tgworker.messaging.presence_writing import PresenceWriter
from tgworker.messaging.spool import Spool
from tgworker.messaging.stagger import Stagger
from tgworker.messaging.store_ports import HeartbeatWriter
from tgworker.messaging.uploads import Uploads
from tgworker.operations.probes import WorkerFacts
from tgworker.operations.status_socket import serve_status
from tgworker.operations.task_stacks import every_stack
from tgworker.supervision import (
    Backoff,
    Pulse,
    Snapshot,
    Supervisor,
    SupervisorState,
    open_supervisor,
)

SPOOL = "spool"
"""Where in the data folder files are on their way between Telegram and where they are kept."""

FAREWELL_S = 2.0
"""Once the tree has stopped: seconds for settling what is left, and as many for the last heartbeat."""


class Worker:
    """A running worker: its tree, and what it says about itself.

    Args:
        parts: What it is made of.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.dispatch = Dispatch()
        self._jobs = JobDesks()
        self._presence = PresenceWriter()
        self.states = AccountStates()
        self._store = StoreState(parts.limits.database_s)
        self._synced = trio.Event()
        self._nudge = Nudge()
        self._heartbeats = self._seq = self._unsure = 0
        self._supervisor: Supervisor | None = None
        histories = HistoryDesks()
        store_delays = _delays(STORE_BACKOFF, parts.rng)
        self._ears = Ears()
        self._spool = Spool(parts.data_dir / SPOOL)
        self.accounts = SupervisedAccounts(
            AccountContext(
                telegram=parts.telegram,
                vault=parts.vault,
                store=parts.store,
                dispatch=self.dispatch,
                histories=histories,
                jobs=self._jobs,
                presence=self._presence,
                limits=parts.limits,
                line_delays=_delays(parts.line_backoff, parts.rng),
                flood_delays=_delays(parts.flood_backoff, parts.rng, least=0.5),
                stagger=Stagger(parts.line_every_s),
                rates=parts.rates,
                store_delays=store_delays,
                report=self._report,
                preparer=Preparer(
                    parts.files,
                    parts.transcoder,
                    bucket=parts.attachments_bucket,
                    spool=self._spool.folder,
                    limits=parts.limits,
                ),
                uploads=Uploads(parts.rng),
                fetching=FetchPlan(
                    files=parts.files,
                    spool=self._spool,
                    bucket=parts.attachments_bucket,
                    avatars_bucket=parts.avatars_bucket,
                    rules=parts.media,
                    turns=trio.CapacityLimiter(AT_ONCE),
                ),
                ears=self._ears,
                renew=parts.renew,
            ),
            child=partial(child, parts),
            forgotten=self._forget,
        )
        self._loops = Loops(
            parts=parts,
            accounts=self.accounts,
            dispatch=self.dispatch,
            histories=histories,
            jobs=self._jobs,
            presence=self._presence,
            logins=Bell(),
            nudge=self._nudge,
            synced=self._synced,
            pace=None if parts.pace is None else Pace(parts.pace),
            store_delays=store_delays,
            report=self._report,
        )

    def _forget(self, account_id: AccountId) -> None:
        self.states.forget(account_id)
        self._ears.forget(account_id)
        self._presence.forget(account_id)

    async def _serve_status(self, pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:  # noqa: ARG002
        async with trio.open_nursery() as nursery:
            await nursery.start(
                partial(
                    serve_status,
                    {"status": self.describe, "stacks": self.describe_stacks, "sync": self.describe_sync},
                    data_dir=self.parts.data_dir,
                )
            )
            task_status.started()

    # ---------------------------------------------------------------- life

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["Worker"]:
        """Run the worker for the length of the block.

        Leaving it stops the tree in order, settles what came back last, and writes ``offline``.
        """
        parts = self.parts
        self._spool.prepare(time.time())
        try:
            async with open_supervisor(
                tree(
                    self._loops,
                    heartbeat=self._heartbeat,
                    status=self.status,
                    serve=self._serve_status,
                ),
                rng=parts.rng,
                observers=parts.observers,
                dump=parts.dump,
                on_wedged=parts.on_wedged,
            ) as supervisor:
                self._supervisor = supervisor
                yield self
        finally:
            with trio.CancelScope(shield=True):
                await self._farewell()

    async def _farewell(self) -> None:
        unsettled = self.dispatch.unsettled()
        if unsettled:
            with trio.move_on_after(FAREWELL_S):
                try:
                    await self.parts.store.turn(unsettled, {}, known=())
                    self.dispatch.forget(unsettled)
                except StoreAway as error:
                    # The next start claims these rows again, with the same random_id.
                    self._report(StoreUnavailable("database.turn", str(error), 0))
        jobs = self._jobs.unsettled()
        if jobs:
            with trio.move_on_after(FAREWELL_S):
                try:
                    await self.parts.store.settle_jobs([verdict(each) for each in jobs])
                    self._jobs.forget(jobs)
                except StoreAway as error:
                    # The next start claims them again: each may be repeated.
                    self._report(StoreUnavailable("database.settle_jobs", str(error), 0))
        leases = self.parts.leases
        if leases is not None and leases.held():
            with trio.move_on_after(FAREWELL_S):
                try:
                    await leases.release(leases.held())
                except StoreAway as error:
                    # They run out by themselves.
                    self._report(StoreUnavailable("database.leases", str(error), 0))
        async with trio.open_nursery() as nursery:
            last = self._heartbeat(WorkerStatus.OFFLINE)
            for writer in self.parts.heartbeats:
                nursery.start_soon(self._say_offline, writer, last)

    async def _say_offline(self, writer: HeartbeatWriter, last: Heartbeat) -> None:
        with trio.move_on_after(FAREWELL_S):
            try:
                await writer.write(last)
            except StoreAway as error:
                self._report(HeartbeatMissed(writer.name, last.seq, str(error)))

    async def wait_synced(self) -> None:
        """Wait until the accounts were read, and their children started, for the first time."""
        await self._synced.wait()

    def _report(self, event: Event) -> None:
        if isinstance(event, MessagesUnsure):
            self._unsure = event.count
        self.states.note(event)
        self._store.note(event, trio.current_time())
        self.parts.report(event)

    # ---------------------------------------------------------------- what it says about itself

    def snapshot(self) -> Snapshot:
        """The tree as it is now."""
        if self._supervisor is None:
            raise RuntimeError("the worker was not opened")
        return self._supervisor.snapshot()

    def left(self) -> tuple[str, ...]:
        """The paths of the children that have not ended, for who waits for the worker's end."""
        if self._supervisor is None:
            return ()
        return tuple(child.path for child in self.snapshot().walk() if child.alive)

    def status(self) -> WorkerStatus:
        """What the worker as a whole is."""
        if not self._synced.is_set():
            return WorkerStatus.STARTING
        return worker_status(loops_of(self.snapshot()), accounts_away=self.states.away())

    @property
    def opened(self) -> bool:
        """Whether there is a tree to tell of."""
        return self._supervisor is not None

    def facts(self) -> WorkerFacts:
        """What probes are answered by."""
        state = self.snapshot().state if self.opened else SupervisorState.RUNNING
        return WorkerFacts(
            supervised=state is not SupervisorState.STOPPED,
            stopping=state is SupervisorState.STOPPING,
            synced=self._synced.is_set(),
            status=self.status().value,
            store_away=self.store_away(),
            # (One that waits for Telegram's leave to send has a line, and hears what comes in.)
            telegram_away=self.states.away() > 0 and not self.dispatch.online(),
        )

    def store_away(self) -> bool:
        """Whether the store did not answer when it was asked last."""
        return self._store.away(trio.current_time())

    def describe(self) -> Mapping[str, Any]:
        """What ``status --json`` shows: JSON-ready, without a secret, a message text or a phone number."""
        snapshot = self.snapshot()
        return {
            "worker_id": self.parts.worker_id,
            "status": self.status().value,
            "version": __version__,
            "pid": os.getpid(),
            "incarnation": self.parts.incarnation,
            "heartbeats": self._heartbeats,
            "store_away": self.store_away(),
            "loops": {name: asdict(loop) for name, loop in loops_of(snapshot).items()},
            "accounts": [self._account(account) for account in self.accounts.running().values()],
            "lag": self.parts.canary.statistics().to_dict() if self.parts.canary is not None else None,
            "queues": asdict(self.dispatch.statistics()),
            "unsure": self._unsure,
            "tree": snapshot.to_dict(),
        }

    async def stacks(self) -> str:
        """What every task is doing right now: trio's, and those of each account's asyncio loop."""
        return await every_stack(
            {
                f"account {account_id}": partial(self.parts.line_stacks, account_id)
                for account_id in self.accounts.running()
            }
        )

    async def describe_stacks(self) -> Mapping[str, Any]:
        """What ``stacks --json`` shows."""
        return {"at": datetime.now(UTC).isoformat(), "pid": os.getpid(), "stacks": await self.stacks()}

    async def describe_sync(self) -> Mapping[str, Any]:
        """What who changed accounts asks: answered once the table was read since, and followed."""
        await self._nudge.wait_looked()
        return {"pid": os.getpid(), "accounts": sorted(self.accounts.running())}

    def _account(self, account: Account) -> Mapping[str, Any]:
        last = self.states.last(account.id)
        return {
            "id": account.id,
            "name": account.name,
            "state": last.state.value if last else None,
            "reason": last.reason if last else None,
        }

    def _heartbeat(self, status: WorkerStatus | None = None) -> Heartbeat:
        self._heartbeats += 1
        self._seq = max(self._seq + 1, self.parts.seq())
        return Heartbeat(
            worker_id=self.parts.worker_id,
            status=status or self.status(),
            loops=loops_of(self.snapshot()),
            incarnation=self.parts.incarnation,
            seq=self._seq,
        )


def _delays(backoff: Backoff, rng: Random, *, least: float = 0) -> Delays:
    """With full jitter, or from that part of the bound on which is ``least``."""
    return lambda attempt: rng.uniform(least, 1) * backoff.bound_s(attempt)
