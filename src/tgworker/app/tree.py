"""The nursery tree of a worker, readable in one function."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import trio

from tgworker.app.children import SupervisedAccounts
from tgworker.app.parts import Parts
from tgworker.messaging.accounts import NO_LEASES, run_accounts
from tgworker.messaging.bell import Bell
from tgworker.messaging.bounded import Delays
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.events import Report
from tgworker.messaging.heartbeat import run_heartbeat
from tgworker.messaging.history import run_history
from tgworker.messaging.history_desk import HistoryDesks
from tgworker.messaging.job_desk import JobDesks
from tgworker.messaging.jobs import run_jobs
from tgworker.messaging.leases import Nudge, run_leases
from tgworker.messaging.login_requests import run_logins
from tgworker.messaging.models import Heartbeat, WorkerStatus
from tgworker.messaging.outbound import run_outbound
from tgworker.messaging.pace import Pace
from tgworker.messaging.presence_writing import PresenceWriter
from tgworker.messaging.same_account import SameAccount
from tgworker.messaging.sweeping import run_sweep
from tgworker.messaging.values import new_id
from tgworker.messaging.wakeup import run_wakeup
from tgworker.supervision import ChildSpec, Intensity, Silence, StartFunction, SupervisorSpec
from tgworker.supervision.systemd import NotifySystemd

CRITICAL = ("root.heartbeat", "root.outbound", "root.account", "root.accounts")
"""Children without which the worker is of no use: systemd's watchdog is fed only while they are well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """What the loops of one worker share. It outlives each of them.

    Attributes:
        parts: What the worker is made of.
        accounts: The account children.
        dispatch: Between the outbound loop and the accounts.
        histories: Between the history loop and the accounts.
        jobs: Between the loop of message jobs and the accounts.
        presence: Who is online, until it is written.
        logins: Rings where a login may be asked for.
        nudge: Makes the account sync look.
        synced: Set once accounts were read for the first time.
        pace: How often the outbox is asked, if it is not always the same.
        store_delays: Backoff while the store is away.
        report: Hears what the loops do.
    """

    parts: Parts
    accounts: SupervisedAccounts
    dispatch: Dispatch
    histories: HistoryDesks
    jobs: JobDesks
    presence: PresenceWriter
    logins: Bell
    nudge: Nudge
    synced: trio.Event
    pace: Pace | None
    store_delays: Delays
    report: Report

    def ring_jobs(self) -> None:
        """There may be a job of whatever kind."""
        self.jobs.ring()
        self.histories.ring()
        self.logins.ring()


def tree(
    loops: Loops,
    *,
    heartbeat: Callable[[], Heartbeat],
    status: Callable[[], WorkerStatus],
    serve: StartFunction,
) -> SupervisorSpec:
    """The root: children in the order of their start; they stop in the reverse order.

    It never gives up by itself: what is wrong is retried at the longest backoff, and shown.

    Args:
        loops: What they share.
        heartbeat: Makes the next heartbeat.
        status: What the worker as a whole is.
        serve: Answers who asks this process about itself.
    """
    parts, limits, report, delays = loops.parts, loops.parts.limits, loops.report, loops.store_delays
    return SupervisorSpec(
        "root",
        intensity=Intensity.unlimited(),
        children=(
            *_systemd(loops, status),
            child(
                parts,
                "heartbeat",
                partial(
                    run_heartbeat,
                    writers=parts.heartbeats,
                    compose=heartbeat,
                    status=status,
                    limits=limits,
                    report=report,
                ),
            ),
            child(parts, "status", serve, watched=False),
            *([child(parts, "canary", parts.canary, watched=False)] if parts.canary is not None else []),
            *(child(parts, name, start, watched=False) for name, start in parts.services),
            child(
                parts,
                "outbound",
                partial(
                    run_outbound,
                    store=parts.store,
                    dispatch=loops.dispatch,
                    limits=limits,
                    delays=delays,
                    report=report,
                    pace=loops.pace,
                    on_settled=loops.jobs.settled,
                ),
            ),
            child(
                parts,
                "history",
                partial(
                    run_history,
                    store=parts.store,
                    desks=loops.histories,
                    limits=limits,
                    delays=delays,
                    report=report,
                ),
            ),
            child(
                parts,
                "jobs",
                partial(
                    run_jobs,
                    store=parts.store,
                    desks=loops.jobs,
                    limits=limits,
                    delays=delays,
                    report=report,
                ),
            ),
            child(
                parts,
                "logins",
                partial(
                    run_logins,
                    store=parts.store,
                    door=parts.telegram,
                    vault=parts.vault,
                    tickets=new_id,
                    bell=loops.logins,
                    limits=limits,
                    delays=delays,
                    report=report,
                    added=loops.nudge.ring,
                ),
            ),
            child(
                parts,
                "presence",
                partial(loops.presence.run, store=parts.store, limits=limits, delays=delays, report=report),
            ),
            *_shared_store(loops),
            child(parts, "account", loops.accounts.hold, watched=False),
            child(
                parts,
                "accounts",
                partial(
                    run_accounts,
                    store=parts.store,
                    children=loops.accounts,
                    dispatch=loops.dispatch,
                    synced=loops.synced,
                    holds=parts.holds,
                    leases=parts.leases or NO_LEASES,
                    nudge=loops.nudge,
                    same=SameAccount(parts.vault),
                    limits=limits,
                    delays=delays,
                    report=report,
                ),
            ),
        ),
    )


def child(parts: Parts, child_id: str, start: StartFunction, *, watched: bool = True) -> ChildSpec:
    """A child as this worker has them: how it is restarted, and when its silence means that it hangs."""
    stall_after_s = parts.stall_after_s
    silence = Silence(stall_after_s, evidence_after_s=stall_after_s / 2) if watched else None
    return parts.adjust(ChildSpec(child_id, start, backoff=parts.restart_backoff, silence=silence))


def _shared_store(loops: Loops) -> Sequence[ChildSpec]:
    """What a store asks for that others use, too. The leases' keeper outlives the accounts."""
    parts, limits, report, delays = loops.parts, loops.parts.limits, loops.report, loops.store_delays
    children: list[ChildSpec] = []
    if parts.wakeup is not None and loops.pace is not None:
        watch = partial(
            run_wakeup,
            wakeup=parts.wakeup,
            dispatch=loops.dispatch,
            pace=loops.pace,
            limits=limits,
            delays=delays,
            report=report,
            ring_jobs=loops.ring_jobs,
        )
        children.append(child(parts, "wakeup", watch))
    if parts.leases is not None:
        keep = partial(
            run_leases,
            leases=parts.leases,
            children=loops.accounts,
            nudge=loops.nudge,
            limits=limits,
            delays=delays,
            report=report,
        )
        children.append(child(parts, "leases", keep))
    if parts.sweeper is not None:
        sweep = partial(run_sweep, store=parts.sweeper, limits=limits, delays=delays, report=report)
        children.append(child(parts, "sweep", sweep))
    return children


def _systemd(loops: Loops, status: Callable[[], WorkerStatus]) -> Sequence[ChildSpec]:
    if loops.parts.systemd.notify_socket is None:
        return ()
    notify = NotifySystemd(
        loops.parts.systemd,
        critical=CRITICAL,
        status=lambda _: f"{status()}, {loops.dispatch.statistics().online} accounts online",
    )
    return (child(loops.parts, "systemd", notify, watched=False),)
