"""What supervision sees of a hosted loop: whatever turns it, the step is the account's."""

import asyncio
import socket
from random import Random

import trio
from trio.testing import wait_all_tasks_blocked

from tgworker.app.guarded import Steps, leaving_footprints
from tgworker.guard import Footprints
from tgworker.supervision import ChildSpec, Pulse, Restart, SupervisorSpec, open_supervisor
from tgworker.telegram.host import open_hosted_loop


def test_each_step_of_a_loop_is_its_account_s_whoever_woke_it() -> None:
    footprints = Footprints()
    seen: dict[str, str | None] = {}
    done = trio.Event()

    def look(by: str) -> None:
        seen[by] = footprints.account()

    async def job_aio() -> None:
        look("coroutine")
        await asyncio.sleep(0)
        look("coroutine later")

    async def child(pulse: Pulse, *, task_status: trio.TaskStatus[None]) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            async with open_hosted_loop() as loop:
                task_status.started()
                loop.call_soon(look, "trio task")
                loop.call_later(0.001, look, "timer")
                await trio.to_thread.run_sync(loop.call_soon_threadsafe, look, "thread")
                await trio.sleep(0.01)
                loop.add_reader(ours, look, "file")
                await wait_all_tasks_blocked()
                theirs.sendall(b"x")
                while "file" not in seen:
                    await trio.sleep(0.001)
                loop.remove_reader(ours)
                await loop.run_aio_coroutine(job_aio())
        done.set()
        await trio.sleep_forever()

    async def main() -> None:
        spec = leaving_footprints(
            ChildSpec("account", child, restart=Restart.TEMPORARY),
            footprints=footprints,
            account_of=lambda path: "0a1b" if path.endswith("account") else None,
        )
        async with open_supervisor(SupervisorSpec("root", children=(spec,)), rng=Random(1)):
            with trio.fail_after(20):
                await done.wait()

    trio.run(main, instruments=[Steps(footprints)])
    ways = {"trio task", "timer", "thread", "file", "coroutine", "coroutine later"}
    assert seen == dict.fromkeys(ways, "0a1b")
