"""What a row of ``message_jobs`` asks for, whatever stands in it; edits of split texts; verdicts."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.messaging_fakes import ANNA, PEER, format_text
from tgworker.messaging.formatted import FormattedText
from tgworker.messaging.job_actions import (
    ACTIONS,
    Action,
    Delete,
    Edit,
    Forward,
    MarkRead,
    Pin,
    React,
    Typing,
    is_gone,
    job_random_id,
    read_action,
)
from tgworker.messaging.job_edits import EditPlan, plan_edit
from tgworker.messaging.job_outcomes import (
    Done,
    JobOutcome,
    JobVerdict,
    SettledJob,
    verdict,
)
from tgworker.messaging.models import JobId, JobMessage, MessageJob
from tgworker.messaging.outcomes import Deferred, Refused, Released, Unknown

MESSAGE = JobMessage("text", "sent")


def job(
    action: str = "edit", payload: Any = None, *, ids: tuple[int, ...] = (70,), **more: Any
) -> MessageJob:
    values: dict[str, Any] = {"message": MESSAGE, **more}
    return MessageJob(JobId("j"), ANNA, action, {} if payload is None else payload, "77", PEER, ids, **values)


@pytest.mark.parametrize(
    ("action", "payload", "asked"),
    [
        ("edit", {"text": "hi"}, Edit("hi")),
        ("edit", {"text": "*hi*", "parse_mode": "markdown"}, Edit("*hi*", "markdown")),
        ("delete", {}, Delete(for_both=True)),
        ("delete", {"revoke": None}, Delete(for_both=True)),
        ("delete", {"revoke": False}, Delete(for_both=False)),
        ("typing", {}, Typing()),
        ("mark_read", {}, MarkRead()),
        ("read", {}, MarkRead()),
        ("react", {"emoji": "👍"}, React("👍")),
        ("react", {"emoji": ""}, React(None)),
        ("react", {}, React(None)),
        ("react", {"emoji": "custom:5368324170671202286"}, React("custom:5368324170671202286")),
        ("pin", {}, Pin(pinned=True, notify=False, for_both=True)),
        ("pin", {"notify": True, "for_both": False}, Pin(pinned=True, notify=True, for_both=False)),
        ("unpin", {}, Pin(pinned=False, notify=False, for_both=True)),
        ("forward", {"to": " @bob "}, Forward("@bob")),
    ],
)
def test_each_action_is_read_with_its_payload(action: str, payload: Any, asked: Action) -> None:
    assert read_action(job(action, payload)) == asked


def test_a_forward_goes_to_the_conversation_that_it_names() -> None:
    named = job("forward", {"conversation_id": "c"}, target="@bob")
    assert read_action(named) == Forward("@bob")
    assert read_action(replace(named, target=None)) == Refused(
        "payload.conversation_id is no conversation of this owner on Telegram"
    )


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (job("Edit ", {"text": "x"}), f"unknown action: there are {', '.join(ACTIONS)}"),
        (replace(job(), payload=None), "the payload is no JSON object, or is larger than 256 KiB"),
        (job("edit", {}), "payload.text is missing"),
        (job("edit", {"text": None}), "payload.text is no text"),
        (job("edit", {"text": 7}), "payload.text is no text"),
        (job("edit", {"text": "\ud800"}), "payload.text is no text: it has half of a character in it"),
        (job("edit", {"text": "x", "parse_mode": 5}), "payload.parse_mode is no text"),
        (job("delete", {"revoke": "no"}), "payload.revoke is neither true nor false"),
        (job("pin", {"notify": 1}), "payload.notify is neither true nor false"),
        (job("react", {"emoji": "x" * 65}), "payload.emoji is too long: 65 characters, at most 64"),
        (job("react", {"emoji": "custom:x"}), "payload.emoji: a custom one is custom: and its document id"),
        (
            job("forward", {}),
            'forward needs whom to: payload {"to": …} or {"conversation_id": …}',
        ),
        (job("edit", {"text": "x"}, message=None), "edit needs a message_id"),
        (job("edit", {"text": "x"}, ids=(2**31,)), "the message's id is none that Telegram gives"),
        (job("edit", {"text": "x"}, ids=(0,)), "the message's id is none that Telegram gives"),
        (
            job("edit", {"text": "x"}, ids=()),
            "Telegram has no such message of this account, or nobody knows its id",
        ),
        (
            job("edit", {"text": "x"}, message=JobMessage("text", "sent", parts=2)),
            "not all of its message's parts are known by their ids",
        ),
        (
            job("edit", {"text": "x"}, message=JobMessage("text", "dead", "USER_IS_BLOCKED"), ids=()),
            "its message is dead in the outbox: USER_IS_BLOCKED",
        ),
        (
            job("delete", {}, message=JobMessage("text", "unsure", "nobody knows"), ids=()),
            "its message is unsure in the outbox: nobody knows",
        ),
        (replace(job("typing"), to=None), "the job's chat is none of Telegram's"),
    ],
    ids=lambda value: value.action if isinstance(value, MessageJob) else value[:30],
)
def test_what_cannot_be_done_is_refused_with_one_reason(asked: MessageJob, why: str) -> None:
    assert read_action(asked) == Refused(why)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    ["text", "parse_mode", "revoke", "emoji", "notify", "for_both", "to", "conversation_id"]
)


@given(
    action=st.sampled_from(ACTIONS) | st.text(),
    payload=st.none() | st.dictionaries(NAMES, ANYTHING),
    to=st.none() | st.text(max_size=20),
    ids=st.lists(st.integers(-(2**70), 2**70), max_size=3),
    message=st.none()
    | st.builds(
        JobMessage,
        st.text(max_size=5),
        st.sampled_from([None, "sent", "dead", "unsure", "cancelled", "expired", "?"]),
        st.none() | st.text(max_size=5),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    target=st.none() | st.text(max_size=5),
)
def test_whatever_stands_in_a_row_it_is_an_action_or_one_line_of_reason(
    action: str, payload: Any, to: str | None, ids: list[int], message: JobMessage | None, target: str | None
) -> None:
    row = MessageJob(JobId("j"), ANNA, action, payload, to, None, tuple(ids), message=message, target=target)
    asked = read_action(row)
    if isinstance(asked, Refused):
        assert asked.reason
        assert "\n" not in asked.reason.replace(message.error if message and message.error else "", "")
        return
    if not isinstance(asked, Typing | MarkRead) and not is_gone(row):
        assert row.telegram_ids
    if isinstance(asked, Edit):
        plan = plan_edit(asked, row, text_limit=4096, caption_limit=1024, format_text=format_text)
        assert isinstance(plan, Refused) or plan.edits


def test_a_delete_of_what_never_left_has_nothing_to_do() -> None:
    gone = job("delete", {}, message=JobMessage("text", "expired"), ids=())
    assert read_action(gone) == Delete(for_both=True)
    assert is_gone(gone)
    half = job("delete", {}, message=JobMessage("text", "dead", "x", parts=2), ids=(70,))
    assert read_action(half) == Delete(for_both=True)  # what has left of it
    assert not is_gone(half)
    assert not is_gone(job("edit", {"text": "x"}, message=JobMessage("text", "dead"), ids=()))


def test_forwarded_parts_have_ids_of_their_own_that_never_change() -> None:
    ids = [job_random_id(JobId(name), part) for name in ("a", "b") for part in range(3)]
    assert len(set(ids)) == 6
    assert all(-(2**63) <= each < 2**63 for each in ids)
    assert job_random_id(JobId("a"), 0) == ids[0] == 1424250031564587177


# ---------------------------------------------------------------- edits


def planned(text: str, asked: MessageJob, parse_mode: str | None = None) -> EditPlan | Refused:
    return plan_edit(Edit(text, parse_mode), asked, text_limit=20, caption_limit=16, format_text=format_text)


def plain(plan: EditPlan | Refused) -> tuple[list[tuple[int, str]], tuple[int, ...]]:
    assert isinstance(plan, EditPlan)
    return [(number, text.text) for number, text in plan.edits], plan.surplus


def album(kind: str, files: int, *ids: int) -> MessageJob:
    return job(ids=ids, message=JobMessage(kind, "sent", parts=len(ids), files=files))


def test_a_text_of_one_part_gets_the_new_one() -> None:
    assert plain(planned("hello", job())) == ([(70, "hello")], ())
    bold = format_text("*hello*", "stars")
    assert isinstance(bold, FormattedText)
    assert planned("*hello*", job(), "stars") == EditPlan(((70, bold),))
    assert planned("x", job(), "rot13") == Refused("parse_mode rot13")


def test_a_split_text_is_split_anew_over_its_parts_and_what_is_left_over_is_deleted() -> None:
    split = job(ids=(70, 71, 72), message=JobMessage("text", "sent", parts=3))
    text = "one two three four. five six seven"
    assert plain(planned(text, split)) == ([(70, "one two three four."), (71, "five six seven")], (72,))
    assert plain(planned("short", split)) == ([(70, "short")], (71, 72))


def test_a_text_that_takes_more_parts_than_there_are_is_refused() -> None:
    refused = planned("one two three four. five six seven", job())
    assert refused == Refused(
        "the new text is too long: 34 characters take 2 messages, and there is one to change"
        " (a text holds 20, a caption 16): send the rest anew"
    )
    assert isinstance(planned("x" * 10_000_000, job()), Refused)


def test_of_an_album_the_caption_changes_and_the_texts_behind_it() -> None:
    assert plain(planned("caption", album("photo", 3, 70, 71, 72))) == ([(70, "caption")], ())
    with_text = album("photo", 2, 70, 71, 72)
    text = "a long caption, and more"
    assert plain(planned(text, with_text)) == ([(70, "a long caption,"), (72, "and more")], ())
    assert plain(planned("short", with_text)) == ([(70, "short")], (72,))


def test_a_caption_may_be_emptied_and_a_text_may_not() -> None:
    assert planned(" ", album("photo", 1, 70)) == EditPlan(((70, FormattedText("")),))
    assert planned(" ", job()) == Refused("the new text is empty: delete the message instead")


def test_what_shows_no_caption_has_its_text_behind_it() -> None:
    assert planned("x", album("sticker", 1, 70)) == Refused("its message has neither text nor caption")
    assert plain(planned("x", album("sticker", 1, 70, 71))) == ([(71, "x")], ())


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("action", "attempt", "outcome", "told"),
    [
        ("edit", 1, Done(), JobVerdict(JobId("j"), ended=True)),
        ("edit", 1, Refused("NO"), JobVerdict(JobId("j"), ended=True, error="NO")),
        ("edit", 9, Released("offline"), JobVerdict(JobId("j"), ended=False, was_tried=False)),
        (
            "edit",
            9,
            Deferred(33, "FLOOD_WAIT_33"),
            JobVerdict(JobId("j"), ended=False, retry_after_s=33, was_tried=False),
        ),
        ("edit", 1, Unknown("cut"), JobVerdict(JobId("j"), ended=False, retry_after_s=1)),
        ("edit", 4, Unknown("cut"), JobVerdict(JobId("j"), ended=False, retry_after_s=8)),
        (
            "edit",
            5,
            Unknown("cut"),
            JobVerdict(
                JobId("j"), ended=True, error="cut; nobody knows whether it was done, after 5 attempts"
            ),
        ),
        (
            "typing",
            1,
            Unknown("cut"),
            JobVerdict(JobId("j"), ended=True, error="cut; typing is worth nothing later"),
        ),
        (
            "typing",
            1,
            Deferred(9, "FLOOD_WAIT_9"),
            JobVerdict(JobId("j"), ended=True, error="FLOOD_WAIT_9; typing is worth nothing later"),
        ),
        ("typing", 1, Released("offline"), JobVerdict(JobId("j"), ended=False, was_tried=False)),
    ],
)
def test_what_becomes_of_a_row(action: str, attempt: int, outcome: JobOutcome, told: JobVerdict) -> None:
    assert verdict(SettledJob(replace(job(action), attempt=attempt), outcome)) == told
