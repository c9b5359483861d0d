"""One process's worker: the data folder, the parts, the signals, the exit code."""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import TextIO

import trio

from tgworker.app.adapters import open_adapters
from tgworker.app.evidence import account_of, evidence_of
from tgworker.app.parts import Parts
from tgworker.app.worker import Worker
from tgworker.operations.child_names import named_in_logs
from tgworker.operations.event_log import EventLog
from tgworker.operations.logs import Logger, foreign_logs, make_logger
from tgworker.operations.signals import run_until_signalled
from tgworker.settings import LogFormat, Settings
from tgworker.supervision import Wedged

EXIT_STOPPED = 0
EXIT_RESTART_ME = 75


def run_worker(settings: Settings, *, stderr: TextIO = sys.stderr) -> int:
    """Run a worker in this process until SIGTERM or SIGINT; returns its exit code.

    Args:
        settings: What the environment says.
        stderr: Where log lines go.

    Raises:
        StoreFault: The data folder cannot be used, or another worker uses it; nothing was connected.
        StoreMismatch: The store has another schema version.
        TelethonMoved: The installed Telethon is not one that the worker knows.
    """
    log = make_logger(
        stderr,
        json=settings.log_format is LogFormat.JSON,
        level=settings.log_level.value,
        now=lambda: datetime.now(UTC),
    )
    with foreign_logs(log):
        trio.run(
            partial(
                run_until_signalled,
                partial(_run, settings, log),
                on_signal=lambda name: log.info("worker stopping", signal=name),
            )
        )
    log.info("worker stopped")
    return EXIT_STOPPED


async def _run(settings: Settings, log: Logger) -> None:
    events = EventLog(log, account_of=account_of)
    async with open_adapters(settings, observer=events.adapter, report=events.messaging) as adapters:
        worker = Worker(
            Parts(
                worker_id=settings.worker_id,
                incarnation=adapters.incarnation,
                data_dir=settings.data_dir,
                limits=settings.limits,
                stall_after_s=settings.stall_after_s,
                store=adapters.store,
                telegram=adapters.telegram,
                vault=adapters.vault,
                heartbeats=adapters.heartbeats,
                rng=Random(),
                report=events.messaging,
                observers=(events.supervision,),
                adjust=partial(named_in_logs, account_of=account_of),
                dump=evidence_of(adapters.telegram.stacks),
                on_wedged=_exit_wedged(log),
            )
        )
        async with worker.open():
            log.info("worker started", worker_id=settings.worker_id, pid=os.getpid())
            await trio.sleep_forever()


def _exit_wedged(log: Logger) -> Callable[[Wedged], None]:
    def end(failure: Wedged) -> None:
        # The wedged task cannot be killed and its thread of control is this one: only the process can end.
        log.error("worker exits, because a task does not die", child=failure.path, reason=failure.cause)
        os._exit(EXIT_RESTART_ME)

    return end
