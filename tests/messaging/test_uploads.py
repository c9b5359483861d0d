"""What is remembered of uploads, for how long, and how many are on their way."""

from contextlib import ExitStack
from random import Random

import pytest
import trio
import trio.testing

from messaging.messaging_fakes import ANNA, BERT, attempt
from tgworker.messaging.models import AccountId
from tgworker.messaging.uploads import KEPT_S, MOST_KEPT, Uploads

FILM = attempt("film")


def test_two_of_one_account_and_four_in_all() -> None:
    uploads, carla = Uploads(Random(1)), AccountId("carla")
    wanted = [ANNA, ANNA, ANNA, BERT, BERT, carla]
    with ExitStack() as stack:
        assert [stack.enter_context(uploads.turn(each)) for each in wanted] == [
            True,
            True,
            False,
            True,
            True,
            False,
        ]
    with uploads.turn(carla) as has_turn:
        assert has_turn


def test_a_place_is_free_again_however_it_ends() -> None:
    uploads = Uploads(Random(1))

    def break_down() -> None:
        with uploads.turn(ANNA) as has_turn:
            assert has_turn
            raise ZeroDivisionError

    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            break_down()


async def test_what_was_put_back_is_gone_on_with(autojump_clock: trio.testing.MockClock) -> None:
    uploads = Uploads(Random(1))
    first = uploads.of(FILM, 0, 1000, "a")
    uploads.put_back(FILM, 0)
    assert uploads.of(FILM, 0, 1000, "a") is first
    assert uploads.of(FILM, 1, 1000, "b") is not first  # another part of the message


async def test_a_file_of_another_size_is_another_file(autojump_clock: trio.testing.MockClock) -> None:
    uploads = Uploads(Random(1))
    first = uploads.of(FILM, 0, 1000, "a")
    uploads.put_back(FILM, 0)
    other = uploads.of(FILM, 0, 1001, "a")
    assert (other.size, other.file_id != first.file_id) == (1001, True)


async def test_other_bytes_of_the_same_length_are_another_file(
    autojump_clock: trio.testing.MockClock,
) -> None:
    uploads = Uploads(Random(1))
    first = uploads.of(FILM, 0, 1000, "a", version="of yesterday")
    uploads.put_back(FILM, 0)
    assert uploads.of(FILM, 0, 1000, "a", version="of today") is not first


async def test_what_a_message_carries_is_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    uploads = Uploads(Random(1))
    first = uploads.of(FILM, 0, 1000, "a")
    uploads.forget(FILM, 0)
    uploads.put_back(FILM, 0)
    assert uploads.of(FILM, 0, 1000, "a") is not first


async def test_it_is_kept_from_when_it_was_put_back(autojump_clock: trio.testing.MockClock) -> None:
    """A film may be on its way for hours, and break off at its end."""
    uploads = Uploads(Random(1))
    first = uploads.of(FILM, 0, 1000, "a")
    await trio.sleep(3 * KEPT_S)
    uploads.put_back(FILM, 0)
    await trio.sleep(KEPT_S - 1)
    assert uploads.of(FILM, 0, 1000, "a") is first
    uploads.put_back(FILM, 0)
    await trio.sleep(KEPT_S)
    assert uploads.of(FILM, 0, 1000, "a") is not first


async def test_what_is_remembered_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    uploads = Uploads(Random(1))
    first = uploads.of(FILM, 0, 1000, "a")
    uploads.put_back(FILM, 0)
    last = attempt(f"{MOST_KEPT - 1}")
    for number in range(MOST_KEPT):
        uploads.of(attempt(str(number)), 0, 1000, "a")
        uploads.put_back(attempt(str(number)), 0)
    kept = uploads.of(last, 0, 1000, "a")
    uploads.put_back(last, 0)
    assert uploads.of(FILM, 0, 1000, "a") is not first
    assert uploads.of(last, 0, 1000, "a") is kept
