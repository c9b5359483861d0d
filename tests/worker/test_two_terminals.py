"""Sandbox and worker as processes: a message each way, a worker that is killed amid 500 sends."""

import signal
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio

from tgworker.sandbox import Fault, SandboxControl, open_control
from worker.processes import Town, last_object, open_town

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def held(control: SandboxControl, user: Mapping[str, Any], peer: Mapping[str, Any]) -> list[str]:
    """The texts that ``user`` holds of what ``peer`` sent, in order."""
    return [line.text for line in await control.chat(user["id"], peer["id"]) if not line.outgoing]


async def test_a_message_each_way_and_an_orderly_stop(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        me, peer = town.facts["users"]
        await town.login(me, "me")
        async with town.worker() as worker:
            sent = await town.command(
                "send", "--account", "me", "--to", str(peer["id"]), "--text", "there", "--wait", "--json"
            )
            assert sent.returncode == 0, sent.stderr
            assert last_object(sent.stdout)["sent"] == 1
            async with open_control(town.facts["control"]) as control:
                assert await held(control, peer, me) == ["there"]
                await control.send_text(peer["id"], me["id"], "and back")
            while stored(town) != ["and back"]:
                await trio.sleep(0.05)

            worker.send_signal(signal.SIGTERM)
            assert await worker.wait() == 0
        status = await town.status()
        assert status["answers"] is False
        assert status["heartbeat"]["status"] == "offline"


async def test_kill_9_in_the_middle_of_500_sends_leaves_each_once_and_in_order(tmp_path: Path) -> None:
    texts = [f"message {number:03d}" for number in range(500)]
    async with open_town(tmp_path) as town:
        me, peer = town.facts["users"]
        await town.login(me, "me")
        async with town.worker() as worker, open_control(town.facts["control"]) as control:
            await town.wait_online()
            # So that it is not through with all before somebody looks.
            slowed = await control.set_fault(Fault("delay", "messages.sendMessage", seconds=0.005))
            given = await town.command(
                "send",
                "--account",
                "me",
                "--to",
                str(peer["id"]),
                "--lines",
                "--json",
                stdin="\n".join(texts),
            )
            assert given.returncode == 0, given.stderr
            while len(await held(control, peer, me)) < 100:
                await trio.sleep(0.01)
            worker.kill()
            assert await worker.wait() == -signal.SIGKILL
            before = len(await held(control, peer, me))
            assert 100 <= before < 500
            await control.clear_faults(slowed)

            async with town.worker():
                while len(await held(control, peer, me)) < 500:
                    await trio.sleep(0.05)
                while (await town.status())["queues"]["claimed"]:
                    await trio.sleep(0.05)
            assert await held(control, peer, me) == texts
        left = await town.command("outbox", "list", "--json")
        assert left.stdout.strip() == b"[]"


def stored(town: Town) -> list[str]:
    """The inbound texts in the worker's database."""
    file = f"file:{town.folder / 'data' / 'tgworker.db'}?mode=ro"
    with closing(sqlite3.connect(file, uri=True)) as database:
        rows = database.execute("select text from messages where direction = 'inbound' order by rowid")
        return [text for (text,) in rows]
