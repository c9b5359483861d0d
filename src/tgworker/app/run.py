"""One process's worker: the data folder, the parts, the signals, the exit code."""

import faulthandler
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import TextIO

import trio

from tgworker.app.adapters import Adapters, open_adapters
from tgworker.app.books import stack_files
from tgworker.app.evidence import account_of, evidence_of
from tgworker.app.guarded import NoGuard
from tgworker.app.metrics import WorkerMetrics
from tgworker.app.parts import NO_SYSTEMD, Parts
from tgworker.app.reload import LiveSettings
from tgworker.app.renewals import Renewals, Renewer
from tgworker.app.status_service import StatusService
from tgworker.app.worker import Worker
from tgworker.embedded import DataFolder
from tgworker.guard import EXIT_RESTART_ME
from tgworker.messaging.events import Event as MessagingEvent
from tgworker.messaging.pacing import PUBLISHED, UNPACED
from tgworker.messaging.values import utc_now
from tgworker.operations.child_names import named_in_logs
from tgworker.operations.event_log import EventLog
from tgworker.operations.identity import watch_identity
from tgworker.operations.logs import Logger, Threshold, foreign_logs, make_logger
from tgworker.operations.memory import watch_memory
from tgworker.operations.signals import Bell, signal_bells
from tgworker.operations.stopping import StopRequest, StopSwitch, run_until_stopped, stop_signals
from tgworker.operations.task_stacks import every_stack
from tgworker.settings import LogFormat, Pacing, Settings
from tgworker.supervision import Canary, Pulse, Wedged
from tgworker.supervision.systemd import Systemd

EXIT_CONFIGURATION = 2
"""No new process cures this: a person must act."""

STOP_WITHIN_S = 25.0
"""What an orderly end may take, seconds; then the process ends as it is. Kubernetes kills after 30 s."""

LAST_RESORT_S = 1.0
"""How much later, seconds, a process is ended whose loop does not turn any more: with 1, and its stacks."""

STDERR = 2
"""The descriptor: whatever has become of the stream."""


RATES = {Pacing.TELEGRAM: PUBLISHED, Pacing.OFF: UNPACED}

NO_GUARD = NoGuard()


YOUNG = (10_000, 20, 50)
"""When the garbage collector looks, see `gc.set_threshold`. Messages come by the hundred and go by
themselves: with Python's 700 a history takes 3 % longer, to look for cycles that are not there."""


def run_worker(
    settings: Settings,
    *,
    load: Callable[[], Settings],
    guard: NoGuard = NO_GUARD,
    systemd: Systemd = NO_SYSTEMD,
    stderr: TextIO = sys.stderr,
) -> int:
    """Run a worker in this process until it is to end; returns its exit code.

    That is 0 after SIGTERM or SIGINT, and 75 where the worker itself wants to be started anew. An end takes
    `STOP_WITHIN_S` at most; a second signal ends the process at once with 130 or 143.

    Args:
        settings: What the environment says.
        load: Reads the environment anew, as SIGHUP asks for; raises `SettingsError` like the first time.
        guard: The way to the guard, if there is one; it then holds the data folder.
        systemd: What systemd told this process, if it is to speak with it itself.
        stderr: Where log lines go.

    Raises:
        StatusUnavailable: The configured address of the status server is taken; nothing was connected.
        StoreFault: The data folder cannot be used, or another worker uses it; nothing was connected.
        StoreMismatch: The store has another schema version.
        TelethonMoved: The installed Telethon is not one that the worker knows.
    """
    gc.set_threshold(*YOUNG)
    threshold = Threshold(settings.log_level.value)
    log = make_logger(
        stderr,
        json=settings.log_format is LogFormat.JSON,
        level=threshold,
        now=utc_now,
    )
    switch = StopSwitch(on_throw=_arm_last_resort)
    renew = partial(switch.request, "settings have changed", exit_code=EXIT_RESTART_ME)
    live = LiveSettings(settings, load, threshold, renew=renew if guard.renews else None)
    process = _Process(live, switch, log, guard, systemd)
    try:
        with (
            foreign_logs(log),
            stop_signals(switch, end_at_once=process.end_at_once),
            signal_bells(signal.SIGHUP, signal.SIGUSR1) as bells,
        ):
            code = trio.run(
                partial(
                    run_until_stopped,
                    process.run,
                    switch,
                    within_s=STOP_WITHIN_S,
                    on_stop=process.stopping,
                    on_overdue=process.overdue,
                    beside=(
                        partial(live.reload_on, bells[signal.SIGHUP], log),
                        partial(process.dump_on, bells[signal.SIGUSR1]),
                        guard.show_life,
                        process.status.serve_early,
                    ),
                ),
                instruments=guard.instruments,
            )
    finally:
        faulthandler.cancel_dump_traceback_later()
    log.info("worker stopped", exit_code=code)
    return code


class _Process:
    """What runs in this process, and what becomes of it when it is to end."""

    def __init__(
        self,
        live: LiveSettings,
        switch: StopSwitch,
        log: Logger,
        guard: NoGuard,
        systemd: Systemd,
    ) -> None:
        self._live = live
        self._settings = live.now
        self._switch = switch
        self._log = log
        self._guard = guard
        self._systemd = systemd
        self._worker: Worker | None = None
        self._leaving = False
        self._events = EventLog(log, account_of=account_of)
        self._metrics = WorkerMetrics(lambda: self._worker)
        self.status = StatusService(live, log, lambda: self._worker, self._metrics.text)

    async def run(self) -> None:
        """The worker, until it is cancelled."""
        settings, log, guard = self._settings, self._log, self._guard
        async with (
            self.status.listening(),
            open_adapters(
                settings,
                observer=self._events.adapter,
                report=self._report,
                holder=guard.holder,
                rng=Random(),
                hold=guard.holds_folder,
                blocking=guard.quiet,
            ) as adapters,
        ):
            self.status.tell()  # not before: that the data folder is in use matters more
            self._worker = worker = Worker(self._parts(adapters))
            async with worker.open():
                log.info("worker started", worker_id=settings.worker_id, pid=os.getpid())
                await worker.wait_synced()
                guard.ready()
                await trio.sleep_forever()

    def _report(self, event: MessagingEvent) -> None:
        self._events.messaging(event)
        self._metrics.messaging(event)

    def _parts(self, adapters: Adapters) -> Parts:
        settings, opened = self._settings, adapters.opened
        return Parts(
            worker_id=settings.worker_id,
            incarnation=opened.incarnation,
            data_dir=settings.data_dir,
            limits=opened.limits,
            stall_after_s=settings.stall_after_s,
            store=opened.store,
            files=opened.files,
            attachments_bucket=settings.attachments_bucket,
            avatars_bucket=settings.avatars_bucket,
            media=settings.media,
            leases=opened.leases,
            wakeup=opened.wakeup,
            pace=opened.pace,
            rates=RATES[settings.pacing],
            sweeper=opened.sweeper,
            telegram=adapters.telegram,
            vault=adapters.vault,
            heartbeats=self._guard.told(opened.heartbeats),
            seq=boot_ms,
            holds=self._guard.holds(start_last_s=settings.limits.connect_s, now=utc_now()),
            systemd=self._systemd,
            rng=Random(),
            report=self._report,
            observers=(self._events.supervision, self._metrics.supervision),
            adjust=lambda spec: self._guard.adjusted(named_in_logs(spec, account_of=account_of)),
            dump=evidence_of(adapters.telegram.stacks),
            line_stacks=adapters.telegram.stacks,
            updates_waiting=adapters.telegram.updates_waiting,
            renew=Renewer(
                Renewals(settings.data_dir / "renewals.json", now=time.time), self._switch, self._log
            ),
            on_wedged=self._wedged,
            canary=Canary(),
            services=(
                ("memory", self._watch_memory),
                ("data_folder", self._watch_folder),
                *([("status_server", self.status.serve)] if self.status.listens else []),
            ),
        )

    async def dump_on(self, bell: Bell) -> None:
        """Write every task's stack to a file each time that the bell rings, also where nothing else works."""
        files = stack_files(self._settings)
        while True:
            await bell.wait()
            text = await (every_stack({}) if self._worker is None else self._worker.stacks())
            write = partial(files.write, text, at=utc_now(), pid=os.getpid())
            try:
                # In a thread: a disk that hangs must not hang the loop.
                path = await trio.to_thread.run_sync(write, abandon_on_cancel=True)
            except OSError as error:
                self._log.error("stacks cannot be written", reason=str(error))
            else:
                self._log.info("stacks written", file=str(path))

    async def _watch_memory(self, pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        await watch_memory(
            pulse,
            limit_mb=lambda: self._live.now.memory_limit_mb,
            over=self._recycle,
            task_status=task_status,
        )

    async def _watch_folder(self, pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        lock = DataFolder(self._settings.data_dir).lock_file
        await watch_identity(pulse, lock, gone=self._homeless, task_status=task_status)

    # ---------------------------------------------------------------- its end

    def stopping(self, request: StopRequest) -> None:
        """The worker begins to stop."""
        self._log.info("worker stopping", reason=request.reason)

    def _recycle(self, used_mb: float, limit_mb: int) -> None:
        """The worker has grown beyond its limit: a new one begins small again."""
        if self._switch.requested is None:
            self._log.warning("worker is above its memory limit", used_mb=round(used_mb), limit_mb=limit_mb)
        self._switch.request("memory", exit_code=EXIT_RESTART_ME)

    def _homeless(self) -> None:
        """Somebody has removed the data folder: what is written from now on is lost with this process."""
        if self._switch.requested is None:
            self._log.error(
                "the data folder was removed: put it back from a backup, or log in again",
                folder=str(self._settings.data_dir),
            )
        self._switch.request("the data folder was removed", exit_code=EXIT_CONFIGURATION)

    def overdue(self, request: StopRequest) -> None:
        """The budget is spent: nobody waits any longer for what did not stop."""
        self._log.error(
            "worker exits before it has stopped",
            reason=request.reason,
            after_s=STOP_WITHIN_S,
            left=list(self._worker.left()) if self._worker is not None else None,
            exit_code=request.cut_code,
        )
        os._exit(request.cut_code)

    def end_at_once(self, code: int) -> None:
        """A second signal, in its handler: a line, and the end. A third one does not wait for the line."""
        if not self._leaving:
            self._leaving = True
            with suppress(RuntimeError):  # the handler interrupted a line that was just being written
                self._log.warning("worker exits at once, because it was told to stop twice", exit_code=code)
        os._exit(code)

    def _wedged(self, failure: Wedged) -> None:
        # The wedged task cannot be killed and its thread of control is this one: only the process can end.
        self._log.error("worker exits, because a task does not die", child=failure.path, reason=failure.cause)
        account = account_of(failure.path)
        if account is not None:
            self._guard.wedged(account)
        os._exit(EXIT_RESTART_ME)


def boot_ms() -> int:
    """Milliseconds since the machine was started: grows alike in guard and worker, also while it sleeps."""
    clock: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the first on Linux alone
    return time.clock_gettime_ns(clock) // 1_000_000


def _arm_last_resort() -> None:
    """From now on the process ends in time, with the stacks of its threads, whoever holds which lock."""
    faulthandler.dump_traceback_later(STOP_WITHIN_S + LAST_RESORT_S, exit=True, file=STDERR)
