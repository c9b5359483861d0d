"""What the kernel and the shell know of a worker's process."""

import os
from pathlib import Path

from tgworker.messaging.models import Secret

OURS = ("TGWORKER_", "TELEGRAM_", "SUPABASE_", "NOTIFY_", "WATCHDOG_")
"""Variables of the shell that say something to a worker, or to its guard."""


def cpu_s(pid: int) -> float:
    """The processor time of a process, all threads, seconds (proc(5), schedstat: nanoseconds)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def worker_environment(data: Path, key: Secret, *, server: str, dc: int, pem: Path) -> dict[str, str]:
    """What a worker against a sandbox reads, and of the shell's variables those that are not about workers.

    Args:
        data: The data folder.
        key: Encrypts sessions.
        server: The sandbox, ``host:port``.
        dc: Its data centre.
        pem: The file with its key.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return inherited | {
        "ENCRYPTION_KEY": key.value,
        "TGWORKER_DATA_DIR": str(data),
        "TGWORKER_PACING": "off",
        "TGWORKER_TELEGRAM_SERVER": server,
        "TGWORKER_TELEGRAM_SERVER_KEY": str(pem),
        "TGWORKER_TELEGRAM_DC": str(dc),
        "TGWORKER_LOG_FORMAT": "json",
        "TGWORKER_STATUS_BIND": "off",
    }


def resident_kb(pid: int, what: str = "VmRSS") -> int:
    """Resident memory of a process, KiB: what it has now, or ``VmHWM``, the most it had (proc(5), status)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(f"{what}:")).split()[1])


def forget_peak(pid: int) -> None:
    """From now on ``VmHWM`` is the most that a process had since now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
