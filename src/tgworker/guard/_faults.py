"""Accounts that wedged or froze the worker: remembered outside it, and kept away from the others.

Once is an accident. After its second fault an account starts last; after its third it is quarantined, for a
time that grows with each further one. Without a fault for two days it is forgotten.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast, final

LAST_AFTER: Final = 2
QUARANTINED_AFTER: Final = 3
QUARANTINE_S: Final = 3600.0
"""After the third fault; four times as long after each further one."""
QUARANTINE_FACTOR: Final = 4
LONGEST_QUARANTINE_S: Final = 86_400.0
FORGOTTEN_AFTER_S: Final = 2 * 86_400.0
MOST: Final = 1000
"""Faults that are remembered: the newest."""


@final
@dataclass(frozen=True, slots=True)
class AccountFault:
    """An account wedged or froze the worker.

    Attributes:
        account: Its id.
        at_s: Calendar time, seconds since 1970.
        what: ``wedged`` or ``frozen``.
    """

    account: str
    at_s: float
    what: str


@final
@dataclass(frozen=True, slots=True)
class Held:
    """An account that may not start yet.

    Attributes:
        until_s: Calendar time from which it may, seconds since 1970; 0: as soon as the others have.
        reason: For people; empty if it only starts last.
    """

    until_s: float
    reason: str


def held(faults: Sequence[AccountFault], now_s: float) -> dict[str, Held]:
    """Which accounts may not start with the others: a pure decision.

    Args:
        faults: What is remembered, oldest first.
        now_s: Calendar time, seconds since 1970.
    """
    of_account: dict[str, list[AccountFault]] = defaultdict(list)
    for fault in faults:
        of_account[fault.account].append(fault)
    kept_back: dict[str, Held] = {}
    for account, own in of_account.items():
        last = own[-1]
        if now_s - last.at_s >= FORGOTTEN_AFTER_S or len(own) < LAST_AFTER:
            continue
        kept_back[account] = Held(0, "")
        if len(own) >= QUARANTINED_AFTER:
            growth = QUARANTINE_FACTOR ** min(len(own) - QUARANTINED_AFTER, 9)
            until_s = last.at_s + min(LONGEST_QUARANTINE_S, QUARANTINE_S * growth)
            if until_s > now_s:
                kept_back[account] = Held(
                    until_s, f"quarantined: it has {last.what} the worker, {len(own)} faults in a row"
                )
    return kept_back


def remembered(faults: Sequence[AccountFault], now_s: float) -> list[AccountFault]:
    """What is worth remembering: the faults of accounts that had one within two days, the newest of them."""
    last = {fault.account: fault.at_s for fault in faults}
    return [fault for fault in faults if now_s - last[fault.account] < FORGOTTEN_AFTER_S][-MOST:]


@final
class FaultBook:
    """The faults of accounts, in a file that outlives the guard.

    A file that cannot be read or written costs memory of faults, nothing else: the guard goes on with what it
    knows itself.

    Args:
        path: The file; its folder exists.
        now: Calendar time, seconds since 1970.
    """

    def __init__(self, path: Path, *, now: Callable[[], float]) -> None:
        self._path = path
        self._now = now
        self._faults = _read(path)

    def add(self, account: str, what: str) -> Held | None:
        """Record a fault, and say what follows for the account.

        Args:
            account: Its id.
            what: ``wedged`` or ``frozen``.

        Raises:
            OSError: It could not be stored; it is remembered by this object all the same.
        """
        now_s = self._now()
        self._faults = remembered([*self._faults, AccountFault(account, now_s, what)], now_s)
        scratch = self._path.with_suffix(".new")
        scratch.touch(mode=0o600)
        scratch.write_text(json.dumps([asdict(fault) for fault in self._faults]), encoding="ascii")
        scratch.replace(self._path)
        return self.held().get(account)

    def held(self) -> dict[str, Held]:
        """Which accounts may not start with the others now."""
        return held(self._faults, self._now())


def _read(path: Path) -> list[AccountFault]:
    try:
        rows = cast("list[dict[str, Any]]", json.loads(path.read_text(encoding="ascii")))
        return [AccountFault(str(row["account"]), float(row["at_s"]), str(row["what"])) for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return []
