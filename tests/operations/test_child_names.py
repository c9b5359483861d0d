"""Lines of a child name it, whoever writes them."""

import io
import json
import logging
import random
from dataclasses import asdict
from datetime import UTC, datetime

import trio

from tgworker.messaging import events as messaging
from tgworker.operations.child_names import named_in_logs
from tgworker.operations.event_log import EventLog
from tgworker.operations.logs import foreign_logs, make_logger
from tgworker.supervision import ChildSpec, Pulse, SupervisorSpec, open_supervisor


async def test_events_and_foreign_lines_of_a_child_name_it_and_its_account() -> None:
    stream = io.StringIO()
    log = make_logger(stream, json=True, level="info", now=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    events = EventLog(log)

    async def run(pulse: Pulse, /, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.checkpoint)
            events.messaging(messaging.StoreBack("claim", 2.0))
            logging.getLogger("some.library").warning("odd")
        await trio.sleep_forever()

    def account_of(path: str) -> str | None:
        return "a-1" if path == "root.a" else None

    children = [named_in_logs(ChildSpec(name, run), account_of=account_of) for name in ("a", "outbound")]
    with foreign_logs(log):
        async with open_supervisor(SupervisorSpec(children=tuple(children)), rng=random.Random(1)):
            await trio.testing.wait_all_tasks_blocked()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {(line["event"], line["child"], line.get("account")) for line in lines} == {
        ("store back", "root.a", "a-1"),
        ("odd", "root.a", "a-1"),
        ("store back", "root.outbound", None),
        ("odd", "root.outbound", None),
    }


def test_nothing_else_about_the_child_changes() -> None:
    async def run(pulse: Pulse, /, *, task_status: trio.TaskStatus[None]) -> None:
        raise NotImplementedError

    spec = ChildSpec("outbound", run, start_within_s=7, stop_within_s=3)
    before, after = asdict(spec), asdict(named_in_logs(spec, account_of=lambda _path: None))
    assert before.pop("start") is not after.pop("start")
    assert before == after
