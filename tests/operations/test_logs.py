"""Logs: for people and for machines, and never a secret."""

import io
import json
import logging
import os
import warnings
from collections.abc import Generator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import trio

from tgworker.messaging.models import Secret
from tgworker.operations.logs import Logger, Threshold, foreign_logs, in_child, make_logger
from tgworker.operations.redaction import is_hidden_name

AT = datetime(2026, 11, 23, 23, 4, 5, 678901, tzinfo=timezone(timedelta(hours=1)))
SESSION = "1AgAOMTQ5LjE1NC4xNjcuNDAB" + "x" * 330 + "="


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def logger(stream: io.StringIO, *, json: bool = True, level: str = "debug") -> Logger:
    return make_logger(stream, json=json, level=level, now=lambda: AT)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def foreign(stream: io.StringIO) -> Generator[io.StringIO]:
    with foreign_logs(logger(stream)):
        yield stream


def test_a_machine_reads_one_object_a_line_in_reading_order(stream: io.StringIO) -> None:
    logger(stream).info(
        "send finished", attempt=2, duration_s=0.25, child="outbound", account="a-1", reason=None
    )
    assert stream.getvalue() == (
        '{"timestamp": "2026-11-23T22:04:05.678Z", "level": "info", "event": "send finished", '
        '"account": "a-1", "child": "outbound", "duration_s": 0.25, "attempt": 2}\n'
    )


def test_a_person_reads_columns(stream: io.StringIO) -> None:
    logger(stream, json=False).warning("store away", operation="claim", child="outbound")
    assert " ".join(stream.getvalue().split()) == (
        "2026-11-23T22:04:05.678Z [warning ] store away child=outbound operation=claim"
    )


def test_colours_are_for_terminals_only() -> None:
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        logger(stream, json=False).info("hello")
    assert "\x1b[" not in plain.getvalue()
    assert "\x1b[" in terminal.getvalue()


def test_what_is_below_the_level_is_not_written(stream: io.StringIO) -> None:
    log = logger(stream, level="warning")
    log.info("no")
    log.warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


def test_an_event_stays_on_its_line(stream: io.StringIO) -> None:
    logger(stream, json=False).info("first\nsecond")
    assert len(stream.getvalue().splitlines()) == 1


async def test_lines_of_a_child_and_of_its_tasks_name_it(stream: io.StringIO) -> None:
    log = logger(stream)

    async def child(name: str) -> None:
        with in_child(name, account=f"account of {name}"):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(speak, name)

    async def speak(name: str) -> None:
        await trio.lowlevel.checkpoint()
        log.info("mine", said_by=name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child, "one")
        nursery.start_soon(child, "two")
    log.info("nobody's")
    assert {(line["child"], line["account"], line["said_by"]) for line in lines(stream)[:2]} == {
        ("one", "account of one", "one"),
        ("two", "account of two", "two"),
    }
    assert "child" not in lines(stream)[2]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_shows_no_local_variable(as_json: bool, stream: io.StringIO) -> None:
    def fail(session: str) -> None:
        raise RuntimeError("the line broke")

    try:
        fail("hunter" + str(2))  # put together, because a traceback shows the source line
    except RuntimeError as error:
        logger(stream, json=as_json).error("child raised", exc_info=error)
    assert "RuntimeError: the line broke" in stream.getvalue()
    assert "in fail" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    "fields",
    [
        {"session": "hunter2"},
        {"Text": "hunter2"},
        {"message_text": "hunter2"},
        {"secrets_encrypted": "hunter2"},
        {"api_hash": "hunter2"},
        {"status_token": b"hunter2"},
        {"phone": 4930901820},
        {"key": "hunter2"},
        {"apikey": "hunter2"},
        {"Authorization": "Bearer hunter2"},
        {"value": Secret("hunter2")},
        {"config": {"proxy": {"password": "hunter2"}}},
        {"rows": [{"text": "hunter2"}, (Secret("hunter2"),)]},
        {"reason": f"cannot read {SESSION}"},
        {"reason": "gAAAAABnQ" + "hunter2" * 20 + "=="},
        {"reason": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiaHVudGVyMiJ9.hunter2"},
        {"reason": "sb_secret_hunter2"},
        {"error": ValueError("no user with +4930901820")},
    ],
    ids=str,
)
def test_no_secret_is_written(as_json: bool, fields: dict[str, Any], stream: io.StringIO) -> None:
    logger(stream, json=as_json).info("something", **fields)
    written = stream.getvalue()
    assert "(hidden)" in written
    for secret in ("hunter2", "4930901820", SESSION, "eyJ"):
        assert secret not in written


def test_a_secret_in_an_event_or_a_traceback_is_hidden_too(stream: io.StringIO) -> None:
    logger(stream).error(f"lost {SESSION}", exc_info=RuntimeError(f"bad {SESSION}"))
    (line,) = lines(stream)
    assert line["event"] == "lost (hidden)"
    assert line["exception"] == "RuntimeError: bad (hidden)"


@pytest.mark.parametrize(
    "name", ["account", "operation", "exit_code", "context", "key_file", "sessions", "message", "attempt"]
)
def test_harmless_names_are_not_hidden(name: str) -> None:
    assert not is_hidden_name(name)


def test_ids_times_and_fences_are_left_alone(stream: io.StringIO) -> None:
    fields = {
        "account": "3f1d2c9a-7a51-4e0e-9d3a-0c1f1f9a8f10",
        "random_id": -8123456789012345678,
        "at": "2026-11-23T22:04:05+00:00",
        "chat_id": -1001234567890,
    }
    logger(stream).info("something", **fields)
    assert fields.items() <= lines(stream)[0].items()


def test_foreign_libraries_are_heard_from_warning_on(foreign: io.StringIO) -> None:
    logging.getLogger("some.library").info("no")
    logging.getLogger("some.library").warning("away for %d s", 3)
    (line,) = lines(foreign)
    assert (line["level"], line["event"], line["logger"]) == ("warning", "away for 3 s", "some.library")


def test_foreign_levels_of_any_number_are_taken(foreign: io.StringIO) -> None:
    logging.getLogger("some.library").log(35, "odd")
    logging.getLogger("some.library").critical("end")
    assert [line["level"] for line in lines(foreign)] == ["warning", "error"]


def test_a_foreign_traceback_is_kept(foreign: io.StringIO) -> None:
    try:
        raise RuntimeError("inside")
    except RuntimeError:
        logging.getLogger("some.library").exception("failed")
    assert lines(foreign)[0]["exception"].endswith("RuntimeError: inside")


@pytest.mark.parametrize("name", ["telethon.client.updates", "httpx", "httpcore.http11"])
def test_talkative_libraries_only_say_that_something_failed(name: str, foreign: io.StringIO) -> None:
    """Telethon's TypeNotFoundError shows the bytes that it could not parse: what somebody wrote."""
    logging.getLogger(name).warning("no")
    try:
        raise RuntimeError("hunter2")
    except RuntimeError:
        logging.getLogger(name).exception("Unhandled %s", "hunter2")
    (line,) = lines(foreign)
    assert (line["level"], line["event"], line["error"]) == ("error", "Unhandled %s", "RuntimeError")
    assert "hunter2" not in foreign.getvalue()


def test_warnings_become_lines(foreign: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", RuntimeWarning, stacklevel=1)
    (line,) = lines(foreign)
    assert (line["level"], line["reason"], line["category"]) == ("warning", "careful", "RuntimeWarning")


def test_after_the_block_foreign_libraries_are_left_as_they_were(stream: io.StringIO) -> None:
    def state() -> tuple[object, ...]:
        root = logging.getLogger()
        return (tuple(root.handlers), root.level, logging.getLogger("telethon").level, warnings.showwarning)

    before = state()
    with foreign_logs(logger(stream)):
        assert state() != before
    assert state() == before


def test_a_closed_pipe_ends_nothing(stream: io.StringIO) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    logger(Broken()).info("into nowhere")
    closed = io.StringIO()
    log = logger(closed)
    closed.close()
    log.info("into nowhere")


def test_times_are_utc_whatever_the_clock_says() -> None:
    stream = io.StringIO()
    make_logger(stream, json=True, level="info", now=lambda: AT.astimezone(UTC)).info("hello")
    assert lines(stream)[0]["timestamp"] == "2026-11-23T22:04:05.678Z"


def test_the_least_important_level_can_be_moved_while_the_logger_is_in_use(stream: io.StringIO) -> None:
    threshold = Threshold("warning")
    log = make_logger(stream, json=True, level=threshold, now=lambda: AT)
    bound = log.bind(account="1")
    bound.info("too little")
    threshold.move("info")
    bound.debug("too little")
    bound.info("enough")
    threshold.move("error")
    bound.warning("too little")
    log.error("more than enough")
    assert [line["event"] for line in lines(stream)] == ["enough", "more than enough"]
    assert [bound.is_enabled_for(level) for level in (20, 30, 40)] == [False, False, True]


def test_a_pipe_that_nobody_empties_stops_nobody_and_is_told_of_what_it_missed() -> None:
    read_fd, write_fd = os.pipe()
    with open(read_fd, "rb", buffering=0) as reader, open(write_fd, "w", encoding="utf-8") as stream:  # noqa: PTH123 - pipes
        log = make_logger(stream, json=True, level="info", now=lambda: AT)
        for number in range(2000):
            log.info("x" * 100, number=number)
        first = reader.read(1 << 20).decode().splitlines()
        log.info("hello again")
        log.info("and again")
        again, later = (json.loads(line) for line in reader.read(1 << 20).decode().splitlines())
    assert json.loads(first[-1])["number"] == len(first) - 1, "whole lines, without a gap"
    assert 100 < len(first) < 2000
    assert again["lines_dropped_before"] == 2000 - len(first)
    assert "lines_dropped_before" not in later
