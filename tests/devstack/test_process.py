"""What is started dies: with its keeper, with its starter, and with all that it started itself."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from tgworker.devstack.errors import PartFailed
from tgworker.devstack.keeper import descendants_of
from tgworker.devstack.process import Process, last_line, start_process

ENVIRONMENT: Mapping[str, str] = {"PATH": os.defpath}
FAMILY = "sleep 1000 & sleep 1000 & wait"
STUBBORN = "trap '' TERM INT; echo deaf; while :; do sleep 0.05; done"


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if state(pid) not in {"", "Z"}]


def state(pid: int) -> str:
    """A process's state, as ps shows it; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def until(condition: object, within_s: float = 20) -> None:
    assert callable(condition)
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


async def start(folder: Path, script: str, *, grace_s: float = 5.0) -> Process:
    return await start_process(
        "the program",
        ["/bin/sh", "-c", script],
        log=folder / "log",
        environment=ENVIRONMENT,
        folder=folder,
        grace_s=grace_s,
    )


async def test_it_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    process = await start(tmp_path, FAMILY)
    until(lambda: len(descendants_of(process.pid)) == 2)
    family = [process.pid, *descendants_of(process.pid)]
    await process.kill()
    assert (alive(family), process.is_alive()) == ([], False)
    await process.kill()  # once more is no error


async def test_children_that_lost_their_parent_are_waited_for_and_then_killed(tmp_path: Path) -> None:
    process = await start(tmp_path, FAMILY, grace_s=0.2)
    until(lambda: len(descendants_of(process.pid)) == 2)
    children = descendants_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not alive([process.pid]))
    assert process.is_alive()
    assert alive(children) == children
    assert await process.wait(20) == 128 + signal.SIGKILL
    assert alive(children) == []


async def test_a_program_that_ends_by_itself_is_noticed(tmp_path: Path) -> None:
    process = await start(tmp_path, "echo the last word >&2; exit 7")
    assert await process.wait(20) == 7
    assert last_line(process.log) == "the last word"


async def test_it_is_asked_before_it_is_killed(tmp_path: Path) -> None:
    polite = await start(tmp_path, "trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done")
    until(lambda: "ready" in polite.log.read_text())
    await polite.stop()
    assert await polite.wait(1) == 3
    stubborn = await start(tmp_path, STUBBORN, grace_s=0.2)
    until(lambda: "deaf" in stubborn.log.read_text())
    await stubborn.stop()
    assert await stubborn.wait(1) == 128 + signal.SIGKILL


async def test_freezing_stops_the_whole_family(tmp_path: Path) -> None:
    process = await start(tmp_path, FAMILY, grace_s=0.2)
    until(lambda: len(descendants_of(process.pid)) == 2)
    family = [process.pid, *descendants_of(process.pid)]
    process.freeze()
    until(lambda: [state(pid) for pid in family] == ["T"] * 3)
    process.thaw()
    until(lambda: "T" not in [state(pid) for pid in family])
    process.freeze()
    await process.stop()  # a frozen one is asked as well
    assert alive(family) == []


async def test_what_cannot_be_executed_is_said(tmp_path: Path) -> None:
    process = await start_process(
        "the program", ["/nonexistent"], log=tmp_path / "log", environment=ENVIRONMENT, folder=tmp_path
    )
    assert await process.wait(20) == 127
    assert last_line(process.log) == "/nonexistent: No such file or directory"


async def test_a_keeper_that_is_killed_takes_the_program_with_it(tmp_path: Path) -> None:
    process = await start(tmp_path, STUBBORN)
    (keeper,) = [pid for pid in descendants_of(os.getpid()) if process.pid in descendants_of(pid)]
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not alive([process.pid]))
    with trio.fail_after(20):
        await process.wait(20)


STARTER = """
import sys, threading, time
from pathlib import Path
import trio
from tgworker.devstack.process import start_process

folder = Path(sys.argv[1])
(folder / "temporary").mkdir()
async def start():
    process = await start_process("it", ["/bin/sh", "-c", sys.argv[2]], log=folder / "log", folder=folder,
                      environment={"PATH": "/bin:/usr/bin"}, remove=folder / "temporary", grace_s=0.2)
    print(process.pid, flush=True)
thread = threading.Thread(target=trio.run, args=(start,))
thread.start()
thread.join()
time.sleep(1000)
"""


@pytest.mark.slow
@pytest.mark.parametrize("script", [FAMILY, STUBBORN], ids=["family", "stubborn"])
def test_nothing_outlives_a_starter_that_is_killed_but_a_thread_may_end(tmp_path: Path, script: str) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path), script], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    with starter, starter.stdout:
        program = int(starter.stdout.readline())
        time.sleep(0.3)  # the thread that started it is gone by now
        family = [program, *descendants_of(starter.pid)]
        assert alive(family) == family
        starter.kill()
    until(lambda: not alive(family))
    until(lambda: not (tmp_path / "temporary").exists())


async def test_what_hangs_is_reported(tmp_path: Path) -> None:
    process = await start(tmp_path, FAMILY)
    with pytest.raises(PartFailed, match=r"the program .* does not end"):
        await process.wait(0.05)
    await process.kill()
