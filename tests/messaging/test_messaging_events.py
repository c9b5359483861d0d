"""The catalogue of events is complete, and nothing in it could carry a secret or what people write."""

import dataclasses
import inspect
from typing import get_args

import pytest

from tgworker.messaging import events
from tgworker.messaging.hearing import Remedy
from tgworker.messaging.models import AccountId, AccountState, JobId, MessageId

DECLARED = [
    declared
    for _, declared in inspect.getmembers(events, inspect.isclass)
    if declared.__module__ == events.__name__
]
TELLTALE = (
    "text",
    "session",
    "phone",
    "secret",
    "token",
    "peer",
    "username",
    "name",
    "to",
    "body",
    "content",
)


def test_the_catalogue_lists_each_event_once() -> None:
    assert sorted(events.CATALOGUE, key=lambda each: each.__name__) == DECLARED
    assert set(get_args(events.Event)) == set(events.CATALOGUE)


@pytest.mark.parametrize("event", events.CATALOGUE, ids=lambda event: event.__name__)
def test_an_event_is_frozen_documented_and_of_plain_values(event: type[events.Event]) -> None:
    assert event.__doc__
    assert "(" not in event.__doc__.split("\n")[0][:20], "the dataclass made this docstring"
    made = object.__new__(event)
    plain = {str, int, float, bool, type(None), AccountId, MessageId, AccountState, Remedy}
    plain = {str, int, float, bool, type(None), AccountId, MessageId, JobId, AccountState, Remedy}
    for field, hint in inspect.get_annotations(event, eval_str=True).items():
        assert set(get_args(hint) or (hint,)) <= plain, field
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field, "changed")


@pytest.mark.parametrize("event", events.CATALOGUE, ids=lambda event: event.__name__)
def test_an_event_has_no_field_for_what_must_not_be_seen(event: type[events.Event]) -> None:
    for field in dataclasses.fields(event):
        assert not set(field.name.split("_")) & set(TELLTALE), field.name
