"""New processes for the sake of a deaf account: seldom, and remembered outside the process that they end."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast, final

from tgworker.guard import EXIT_RESTART_ME
from tgworker.messaging.models import AccountId
from tgworker.operations.logs import Logger
from tgworker.operations.stopping import StopSwitch

OF_AN_ACCOUNT_S: Final = 86_400.0
"""One account gets a new process once in so long."""

OF_ALL_S: Final = 3600.0
"""And all together once in so long: a new process disturbs every account."""


@final
@dataclass(frozen=True, slots=True)
class Renewal:
    """A process was ended for an account.

    Attributes:
        account: Its id.
        at_s: Calendar time, seconds since 1970.
    """

    account: str
    at_s: float


def may_renew(past: Sequence[Renewal], account: str, now_s: float) -> bool:
    """Whether an account may have a new process now: a pure decision; a calendar that went back says no."""
    return all(now_s - one.at_s >= (OF_AN_ACCOUNT_S if one.account == account else OF_ALL_S) for one in past)


@final
class Renewals:
    """The budget of new processes, in a file of the data folder.

    Args:
        path: The file.
        now: Calendar time, seconds since 1970.
    """

    def __init__(self, path: Path, *, now: Callable[[], float]) -> None:
        self._path = path
        self._now = now

    def spend(self, account: str) -> bool:
        """Take a new process for an account, if there is one; returns whether there was.

        Where that cannot be written down there is none: the next process would take another.
        """
        now_s = self._now()
        past = _read(self._path)
        if not may_renew(past, account, now_s):
            return False
        recent = [one for one in past if now_s - one.at_s < OF_AN_ACCOUNT_S]
        scratch = self._path.with_suffix(".new")
        try:
            scratch.touch(mode=0o600)
            rows = [asdict(one) for one in [*recent, Renewal(account, now_s)]]
            scratch.write_text(json.dumps(rows), encoding="ascii")
            scratch.replace(self._path)
        except OSError:
            return False
        return True


@final
class Renewer:
    """Ends the process in order for an account that is deaf on every line of it, if the budget allows it.

    Args:
        renewals: The budget.
        switch: Ends the process; whoever started it starts another one (`EXIT_RESTART_ME`).
        log: Says why.
    """

    def __init__(self, renewals: Renewals, switch: StopSwitch, log: Logger) -> None:
        self._renewals = renewals
        self._switch = switch
        self._log = log

    def __call__(self, account_id: AccountId) -> bool:
        """Ask for a new process; returns whether there will be one."""
        if self._switch.requested is None:
            if not self._renewals.spend(account_id):
                return False
            self._log.error("worker exits, because an account stays deaf", account=account_id)
        self._switch.request("an account stays deaf", exit_code=EXIT_RESTART_ME)
        return True


def _read(path: Path) -> list[Renewal]:
    try:
        rows = cast("list[dict[str, Any]]", json.loads(path.read_text(encoding="ascii")))
        return [Renewal(str(row["account"]), float(row["at_s"])) for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return []
