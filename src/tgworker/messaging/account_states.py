"""The states of an account as a table: who leaves a state, and what may follow.

::

    connecting ──▶ online ◀──▶ reconnecting         the line is made, lost, and made again without end
         │           │              │
         ├───────────┴──────────────┼──▶ waiting     Telegram, or this worker's own caution, said "later"
         ├──────────────────────────┼──▶ elsewhere   another worker holds the account
         └──────────────────────────┴──▶ needs_login, banned, disabled: final until a person has acted

A final state ends the account's child, and that alone: nothing is retried, no neighbour is disturbed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tgworker.messaging.models import AccountState


@dataclass(frozen=True, slots=True)
class StateRule:
    """What a state means.

    Attributes:
        for_a_person: Nothing is tried before somebody has acted.
        should_be_online: It counts as missing while it lasts.
        next: What the account may be afterwards. What is final is left by a changed row, a new login or a new
            worker only: all of them begin with ``connecting``.
    """

    for_a_person: bool
    should_be_online: bool
    next: frozenset[AccountState]


_S = AccountState
_FINAL = frozenset({_S.NEEDS_LOGIN, _S.BANNED, _S.DISABLED})
_TROUBLE = frozenset({_S.RECONNECTING, _S.WAITING, _S.ELSEWHERE}) | _FINAL

RULES: Mapping[AccountState, StateRule] = MappingProxyType(
    {
        _S.CONNECTING: StateRule(False, True, _TROUBLE | {_S.ONLINE}),
        _S.ONLINE: StateRule(False, False, _TROUBLE | {_S.CONNECTING}),
        _S.RECONNECTING: StateRule(False, True, _TROUBLE | {_S.ONLINE, _S.CONNECTING}),
        _S.WAITING: StateRule(False, True, _TROUBLE | {_S.ONLINE, _S.CONNECTING}),
        _S.ELSEWHERE: StateRule(False, False, frozenset({_S.CONNECTING, _S.WAITING, _S.ELSEWHERE}) | _FINAL),
        _S.NEEDS_LOGIN: StateRule(True, False, frozenset({_S.CONNECTING, _S.ELSEWHERE, _S.WAITING})),
        _S.BANNED: StateRule(True, False, frozenset({_S.CONNECTING, _S.ELSEWHERE, _S.WAITING})),
        _S.DISABLED: StateRule(True, False, frozenset({_S.CONNECTING, _S.ELSEWHERE, _S.WAITING})),
    }
)

FOR_A_PERSON = frozenset(state for state, rule in RULES.items() if rule.for_a_person)
"""An account in these states sends and receives nothing until somebody has acted."""

AWAY = frozenset(state for state, rule in RULES.items() if rule.should_be_online)
"""An account in these states should be online and is not. What only a person can cure does not count."""
