"""The board of presence: what is due when, second by second, what is forgotten, and what an outage leaves."""

import math
from datetime import UTC, datetime, timedelta

from tgworker.messaging.models import AccountId
from tgworker.messaging.presence import Presence
from tgworker.messaging.presence_board import AT_ONCE, CONTACT_EVERY_S, TYPING_EVERY_S, PresenceBoard

ANNA, BERT = AccountId("anna"), AccountId("bert")
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ADA = 200
SEEN = NOON - timedelta(hours=1)


def online(chat_id: int = ADA, for_s: float = 300) -> Presence:
    return Presence(chat_id, is_online=True, online_for_s=for_s)


def offline(seen: datetime = SEEN, chat_id: int = ADA) -> Presence:
    return Presence(chat_id, is_online=False, last_seen_at=seen)


def typing(typing_in: int | None = None, chat_id: int = ADA) -> Presence:
    return Presence(chat_id, is_typing=True, typing_in=typing_in)


def silent(chat_id: int = ADA) -> Presence:
    return Presence(chat_id, is_typing=False)


def write(board: PresenceBoard, now: float) -> list[Presence]:
    """What a loop would write now, for Anna; the store takes it."""
    due = board.take(now, NOON + timedelta(seconds=now))
    board.written(due)
    return list(due.items.get(ANNA, ()))


def test_who_comes_and_goes_is_due_at_once_and_once() -> None:
    board = PresenceBoard()
    assert board.due_at == math.inf
    board.hear(ANNA, online(), 0)
    assert board.due_at <= 0
    assert write(board, 0) == [Presence(ADA, is_online=True)]
    board.hear(ANNA, online(), 1)  # again: nothing new for the store
    assert write(board, 1) == []
    board.hear(ANNA, offline(), 2)
    assert write(board, 2) == [Presence(ADA, is_online=False, last_seen_at=SEEN)]
    assert board.due_at == math.inf


def test_what_flips_back_before_it_is_written_is_not_written() -> None:
    board = PresenceBoard()
    board.hear(ANNA, online(), 0)
    write(board, 0)
    board.hear(ANNA, Presence(ADA, is_online=False), 0.1)
    board.hear(ANNA, online(), 0.2)
    assert write(board, 1) == []


def test_online_ends_when_telegram_said_unless_it_says_so_again() -> None:
    board = PresenceBoard()
    board.hear(ANNA, online(for_s=60), 0)
    write(board, 0)
    board.hear(ANNA, online(for_s=60), 30)
    assert board.due_at in (60, 90)
    assert write(board, 60) == []
    assert board.due_at == 90
    gone_at = NOON + timedelta(seconds=90)
    assert write(board, 91) == [Presence(ADA, is_online=False, last_seen_at=gone_at)]
    assert board.due_at == math.inf


def test_a_new_time_last_seen_alone_waits_its_turn() -> None:
    board = PresenceBoard()
    board.hear(ANNA, offline(), 0)
    write(board, 0)
    for second in (1, 2, 3):
        board.hear(ANNA, offline(SEEN + timedelta(seconds=second)), second)
    assert write(board, 4) == []
    assert board.due_at == CONTACT_EVERY_S
    (last,) = write(board, CONTACT_EVERY_S)
    assert last.last_seen_at == SEEN + timedelta(seconds=3)


def test_typing_is_due_at_once_again_while_it_goes_on_and_ends_by_itself() -> None:
    board = PresenceBoard()
    board.hear(ANNA, typing(), 0)
    assert write(board, 0.5) == [Presence(ADA, is_typing=True, typing_for_s=4.5)]
    assert board.due_at == 5
    for second in (1, 2, 3):
        board.hear(ANNA, typing(), second)
    assert board.due_at == 0.5 + TYPING_EVERY_S
    assert write(board, 4) == []
    assert write(board, 4.5) == [Presence(ADA, is_typing=True, typing_for_s=3.5)]
    assert board.due_at == 8  # five seconds after it was heard last
    assert write(board, 8) == [silent()]
    assert board.due_at == math.inf


def test_who_stops_to_type_is_due_at_once_and_who_was_never_shown_typing_is_not() -> None:
    board = PresenceBoard()
    board.hear(ANNA, typing(), 0)
    board.hear(ANNA, silent(), 0.5)
    assert write(board, 1) == []
    board.hear(ANNA, typing(), 2)
    write(board, 2)
    board.hear(ANNA, silent(), 3)
    assert write(board, 3) == [silent()]
    board.hear(ANNA, silent(chat_id=7), 4)  # each message of a stranger says so
    assert (write(board, 4), len(board)) == ([], 1)


def test_typing_elsewhere_is_news() -> None:
    board = PresenceBoard()
    board.hear(ANNA, typing(), 0)
    write(board, 0)
    board.hear(ANNA, typing(-5), 1)
    assert write(board, 1) == [Presence(ADA, is_typing=True, typing_in=-5)]


def test_a_failed_write_is_due_again_with_what_is_so_then() -> None:
    board = PresenceBoard()
    board.hear(ANNA, online(), 0)
    for now in range(600):  # the store is away
        board.take(now, NOON)
        board.hear(ANNA, typing(), now)
        board.hear(ANNA, online(), now)
    assert (len(board), board.due_at) == (1, -math.inf)
    assert write(board, 600) == [Presence(ADA, is_online=True, is_typing=True, typing_for_s=4)]


def test_what_changes_while_it_is_written_is_due_afterwards() -> None:
    board = PresenceBoard()
    board.hear(ANNA, online(), 0)
    due = board.take(0, NOON)
    board.hear(ANNA, offline(), 0.1)
    board.written(due)
    assert write(board, 1) == [Presence(ADA, is_online=False, last_seen_at=SEEN)]


def test_one_write_takes_so_many_and_leaves_nobody_out() -> None:
    board = PresenceBoard()
    for number in range(1, 2 * AT_ONCE + 11):
        board.hear(ANNA, online(number), 0)
    sizes = [len(write(board, second)) for second in range(4)]
    assert sizes == [AT_ONCE, AT_ONCE, 10, 0]


def test_when_it_is_full_typing_goes_before_who_is_online_and_nothing_is_worth_less_than_no_news() -> None:
    board = PresenceBoard(most=4)
    board.hear(ANNA, online(1), 0)
    board.hear(ANNA, offline(chat_id=2), 0)
    board.hear(ANNA, typing(chat_id=3), 0)
    board.hear(ANNA, typing(chat_id=4), 0)
    write(board, 0)  # nothing more will be due for 2
    board.hear(ANNA, online(5), 1)
    assert (len(board), board.dropped) == (4, 0)
    board.hear(ANNA, online(6), 1)
    assert (len(board), board.dropped) == (4, 1)
    assert {each.chat_id for each in write(board, 5)} == {4, 5, 6}  # 3, who typed first, is forgotten
    for number in range(10, 10_000):
        board.hear(ANNA, typing(chat_id=number), 6)
    assert len(board) == 4
    assert [each.chat_id for each in write(board, 400)] == [1, 5, 6]


def test_each_account_is_told_apart_and_can_be_forgotten() -> None:
    board = PresenceBoard()
    board.hear(ANNA, online(), 0)
    board.hear(BERT, online(), 0)
    assert set(board.take(0, NOON).items) == {ANNA, BERT}
    board.forget(ANNA)
    due = board.take(1, NOON)
    assert (set(due.items), due.count()) == ({BERT}, 1)
    board.written(due)
    assert (len(board), board.due_at) == (1, 300)
