"""A guard with a worker that freezes and a store that is slow: ``python ward_program.py FILE``.

What is written to the store stands in the file, one status in each line. While there is a file ``away``
beside it, the store is away, and each try adds that word. SIGHUP takes the guard all room for pipes, the
next one gives it back.
"""

import resource
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tgworker.guard import Beat, Committed, FaultBook, GuardLimits, Link, Posting, Ward, guard
from tgworker.messaging.errors import StoreAway
from tgworker.messaging.models import Heartbeat, WorkerStatus
from tgworker.operations.logs import make_logger
from tgworker.supervision.systemd import Systemd

FILE = Path(sys.argv[1])
AWAY = FILE.with_name("away")
SLOW_S = 1.5  # longer than a frozen worker lives

LEAST_FILES = 4  # less than a guard has open


def write(word: str) -> None:
    with FILE.open("a") as file:
        file.write(f"{word}\n")


def work(link: Link, _held: object) -> int:
    write(WorkerStatus.ONLINE.value)
    link.say(Beat())
    if not AWAY.exists():
        link.say(Committed("slow", Heartbeat("ward", WorkerStatus.ONLINE, {}, 1, 1)))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGABRT])
    time.sleep(60)
    return 1


def post(posting: Posting) -> None:
    if AWAY.exists():
        write(AWAY.name)
        raise StoreAway("the store is away")
    time.sleep(SLOW_S)
    write(posting.status.value)


def starve_or_feed() -> bool:
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if least == LEAST_FILES else LEAST_FILES, most))
    return False


class NoFiles:
    def create(self) -> Path:
        raise OSError("no room")

    def written(self, pid: int) -> Path | None:
        return None


if __name__ == "__main__":
    log = make_logger(sys.stderr, json=True, level="info", now=lambda: datetime.now(UTC))
    sys.exit(
        guard(
            Ward(
                work=work,
                posts={"slow": post},
                heartbeat_every_s=60,
                seq=lambda: 1,
                faults=FaultBook(FILE.with_name("faults.json"), now=time.time),
                stacks=NoFiles(),
                reload=starve_or_feed,
                systemd=Systemd(),
                log=log,
                limits=GuardLimits(freeze_after_s=0.5),
            )
        )
    )
