"""The table of account states, and the moments at which lines may be made."""

from hypothesis import given
from hypothesis import strategies as st

from tgworker.messaging.account_states import AWAY, FOR_A_PERSON, RULES
from tgworker.messaging.models import AccountState
from tgworker.messaging.stagger import Stagger


def test_every_state_has_its_rule_and_every_state_can_be_left_and_reached() -> None:
    assert set(RULES) == set(AccountState)
    reached = {after for rule in RULES.values() for after in rule.next}
    assert reached == set(AccountState)
    assert all(rule.next for rule in RULES.values())


def test_what_is_final_is_left_only_by_beginning_anew() -> None:
    assert {AccountState.NEEDS_LOGIN, AccountState.BANNED, AccountState.DISABLED} == FOR_A_PERSON
    for state in FOR_A_PERSON:
        assert AccountState.ONLINE not in RULES[state].next
        assert AccountState.RECONNECTING not in RULES[state].next
    assert not AWAY & FOR_A_PERSON


@given(
    every_s=st.floats(0.01, 10),
    pauses_s=st.lists(st.floats(0, 20), min_size=1, max_size=30),
)
def test_moments_are_never_early_never_close_and_never_late_without_need(
    every_s: float, pauses_s: list[float]
) -> None:
    stagger = Stagger(every_s)
    now_s = last_s = -100.0
    for pause_s in pauses_s:
        now_s += pause_s
        at_s = stagger.reserve(now_s)
        assert at_s >= now_s
        assert at_s == max(now_s, last_s + every_s) or last_s == -100
        last_s = at_s
