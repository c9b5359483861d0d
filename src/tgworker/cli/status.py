"""``tgworker status``: what a running worker is doing, or what it last said."""

from collections.abc import Mapping
from typing import Any

import trio

from tgworker.app.books import open_heartbeats, stack_files
from tgworker.cli._errors import EXIT_NO
from tgworker.cli._options import Json, settings_for
from tgworker.cli._output import Output
from tgworker.messaging.records import HeartbeatRecord
from tgworker.operations.stack_files import StackFile, StackKind, in_short
from tgworker.operations.status_socket import ask

ANSWER_WITHIN_S = 2.0


def status(*, json: Json = False) -> int:
    """Show the worker's tree, pulses, accounts and queues, and what one did that froze.

    Where no worker answers within 2 s, the last heartbeat and the newest file of stacks are shown, and the
    exit code is 1.
    """
    settings = settings_for()
    output = Output(json=json)
    stacks = stack_files(settings)

    async def run() -> int:
        answer = await ask(settings.data_dir, "status", within_s=ANSWER_WITHIN_S)
        freeze = stacks.newest(StackKind.FREEZE)
        if answer is not None:
            output.result(
                {"answers": True, **answer, "last_freeze": _file(freeze)},
                "\n".join([_page(answer), *_freeze_lines(freeze)]),
            )
            return 0
        with open_heartbeats(settings) as heartbeats:
            last = await heartbeats.read(settings.worker_id)
        newest = stacks.newest()
        output.result(
            {
                "answers": False,
                "heartbeat": None if last is None else _heartbeat(last),
                "last_freeze": _file(freeze),
                "newest_stacks": _file(newest),
            },
            "\n".join(
                [
                    f"no worker answers in {settings.data_dir}{_last_words(last)}",
                    *_freeze_lines(freeze),
                    *([f"newest stacks: {newest.path}"] if newest is not None else []),
                ]
            ),
        )
        return EXIT_NO

    return trio.run(run)


def _heartbeat(last: HeartbeatRecord) -> Mapping[str, Any]:
    return {
        "worker_id": last.worker_id,
        "status": last.status,
        "last_heartbeat_at": last.last_heartbeat_at,
        "age_s": round(last.age_s, 1),
        "loops_status": last.loops_status,
        "incarnation": last.incarnation,
        "seq": last.seq,
    }


def _last_words(last: HeartbeatRecord | None) -> str:
    if last is None:
        return ", and none ever wrote a heartbeat there: start one with 'tgworker run'"
    return f"; the last heartbeat of {last.worker_id} said {last.status} {last.age_s:.0f} s ago"


def _file(file: StackFile | None) -> Mapping[str, Any] | None:
    return None if file is None else {"at": file.at, "file": str(file.path), "stacks": file.read()}


def _freeze_lines(freeze: StackFile | None) -> list[str]:
    """The last freeze for people: when, and where it stood."""
    if freeze is None:
        return []
    at = f"{freeze.at:%Y-%m-%d %H:%M:%S} UTC"
    return [
        "",
        f"last freeze: {at}, process {freeze.pid}, all of it in {freeze.path}",
        in_short(freeze.read()),
    ]


def _page(answer: Mapping[str, Any]) -> str:
    """The status for people."""
    lines = [
        f"{answer['worker_id']}: {answer['status']} (pid {answer['pid']}, version {answer['version']})",
        *(["the store does not answer (why: see the log): it is asked until it does"] * answer["store_away"]),
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
        lines.append("  none: add one with 'tgworker login'")
    queues = answer["queues"]
    lines += [
        "",
        "queues: {claimed} claimed, {in_flight} in flight, {unsettled} to settle".format_map(queues),
    ]
    if answer["unsure"]:
        lines.append(
            f"unsure: nobody knows whether Telegram has {answer['unsure']} messages:"
            " see 'tgworker outbox list --state unsure'"
        )
    lag = answer["lag"]
    if lag is not None:
        lines.append(
            f"event loop: {lag['lag_s'] * 1000:.0f} ms late at most in the last second,"
            f" {lag['worst_s']:.2f} s at worst"
        )
    return "\n".join(lines)
