"""``tgworker status``: what a running worker is doing, or what it last said."""

from collections.abc import Mapping
from typing import Any

import trio

from tgworker.app.books import open_books
from tgworker.cli._errors import EXIT_NO
from tgworker.cli._options import Json, settings_for
from tgworker.cli._output import Output
from tgworker.operations.status_socket import ask

ANSWER_WITHIN_S = 2.0


def status(*, json: Json = False) -> int:
    """Show the worker's tree, pulses, accounts and queues.

    Where no worker answers within 2 s, the last heartbeat is shown, and the exit code is 1.
    """
    settings = settings_for()
    output = Output(json=json)

    async def run() -> int:
        answer = await ask(settings.data_dir, "status", within_s=ANSWER_WITHIN_S)
        if answer is not None:
            output.result({"answers": True, **answer}, _page(answer))
            return 0
        async with open_books(settings) as books:
            last = await books.heartbeats.read(settings.worker_id)
        if last is None:
            output.result(
                {"answers": False, "heartbeat": None},
                f"no worker answers in {settings.data_dir}, and none ever wrote a heartbeat there:"
                " start one with 'tgworker run'",
            )
            return EXIT_NO
        heartbeat = {
            "worker_id": last.worker_id,
            "status": last.status,
            "last_heartbeat_at": last.last_heartbeat_at,
            "age_s": round(last.age_s, 1),
            "loops_status": last.loops_status,
            "incarnation": last.incarnation,
            "seq": last.seq,
        }
        output.result(
            {"answers": False, "heartbeat": heartbeat},
            f"no worker answers in {settings.data_dir}; the last heartbeat of {last.worker_id} said"
            f" {last.status} {last.age_s:.0f} s ago",
        )
        return EXIT_NO

    return trio.run(run)


def _page(answer: Mapping[str, Any]) -> str:
    """The status for people."""
    lines = [
        f"{answer['worker_id']}: {answer['status']} (pid {answer['pid']}, version {answer['version']})",
        "",
        "loops",
    ]
    for name, loop in answer["loops"].items():
        doing = loop["operation"] or ("waiting" if loop["alive"] else "down")
        lines.append(
            f"  {name:<10}{doing:<28}last beat {loop['last_ping_ago']:.1f} s ago, restarts {loop['restarts']}"
            + (f", last ending: {loop['verdict']}" if loop["verdict"] else "")
        )
    lines += ["", "accounts"]
    for account in answer["accounts"]:
        reason = f": {account['reason']}" if account["reason"] else ""
        lines.append(f"  {account['name'] or account['id']}: {account['state']}{reason}")
    if not answer["accounts"]:
        lines.append("  none: add one with 'tgworker login --session -'")
    queues = answer["queues"]
    lines += [
        "",
        "queues: {claimed} claimed, {in_flight} in flight, {unsettled} to settle".format_map(queues),
    ]
    return "\n".join(lines)
