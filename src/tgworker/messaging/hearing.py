"""Is a line that looks well deaf? Pure decisions: what is overdue, and what is tried next.

Telegram may stop to push updates over a line that answers every ping (Telethon#4622, pyrogram#916,
gramjs#280). Only a comparison shows it: where Telegram says that its logs stand, against how far we have
heard them. Then each finding takes the next stronger remedy, and the strongest is taken seldom.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tgworker.messaging.models import AccountId

FORGOTTEN_AFTER_S = 3600.0
"""Once an account has heard well for so long, the next finding begins with the gentlest remedy again."""

SPENT_FOR_S = 86_400.0
"""After a new process, or where none may be had, so long nothing is tried but to ask for what was missed."""


@dataclass(frozen=True, slots=True)
class Heard:
    """How far the update logs of an account were heard over its line.

    Attributes:
        logs: The ``pts`` of each: of a channel by its bare id, of the account's own by 0.
        answered: How many differences Telegram has answered so far.
        is_excused: Nothing more can be heard just now: the store is slow, or Telegram has asked us to wait.
    """

    logs: Mapping[int, int]
    answered: int = 0
    is_excused: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What Telegram says of where its logs stand.

    Attributes:
        logs: As in `Heard`; those that it was asked for.
        more: There are others, to be asked for soon.
    """

    logs: Mapping[int, int]
    more: bool = False


def behind(told: Told, heard: Heard) -> Mapping[int, int]:
    """The logs that Telegram has more of than was heard, and where they stand."""
    return {log: pts for log, pts in told.logs.items() if heard.logs.get(log, pts) < pts}


def overdue(missing: Mapping[int, int], before: Heard, after: Heard) -> Mapping[int, int]:
    """What was behind and still has not come, a while later: how far each log is behind.

    Args:
        missing: What was behind, and where it stands.
        before: What was heard then.
        after: And what now. Where Telegram has answered a difference meanwhile, catching up is under way.
    """
    if before.is_excused or after.is_excused or after.answered != before.answered:
        return {}
    return {log: pts - after.logs[log] for log, pts in missing.items() if after.logs.get(log, pts) < pts}


class Remedy(StrEnum):
    """What is done about a deaf line, the gentlest first."""

    DIFFERENCE = "difference"
    RECONNECT = "reconnect"
    NEW_CLIENT = "new_client"
    NEW_PROCESS = "new_process"


_ORDER = tuple(Remedy)


@dataclass(frozen=True, slots=True)
class Deafness:
    """What was tried for an account so far.

    Attributes:
        tried: The last remedy; ``None``: it never was deaf.
        at_s: When it was found deaf last, trio's clock.
        spent_at_s: When the strongest remedy was taken, or refused.
    """

    tried: Remedy | None = None
    at_s: float = -math.inf
    spent_at_s: float = -math.inf


def next_remedy(past: Deafness, now_s: float) -> Remedy:
    """What to try now that an account is deaf."""
    forgotten = now_s - past.at_s >= FORGOTTEN_AFTER_S
    if past.tried is None or forgotten or now_s - past.spent_at_s < SPENT_FOR_S:
        return Remedy.DIFFERENCE
    return _ORDER[(_ORDER.index(past.tried) + 1) % len(_ORDER)]


def having_tried(past: Deafness, remedy: Remedy, now_s: float) -> Deafness:
    """What is remembered once a remedy was tried; for `Remedy.NEW_PROCESS` also where there was none."""
    return Deafness(remedy, now_s, now_s if remedy is Remedy.NEW_PROCESS else past.spent_at_s)


class Ears:
    """What was tried for each account. It outlives their lines and children, not the process."""

    def __init__(self) -> None:
        self._past: dict[AccountId, Deafness] = {}

    def of(self, account_id: AccountId) -> Deafness:
        """What was tried for an account."""
        return self._past.get(account_id, Deafness())

    def note(self, account_id: AccountId, past: Deafness) -> None:
        """Remember it."""
        self._past[account_id] = past

    def forget(self, account_id: AccountId) -> None:
        """The account is no longer ours."""
        self._past.pop(account_id, None)
