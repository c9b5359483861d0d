"""``stacks``, and what ``status`` says of the last freeze: of workers that answer, and of the others."""

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from cli.cli_kit import Shell
from cli.json_shapes import SHAPES
from tgworker.embedded import DataFolder
from tgworker.operations.stack_files import StackFiles, StackKind
from worker.processes import last_object, open_town

FROZEN = (
    "Fatal Python error: Aborted\n\nCurrent thread 0x0000000000000001 (most recent call first):\n"
    '  File "handler.py", line 7 in sleeps\n  File "loop.py", line 8 in run\n'
)
AT = datetime(2026, 11, 26, 18, 24, 32, tzinfo=UTC)


def leave(shell: Shell, kind: StackKind, text: str, *, minute: int = 0) -> Path:
    """A file of stacks, as a worker or its guard leaves it."""
    at = AT + timedelta(minutes=minute)
    path = StackFiles(DataFolder(shell.data).stacks).create(kind, at=at, pid=4711)
    path.write_text(text)
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def test_without_a_worker_and_without_files_the_answer_is_no(shell: Shell) -> None:
    found = shell("stacks", "--json")
    assert found.code == 1
    assert found.last == {"answers": False, "file": None, "at": None, "pid": None, "stacks": None}
    assert shell("stacks").out == f"no worker answers in {shell.data}, and none has left its stacks there\n"


def test_without_a_worker_the_newest_file_is_shown(shell: Shell) -> None:
    leave(shell, StackKind.FREEZE, FROZEN)
    path = leave(shell, StackKind.DUMP, "what it did\n", minute=1)
    found = shell("stacks", "--json")
    assert found.code == 1
    assert found.last == {
        "answers": False,
        "file": str(path),
        "at": "2026-11-26T18:25:32+00:00",
        "pid": 4711,
        "stacks": "what it did\n",
    }
    assert set(found.last) == set(SHAPES["stacks"])
    assert shell("stacks").out == (
        f"no worker answers in {shell.data}; {path.name} was written at 2026-11-26 18:25:32 UTC:\n\n"
        "what it did\n"
    )


def test_status_without_a_worker_tells_of_the_last_freeze_and_of_newer_stacks(shell: Shell) -> None:
    freeze = leave(shell, StackKind.FREEZE, FROZEN)
    dump = leave(shell, StackKind.DUMP, "what it did\n", minute=1)
    found = shell("status", "--json")
    assert found.code == 1
    assert found.last["last_freeze"] == {
        "at": "2026-11-26T18:24:32+00:00",
        "file": str(freeze),
        "stacks": FROZEN,
    }
    assert set(found.last["last_freeze"]) == set(SHAPES["status: last_freeze"])
    assert found.last["newest_stacks"]["file"] == str(dump)
    assert set(found.last["newest_stacks"]) == set(SHAPES["status, no worker: newest_stacks"])
    page = shell("status").out.splitlines()
    assert page[1:] == [
        "",
        f"last freeze: 2026-11-26 18:24:32 UTC, process 4711, all of it in {freeze}",
        "Current thread 0x0000000000000001 (most recent call first):",
        '  File "handler.py", line 7 in sleeps',
        '  File "loop.py", line 8 in run',
        f"newest stacks: {dump}",
    ]


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_worker_says_what_it_does_and_one_that_is_stopped_is_known_by_what_it_left(
    tmp_path: Path,
) -> None:
    async with open_town(tmp_path) as town:
        await town.login(town.facts["users"][0], "me")
        async with town.worker() as worker:
            await town.wait_online()
            asked = await town.command("stacks", "--json")
            answer = last_object(asked.stdout)
            assert (asked.returncode, answer["answers"], answer["pid"]) == (0, True, worker.pid)
            assert set(answer) == set(SHAPES["stacks"])
            text = answer["stacks"]
            assert "task root.outbound" in text
            assert "await trio.sleep(min(left_s, LOOK_EVERY_S))" in text, "the heartbeat waits for the next"
            assert "asyncio task" in text, "what Telethon does"
            for user in town.facts["users"]:
                assert user["session"] not in text
                assert user["phone"] not in text

            worker.send_signal(signal.SIGUSR1)
            stacks = StackFiles(tmp_path / "data" / "stacks")
            with trio.fail_after(30):
                while (written := stacks.newest(StackKind.DUMP)) is None:
                    await trio.sleep(0.05)
            assert "task root.outbound" in written.read()
            assert written.pid == worker.pid

            worker.send_signal(signal.SIGSTOP)
            stopped = await town.command("stacks", "--json")
            answer = last_object(stopped.stdout)
            assert (stopped.returncode, answer["answers"], answer["file"]) == (1, False, str(written.path))
            assert "task root.outbound" in answer["stacks"]
            stopped = await town.command("status", "--json")
            found = last_object(stopped.stdout)
            assert (stopped.returncode, found["answers"]) == (1, False)
            assert found["heartbeat"]["worker_id"] == "telegram-main"
            assert found["newest_stacks"]["file"] == str(written.path)

            worker.send_signal(signal.SIGCONT)
            await town.wait_online()
            assert '"stacks written"' in (tmp_path / "worker.log").read_text()
