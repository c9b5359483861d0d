"""Which name Telegram is asked about next, and when: decisions without a clock."""

from tgworker.messaging.models import Peer, PeerKind
from tgworker.messaging.outcomes import Deferred, Refused
from tgworker.messaging.pacing import Rate
from tgworker.messaging.seeking import (
    ANSWER_FOR_S,
    LISTS,
    MOST_NAMES,
    PACED,
    PHONES,
    USERNAMES,
    Seeking,
    Turn,
    method_of,
)

RATE = Rate(every_s=600, burst=2)
ADA = Peer(500, PeerKind.USER, 5)


def wanting(*names: str, now_s: float = 0) -> Seeking:
    seeking = Seeking(RATE)
    for name in names:
        seeking.want(name, now_s)
    return seeking


def take(seeking: Seeking, now_s: float, answer: Peer | Refused = ADA) -> str:
    """Ask for the next name, now, and store the answer."""
    turn = seeking.next(now_s)
    assert turn is not None
    assert turn.at_s == now_s
    seeking.asked(turn.to, now_s)
    seeking.answered(turn.to, answer, now_s)
    seeking.stored([turn.to])
    return turn.to


def test_how_a_recipient_is_found() -> None:
    methods = [method_of(to) for to in ("@ada", "+44", "500", "-100500", "")]
    assert methods == [USERNAMES, PHONES, LISTS, LISTS, LISTS]


def test_each_name_is_asked_for_once_in_the_order_in_which_they_were_wanted() -> None:
    seeking = wanting("@Zoe", "500", "@zoe", "@ada", "500")
    assert len(seeking) == 3
    assert [take(seeking, 1), take(seeking, 1), take(seeking, 1)] == ["@zoe", "500", "@ada"]
    assert seeking.next(1) is None


def test_a_burst_goes_at_once_and_then_one_every_so_many_seconds() -> None:
    seeking = wanting("@a", "@b", "@c", "@d")
    take(seeking, 0)
    take(seeking, 0)
    assert seeking.next(0) == Turn("@c", 600, None)
    assert take(seeking, 600) == "@c"
    assert seeking.next(600) == Turn("@d", 1200, None)


def test_usernames_phone_numbers_and_ids_do_not_wait_for_each_other() -> None:
    seeking = wanting("@a", "@b", "@c", "+1", "500")
    take(seeking, 0)
    take(seeking, 0)
    assert [take(seeking, 0), take(seeking, 0)] == ["+1", "500"]
    assert seeking.next(0) == Turn("@c", 600, None)


def test_a_wait_that_telegram_announced_holds_up_its_method_alone() -> None:
    seeking = wanting("@a", "@b", "500")
    seeking.announced(USERNAMES, 86_400, "FLOOD_WAIT_86400")
    seeking.announced(USERNAMES, 10, "FLOOD_WAIT_10")
    assert take(seeking, 0) == "500"
    assert seeking.next(0) == Turn("@a", 86_400, None)


def test_a_name_that_was_put_off_delays_no_other() -> None:
    seeking = wanting("@a", "@b")
    seeking.later("@a", 5, "INTERNAL")
    assert take(seeking, 0) == "@b"
    assert seeking.next(0) == Turn("@a", 5, None)


def test_rows_show_until_when_they_wait_and_are_told_once() -> None:
    seeking = wanting("@a", "@b", "@c", "@d", "500")
    assert seeking.to_show(0) == {}, "all of them may go, as far as anybody knows"
    take(seeking, 0)
    take(seeking, 0)
    expected = {"@c": Deferred(600, PACED), "@d": Deferred(1200, PACED)}
    assert seeking.to_show(0) == expected
    assert seeking.to_show(1) == {}
    take(seeking, 1)  # the id
    take(seeking, 600)
    assert seeking.to_show(600) == {}, "what stands in its row is still true"
    seeking.announced(USERNAMES, 90_000, "FLOOD_WAIT_89400")
    assert seeking.to_show(600) == {"@d": Deferred(89_400, "FLOOD_WAIT_89400")}


def test_short_waits_are_not_written_down() -> None:
    seeking = wanting("@a")
    seeking.announced(USERNAMES, 60, "FLOOD_WAIT_60")
    assert seeking.to_show(0) == {}


def test_what_a_row_shows_already_is_not_written_again() -> None:
    seeking = Seeking(RATE)
    seeking.want("@a", 0, left_s=400, seen=True)
    assert seeking.to_show(0) == {}
    assert seeking.next(0) == Turn("@a", 400, None)


def test_an_answer_is_kept_until_it_is_stored_and_some_time_longer() -> None:
    seeking = wanting("@a")
    seeking.asked("@a", 0)
    seeking.answered("@a", ADA, 3)
    assert seeking.next(3) == Turn("@a", 3, ADA)
    seeking.later("@a", 4, "")
    assert seeking.next(3) == Turn("@a", 4, ADA)
    seeking.stored(["@a"])
    seeking.want("@A", 3 + ANSWER_FOR_S - 1)
    assert seeking.next(62) == Turn("@a", 62, ADA), "its row was claimed before the answer was stored"
    seeking.stored(["@a"])
    seeking.want("@a", 3 + ANSWER_FOR_S)
    assert seeking.next(63) == Turn("@a", 63, None)


def test_what_is_too_much_is_left_to_the_store() -> None:
    seeking = wanting(*(str(number) for number in range(1, MOST_NAMES + 1)))
    overflowed: list[bool] = []
    for name in ("1", "@one_more"):
        seeking.want(name, 0)
        overflowed.append(seeking.overflowed)
    assert overflowed == [False, True]
    assert len(seeking) == MOST_NAMES


def test_many_answers_are_not_remembered_for_ever() -> None:
    seeking = Seeking(RATE)
    for number in range(3 * MOST_NAMES):
        seeking.want(str(number), 0)
        seeking.answered(str(number), ADA, 0)
        seeking.stored([str(number)])
    assert len(seeking._answers) <= MOST_NAMES  # how large it is
