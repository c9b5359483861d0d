"""The worker under its guard: what the guard is given, and what it is not told of by the worker itself."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO, final
from uuid import uuid4

from tgworker.app.books import stack_files
from tgworker.app.evidence import account_of
from tgworker.app.guarded import UnderGuard
from tgworker.app.run import boot_ms, run_worker
from tgworker.embedded import DataFolder, HeartbeatFile
from tgworker.guard import FaultBook, GuardLimits, Held, Link, Posting, Ward, guard
from tgworker.messaging.models import Heartbeat
from tgworker.messaging.values import utc_now
from tgworker.operations.logs import make_logger
from tgworker.operations.stack_files import StackFiles, StackKind
from tgworker.settings import LogFormat, Settings, SettingsError, changes_between, with_worker
from tgworker.supervision.systemd import Systemd

Ending = Callable[[Callable[[], object]], int]
"""Runs a command and gives the exit code of whatever ends it."""


def run_guarded(
    settings: Settings,
    *,
    load: Callable[[], Settings],
    ending: Ending,
    systemd: Systemd,
    stderr: TextIO = sys.stderr,
) -> int:
    """Run workers under a guard in this process until SIGTERM or SIGINT; returns the exit code.

    Args:
        settings: What the environment says.
        load: Reads it again, for SIGHUP.
        ending: Turns what a worker raises into a line and an exit code.
        systemd: What systemd told this process.
        stderr: Where log lines go.

    Raises:
        StoreFault: The data folder cannot be used, or another worker uses it; nothing was started.
    """
    log = make_logger(
        stderr,
        json=settings.log_format is LogFormat.JSON,
        level=settings.log_level.value,
        now=utc_now,
    )
    folder = DataFolder(settings.data_dir)
    holder = uuid4()
    current = settings

    def reload() -> bool:
        nonlocal current
        before = current
        try:
            current = with_worker(before, load())
        except SettingsError:
            return False  # the worker reads the same, and says what is wrong
        return bool(changes_between(before, current).needs_new_worker)

    def work(link: Link, held: Mapping[str, Held]) -> int:
        under_guard = UnderGuard(
            link, held, freeze_after_s=settings.freeze_after_s, account_of=account_of, holder=holder
        )
        return ending(partial(run_worker, current, load=load, guard=under_guard, stderr=stderr))

    with folder.hold():
        return guard(
            Ward(
                work=work,
                posts=_posts(lambda: current, folder),
                heartbeat_every_s=settings.limits.heartbeat_every_s,
                seq=boot_ms,
                faults=FaultBook(folder.path / "faults.json", now=time.time),
                stacks=FreezeStacks(stack_files(settings)),
                reload=reload,
                systemd=systemd,
                log=log,
                limits=GuardLimits(freeze_after_s=settings.freeze_after_s, give_up=settings.give_up),
            )
        )


@final
@dataclass(frozen=True, slots=True)
class FreezeStacks:
    """The files that frozen workers write their stacks to; fills `tgworker.guard.Stacks`.

    Attributes:
        files: The data folder's.
    """

    files: StackFiles

    def create(self) -> Path:
        """Make an empty file for this process; raises `OSError`."""
        return self.files.create(StackKind.FREEZE, at=utc_now(), pid=os.getpid())

    def written(self, pid: int) -> Path | None:
        """The file of a process that has ended; ``None``, and the file removed, if nothing stands in it."""
        file = self.files.of(StackKind.FREEZE, pid)
        if file is None or file.size:
            return None if file is None else file.path
        with suppress(OSError):
            file.path.unlink()
        return None


def _posts(settings: Callable[[], Settings], folder: DataFolder) -> dict[str, Callable[[Posting], None]]:
    posts: dict[str, Callable[[Posting], None]] = {
        HeartbeatFile.name: partial(_post_embedded, folder.heartbeats, settings().worker_id)
    }
    if settings().supabase is not None:
        # Imported only where it is used, and here, so that no forked process has to.
        from tgworker.app.supabase import post_heartbeat
        from tgworker.supabase import SupabaseHeartbeat

        def post(posting: Posting) -> None:
            compose = partial(_heartbeat, settings().worker_id, posting)
            post_heartbeat(settings(), compose, posting.order)

        posts[SupabaseHeartbeat.name] = post
    return posts


def _post_embedded(path: Path, worker_id: str, posting: Posting) -> None:
    heartbeats = HeartbeatFile(path)
    order = posting.order or heartbeats.next_order_now(worker_id)
    heartbeats.write_now(_heartbeat(worker_id, posting, order))


def _heartbeat(worker_id: str, posting: Posting, order: tuple[int, int]) -> Heartbeat:
    incarnation, seq = order
    return Heartbeat(
        worker_id=worker_id, status=posting.status, loops=posting.loops, incarnation=incarnation, seq=seq
    )
