"""Pure functions: ids, times, delays."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgworker.embedded.peers import is_marked_id
from tgworker.embedded.retry import retry_delay_s
from tgworker.embedded.values import (
    from_iso,
    from_seconds,
    iso,
    json_object,
    new_id,
    new_ids,
    random_id,
    seconds,
)
from tgworker.messaging.models import MessageId


def test_delays_double_up_to_a_minute() -> None:
    assert [retry_delay_s(n) for n in range(1, 10)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert retry_delay_s(10**9) == 60


def test_a_random_id_is_a_function_of_message_and_part_and_stays_the_same_for_ever() -> None:
    message = MessageId("5f4dcc3b-5aa7-45d6-9d83-27deb882cf99")
    # Stored attempts of older versions must be recognised: these numbers may not change.
    assert random_id(message, 0) == -8755513955924977715
    assert random_id(message, 1) == 3019930244066291365


def test_fresh_ids_are_uuids_that_grow_with_time() -> None:
    ids = [*(new_id() for _ in range(500)), *new_ids(500)]
    assert len(set(ids)) == 1000
    assert all(text == str(UUID(text)) for text in ids)
    assert {UUID(text).version for text in ids} == {7}
    assert {UUID(text).variant for text in ids} == {RFC_4122}
    assert [text[:12] for text in ids] == sorted(text[:12] for text in ids)


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001 - made aware below
def test_times_survive_to_the_millisecond(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    back = from_iso(iso(moment))
    assert back is not None
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)
    again = from_seconds(seconds(moment))
    assert again is not None
    assert abs(again - moment) < timedelta(milliseconds=1)


def test_times_are_stored_in_utc() -> None:
    moment = datetime(2026, 1, 1, 9, 0, tzinfo=timezone(timedelta(hours=-3)))
    assert iso(moment) == "2026-01-01T12:00:00.000Z"


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert from_iso(text) is None
    assert from_seconds(float("inf")) is None
    assert from_seconds(1e300) is None


@pytest.mark.parametrize("text", [None, "", "{", "[]", "5"])
def test_what_is_no_json_object_is_an_empty_one(text: str | None) -> None:
    assert json_object(text) == {}


def test_marked_ids() -> None:
    assert all(map(is_marked_id, ("1", "-5", "-1001234567890", "123456789012345678")))
    assert not any(map(is_marked_id, ("", "-", "--5", "+5", "5.0", "٣", "1" * 19, "@5", "5 ")))
