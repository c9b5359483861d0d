"""What the worker says over the pipe is what the guard hears, whole and in order."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgworker.guard import Beat, Committed, Fault, Footprints, Link, Quiet, Ready
from tgworker.guard._footprints import MOST
from tgworker.guard._link import LONGEST_BYTES, Ear, Message, encoded
from tgworker.messaging.models import Heartbeat, LoopStatus, WorkerStatus

LOOPS = st.dictionaries(
    st.sampled_from(["sync", "outbound", "history", "jobs"]),
    st.builds(
        LoopStatus,
        last_ping_ago=st.floats(-1, 1e6),
        alive=st.booleans(),
        restarts=st.integers(0, 10**6),
        operation=st.none() | st.text(max_size=20),
        verdict=st.none() | st.just("silent"),
    ),
)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.just(Beat()),
    st.just(Ready()),
    st.builds(Quiet, st.floats(0, 1e6)),
    st.builds(Fault, st.text(max_size=50)),
    st.builds(
        Committed,
        st.sampled_from(["embedded", "supabase"]),
        st.builds(
            Heartbeat,
            worker_id=st.text(max_size=40),
            status=st.sampled_from(WorkerStatus),
            loops=LOOPS,
            incarnation=st.integers(0, 2**62),
            seq=st.integers(0, 2**62),
        ),
    ),
)


@given(st.lists(MESSAGES, max_size=20), st.integers(1, 200))
def test_messages_arrive_whole_however_they_are_cut(messages: list[Message], size: int) -> None:
    data = b"".join(encoded(message) for message in messages)
    ear = Ear()
    heard = [message for at in range(0, len(data), size) for message in ear.hear(data[at : at + size])]
    assert heard == messages


@given(MESSAGES)
def test_a_pipe_takes_each_message_whole(message: Message) -> None:
    assert len(encoded(message)) <= LONGEST_BYTES


@pytest.mark.parametrize(
    "noise",
    [
        b"garbage\n",
        b"[]\n",
        b'{"quiet": "x"}\n',
        b'{"committed": 1}\n',
        b'{"committed": "embedded", "heartbeat": {}}\n',
        b'{"committed": "embedded", "heartbeat": {"loops": {"sync": {"up": 1}}}}\n',
        b'{"committed": "embedded", "heartbeat": {"loops": []}}\n',
        b"{\n",
        b"\xff\n",
        b"null\n",
    ],
)
def test_noise_is_passed_over(noise: bytes) -> None:
    ear = Ear()
    assert ear.hear(noise + b"\n") == [Beat()]


def test_a_full_pipe_or_a_dead_guard_stops_no_worker() -> None:
    read_fd, write_fd = os.pipe2(os.O_NONBLOCK)
    link = Link(write_fd, Footprints())
    for _ in range(100_000):
        link.say(Beat())
    assert len(os.read(read_fd, 1 << 20)) == 65_536
    os.close(read_fd)
    link.say(Beat())
    os.close(write_fd)


# ---------------------------------------------------------------- footprints


def test_the_last_step_s_owner_is_seen_from_another_process() -> None:
    footprints = Footprints()
    if (pid := os.fork()) == 0:
        number = footprints.enter("0a1b")
        footprints.enter("other")
        footprints.step(number)
        os._exit(0)
    os.waitpid(pid, 0)
    assert footprints.account() == "0a1b"
    footprints.clear()
    assert footprints.account() is None


def test_numbers_are_used_again_and_run_out_quietly() -> None:
    footprints = Footprints()
    numbers = [footprints.enter(f"account {n}") for n in range(MOST)]
    assert sorted(numbers) == list(range(1, MOST + 1))
    assert footprints.enter("one more") == 0
    footprints.step(0)
    assert footprints.account() is None
    footprints.leave(numbers[7])
    again = footprints.enter("again")
    assert again == numbers[7]
    footprints.step(again)
    assert footprints.account() == "again"


def test_a_name_that_has_no_room_is_nobody_s() -> None:
    footprints = Footprints()
    assert footprints.enter("x" * 64) == 0
    number = footprints.enter("x" * 63)
    footprints.step(number)
    assert footprints.account() == "x" * 63


def test_no_file_holds_them(tmp_path: Path) -> None:
    footprints = Footprints()
    footprints.close()
    assert not list(tmp_path.iterdir())
