"""When a message may be sent: exact seconds, the published numbers, what is learned from waits."""

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgworker.messaging.pacing import (
    PUBLISHED,
    SEND,
    STRANGERS,
    UNPACED,
    Because,
    Go,
    NotYet,
    Pacing,
    Rate,
    Rates,
    Scope,
    StoredWait,
    Wait,
    restored,
    stored,
)
from tgworker.messaging.pacing.bucket import Bucket
from tgworker.messaging.pacing.plan import FORGET_SLOWMODE_S, MOST_CHATS
from tgworker.messaging.pacing.tempo import FASTER, QUIET_S, SLOWEST, Tempo

CHAT, GROUP = 77, -1_000_000_000_055
ROOMY = Rate(every_s=0.001, burst=1000)
CHATS_ONLY = Rates(chat=PUBLISHED.chat, group=PUBLISHED.group, account=ROOMY, method=ROOMY)

amounts = st.lists(st.floats(0, 30), min_size=1, max_size=60)


def flood(until_s: float, name: str = "FLOOD_WAIT_9") -> Wait:
    return Wait(Scope.method(SEND), until_s, name)


def sent_at(pacing: Pacing, chat_id: int, count: int, now_s: float = 0.0) -> list[float]:
    """When so many messages to one chat leave, each as soon as it may."""
    times: list[float] = []
    while len(times) < count:
        match pacing.ask(chat_id, now_s):
            case Go():
                times.append(round(now_s, 6))
            case NotYet(until_s=until_s):
                assert until_s > now_s
                now_s = until_s
    return times


# ---------------------------------------------------------------- buckets


@pytest.mark.parametrize(("every_s", "burst"), [(-1, 5), (float("inf"), 5), (float("nan"), 5), (1, 0)])
def test_a_rate_at_which_nothing_could_ever_leave_is_refused(every_s: float, burst: int) -> None:
    with pytest.raises(ValueError, match="no rate"):
        Rate(every_s, burst)


@given(waits=amounts, every_s=st.floats(0.01, 20), burst=st.integers(1, 10))
def test_no_window_of_time_holds_more_than_the_burst_and_what_fills_up_meanwhile(
    waits: list[float], every_s: float, burst: int
) -> None:
    rate, now_s, bucket = Rate(every_s, burst), 0.0, Bucket(burst, 0.0)
    taken: list[float] = []
    for wait_s in waits:
        now_s += wait_s
        if bucket.ready_at(rate, now_s) <= now_s:
            bucket = bucket.take(rate, now_s)
            taken.append(now_s)
    for first, start_s in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - start_s) / every_s + 1e-6


@given(waits=amounts, every_s=st.floats(0.01, 20), burst=st.integers(1, 10))
def test_at_the_time_that_a_bucket_names_a_token_is_there(
    waits: list[float], every_s: float, burst: int
) -> None:
    rate, now_s, bucket = Rate(every_s, burst), 0.0, Bucket(burst, 0.0)
    for wait_s in waits:
        now_s = bucket.ready_at(rate, now_s + wait_s)
        assert bucket.ready_at(rate, now_s) == now_s, "whoever wakes then need not wait again"
        bucket = bucket.take(rate, now_s)


# ---------------------------------------------------------------- the published numbers


def test_a_chat_gets_five_messages_at_once_and_then_one_a_second() -> None:
    assert sent_at(Pacing(PUBLISHED), CHAT, 8) == [0, 0, 0, 0, 0, 1, 2, 3]


def test_a_chat_that_rested_gets_a_burst_again() -> None:
    pacing = Pacing(PUBLISHED)
    sent_at(pacing, CHAT, 8)
    assert sent_at(pacing, CHAT, 6, now_s=8) == [8, 8, 8, 8, 8, 9]


def test_a_group_gets_twenty_messages_in_its_first_minute_and_never_more() -> None:
    times = sent_at(Pacing(PUBLISHED), GROUP, 50)
    assert times[:7] == [0, 0, 0, 0, 0, 4, 8]
    assert max(sum(start <= at <= start + 60 for at in times) for start in times) == 20


def test_a_whole_account_sends_thirty_messages_in_its_first_second_and_never_more() -> None:
    pacing, now_s = Pacing(PUBLISHED), 0.0
    times: list[float] = []
    for chat_id in range(1, 101):
        times += sent_at(pacing, chat_id, 1, now_s)
        now_s = times[-1]
    assert times[:6] == [0, 0, 0, 0, 0, 0.04]
    assert max(sum(start <= at <= start + 1 for at in times) for start in times) == 30


@pytest.mark.parametrize("rate", [PUBLISHED.chat, PUBLISHED.group, PUBLISHED.account, PUBLISHED.method])
def test_every_bucket_lets_five_through_at_once(rate: Rate) -> None:
    assert rate.burst >= 5


@given(chats=st.lists(st.integers(1, 5), min_size=1, max_size=80))
def test_a_chat_that_waits_for_its_own_bucket_takes_nothing_from_the_others(chats: list[int]) -> None:
    busy, alone = Pacing(CHATS_ONLY), Pacing(CHATS_ONLY)
    for chat_id in chats:
        busy.ask(chat_id, 0.0)
        if chat_id == 1:
            alone.ask(chat_id, 0.0)
    assert busy.ask(1, 0.5) == alone.ask(1, 0.5)


def test_a_refused_question_costs_nothing() -> None:
    pacing = Pacing(PUBLISHED)
    sent_at(pacing, CHAT, 5)
    for _ in range(1000):
        assert pacing.ask(CHAT, 0.5) == NotYet(1, Because.CHAT, "paced: one message every 1 s here")
    assert [pacing.ask(other, 0.5) for other in range(1, 6)] == [Go()] * 5


def test_unpaced_is_as_fast_as_it_goes() -> None:
    pacing = Pacing(UNPACED)
    assert sent_at(pacing, CHAT, 10_000) == [0] * 10_000


def test_buckets_of_chats_that_rested_are_not_kept() -> None:
    pacing = Pacing(CHATS_ONLY)
    for n in range(1, 5 * MOST_CHATS):
        assert pacing.ask(n, n / 100) == Go()
    assert pacing.chats <= MOST_CHATS + 1
    times = sent_at(pacing, 5 * MOST_CHATS - 1, 6, 50.0)
    assert times == [50, 50, 50, 50, 50.99, 51.99], "one that was just written to is remembered"


# ---------------------------------------------------------------- what Telegram announces


def test_a_flood_wait_holds_its_method_and_no_other() -> None:
    pacing = Pacing(PUBLISHED)
    assert pacing.announced(flood(9.0), 0.0)
    assert pacing.ask(CHAT, 8.999) == NotYet(9.0, Because.METHOD, "FLOOD_WAIT_9")
    assert pacing.ask(GROUP, 8.999) == NotYet(9.0, Because.METHOD, "FLOOD_WAIT_9")
    assert pacing.ask(CHAT, 1.0, method="messages.editMessage") == Go()
    assert pacing.ask(CHAT, 9.0) == Go()


def test_a_slow_mode_holds_its_chat_and_no_other() -> None:
    pacing = Pacing(PUBLISHED)
    pacing.announced(Wait(Scope.chat(GROUP), 30.0, "SLOWMODE_WAIT_30"), 0.0)
    assert pacing.ask(GROUP, 29.0) == NotYet(30.0, Because.CHAT, "SLOWMODE_WAIT_30")
    assert pacing.ask(CHAT, 29.0) == Go()
    assert pacing.ask(GROUP, 30.0) == Go()


def test_a_shorter_wait_for_the_same_thing_changes_nothing() -> None:
    pacing = Pacing(PUBLISHED)
    assert pacing.announced(flood(9.0, "FLOOD_WAIT_9"), 0.0)
    assert not pacing.announced(flood(5.0, "FLOOD_WAIT_4"), 1.0)
    assert not pacing.announced(flood(9.0, "FLOOD_WAIT_8"), 1.0)
    assert pacing.wait_of(Scope.method(SEND), 5.0) == flood(9.0)
    assert pacing.announced(flood(20.0, "FLOOD_WAIT_20"), 2.0)
    assert pacing.waits(19.0) == (flood(20.0, "FLOOD_WAIT_20"),)
    assert pacing.waits(20.0) == ()


def test_a_peer_flood_holds_strangers_and_nobody_else() -> None:
    pacing = Pacing(PUBLISHED)
    pacing.announced(Wait(STRANGERS, 100.0, "PEER_FLOOD"), 0.0)
    assert pacing.ask(CHAT, 1.0, stranger=True) == NotYet(100.0, Because.STRANGERS, "PEER_FLOOD")
    assert pacing.ask(CHAT, 1.0) == Go()
    assert pacing.ask(78, 100.0, stranger=True) == Go()
    assert sent_at(pacing, 79, 5, 101.0) == [101.0] * 5, "it teaches nothing about the pace"


def test_when_strangers_may_be_written_to_again_one_goes_first_and_alone() -> None:
    pacing = Pacing(PUBLISHED)
    pacing.announced(Wait(STRANGERS, 100.0, "PEER_FLOOD"), 0.0)
    assert pacing.ask(1, 100.0, stranger=True) == Go()
    alone = NotYet(160.0, Because.STRANGERS, "PEER_FLOOD: another first message is tried alone")
    assert pacing.ask(2, 101.0, stranger=True) == alone
    assert pacing.ask(1, 101.0, stranger=True) == Go(), "its own repeat is no other"
    assert pacing.ask(3, 101.0) == Go(), "who knows the account does not wait"
    pacing.sent(3)
    assert pacing.is_wary()
    pacing.sent(1)
    assert not pacing.is_wary()
    assert pacing.ask(2, 101.0, stranger=True) == Go()


def test_a_first_message_of_which_nothing_was_heard_keeps_the_others_for_a_minute() -> None:
    pacing = Pacing(PUBLISHED)
    pacing.recalled(Wait(STRANGERS, 100.0, "PEER_FLOOD"))
    assert pacing.ask(1, 100.0, stranger=True) == Go()
    assert pacing.ask(2, 160.0, stranger=True) == Go()
    assert isinstance(pacing.ask(3, 161.0, stranger=True), NotYet)
    pacing.announced(Wait(STRANGERS, 500.0, "PEER_FLOOD"), 162.0)
    assert pacing.ask(3, 162.0, stranger=True) == NotYet(500.0, Because.STRANGERS, "PEER_FLOOD")


@given(backlogs=st.dictionaries(st.integers(1, 8), st.integers(1, 12), min_size=1))
def test_chats_leave_at_the_same_times_as_if_each_were_alone(backlogs: dict[int, int]) -> None:
    pacing = Pacing(CHATS_ONLY)
    together: dict[int, list[float]] = {chat_id: [] for chat_id in backlogs}
    due = [(0.0, chat_id) for chat_id in backlogs]
    while due:
        now_s, chat_id = heapq.heappop(due)
        match pacing.ask(chat_id, now_s):
            case Go():
                together[chat_id].append(round(now_s, 6))
                if len(together[chat_id]) < backlogs[chat_id]:
                    heapq.heappush(due, (now_s, chat_id))
            case NotYet(until_s=until_s):
                heapq.heappush(due, (until_s, chat_id))
    alone = {chat_id: sent_at(Pacing(CHATS_ONLY), chat_id, count) for chat_id, count in backlogs.items()}
    assert together == alone


def test_waits_survive_the_clock_of_their_process() -> None:
    one, other = Pacing(PUBLISHED), Pacing(PUBLISHED)
    one.announced(flood(1009.0), 1000.0)
    one.announced(Wait(Scope.chat(GROUP), 1030.0, "SLOWMODE_WAIT_30"), 1000.0)
    kept = stored(one.waits(1004.0), 1004.0)
    assert kept[0] == StoredWait(Scope.method(SEND), 5.0, "FLOOD_WAIT_9")
    for wait in restored(kept, 7.0):
        other.recalled(wait)
    assert other.ask(CHAT, 7.0) == NotYet(12.0, Because.METHOD, "FLOOD_WAIT_9")
    assert other.ask(GROUP, 12.0) == NotYet(33.0, Because.CHAT, "SLOWMODE_WAIT_30")


# ---------------------------------------------------------------- what is learned


def test_after_a_flood_wait_one_message_leaves_and_the_next_ones_at_half_the_speed() -> None:
    pacing = Pacing(PUBLISHED)
    pacing.announced(flood(9.0), 0.0)
    times: list[float] = []
    now_s = 9.0
    for chat_id in range(1, 5):
        times += sent_at(pacing, chat_id, 1, now_s)
        now_s = times[-1]
    assert times == [9, 9.08, 9.16, 9.24]


def test_a_flood_wait_slows_down_the_chat_that_it_answered_and_no_other_chat() -> None:
    pacing = Pacing(PUBLISHED)
    sent_at(pacing, CHAT, 5)
    pacing.announced(flood(9.0), 0.0, chat_id=CHAT)
    pacing.announced(flood(9.5), 0.5, chat_id=CHAT)  # of the same flood
    assert sent_at(pacing, CHAT, 7, 9.5)[-3:] == [10, 12, 14]
    assert sent_at(pacing, 78, 7, 20.0) == [20, 20, 20, 20, 20, 21, 22]


def test_answers_to_what_was_in_flight_together_are_one_flood() -> None:
    pacing = Pacing(PUBLISHED)
    for n in range(10):
        pacing.announced(flood(9.0 + n / 100), n / 100)
    assert sent_at(pacing, CHAT, 3, 0.0) == [9.09, 9.17, 9.25], "half the speed, not a thousandth"


def test_a_flood_wait_that_only_premium_would_spare_us_teaches_nothing() -> None:
    pacing = Pacing(PUBLISHED)
    pacing.announced(flood(9.0, "FLOOD_PREMIUM_WAIT_9"), 0.0, ours=False)
    assert pacing.ask(CHAT, 1.0) == NotYet(9.0, Because.METHOD, "FLOOD_PREMIUM_WAIT_9")
    assert sent_at(pacing, CHAT, 5, 9.0) == [9.0] * 5


@pytest.mark.parametrize(
    ("quiet_s", "slowness"),
    [
        (0, 4.0),
        (QUIET_S - 0.001, 4.0),
        (QUIET_S, 4 * FASTER),
        (2 * QUIET_S, 4 * FASTER**2),
        (6 * QUIET_S, 4 * FASTER**6),
        (7 * QUIET_S, 1.0),
        (1e9, 1.0),
    ],
)
def test_quiet_times_take_back_a_little_each(quiet_s: float, slowness: float) -> None:
    tempo = Tempo().flooded(0, 10).flooded(20, 50)
    assert tempo.slowness_at(50 + quiet_s) == pytest.approx(slowness)


@given(st.lists(st.tuples(st.floats(0, 2000), st.floats(1, 90_000)), max_size=40))
def test_a_tempo_stays_between_published_and_slowest(
    floods: list[tuple[float, float]],
) -> None:
    tempo, now_s = Tempo(), 0.0
    for pause_s, wait_s in floods:
        now_s += pause_s
        before = tempo.slowness_at(now_s)
        tempo = tempo.flooded(now_s, now_s + wait_s)
        assert 1 <= before <= tempo.slowness_at(now_s + wait_s) <= SLOWEST
        assert tempo.slowness_at(now_s + wait_s + 1e6) == 1


def test_a_chat_in_slow_mode_is_written_to_once_in_its_interval_without_asking_again() -> None:
    pacing = Pacing(PUBLISHED)
    assert pacing.ask(GROUP, 0.0) == Go()
    pacing.announced(Wait(Scope.chat(GROUP), 30.0, "SLOWMODE_WAIT_30"), 0.0)
    assert sent_at(pacing, GROUP, 4, 0.0) == [30, 61, 92, 123]
    pacing.announced(Wait(Scope.chat(GROUP), 133.0, "SLOWMODE_WAIT_10"), 123.0)
    assert sent_at(pacing, GROUP, 2, 123.0) == [133, 164], "what is left of an interval is not the interval"


def test_a_slow_mode_that_nobody_mentioned_for_an_hour_is_forgotten() -> None:
    pacing = Pacing(PUBLISHED)
    pacing.announced(Wait(Scope.chat(GROUP), 30.0, "SLOWMODE_WAIT_30"), 0.0)
    over_s = FORGET_SLOWMODE_S + 30
    assert sent_at(pacing, GROUP, 6, over_s) == [over_s] * 5 + [over_s + 4]
