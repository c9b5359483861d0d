"""Messages a second of a chat's history that a job stores, against a bare reader that drops them."""

import json
import sqlite3
import statistics
import sys
from contextlib import closing
from pathlib import Path
from time import perf_counter

import trio

from benchmarks.cloud import Cloud, CloudUser, open_cloud
from benchmarks.line import Effort, Json, Measured
from benchmarks.pairs import rounded
from benchmarks.service import OWNER, WITHIN_S, open_service
from benchmarks.throughput import HERE
from tgworker.embedded import DataFolder

CALM_S = 1.0
"""So long an account that is new is left alone: it reads whom it knows."""


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure the line."""
    return trio.run(_measure, effort.pick(full=7, short=1), effort.pick(full=10_000, short=500))


async def _measure(rounds: int, messages: int) -> dict[str, Measured]:
    bare: list[float] = []
    ours: list[float] = []
    async with open_cloud(3) as cloud:
        bare_user, our_user, sender = cloud.users
        for user in (bare_user, our_user):
            await cloud.burst(sender, user, messages)
        for number in range(rounds):  # who goes first changes from round to round
            if number % 2 == 0:
                bare.append(await _bare(bare_user, sender, messages))
            ours.append(await _ours(cloud, our_user, sender, messages))
            if number % 2 == 1:
                bare.append(await _bare(bare_user, sender, messages))
    ratios = [one / other for one, other in zip(ours, bare, strict=True)]
    detail: dict[str, Json] = {
        "messages": messages,
        "rounds": rounds,
        "bare_per_s": rounded(statistics.median(bare)),
        "ours_per_s": rounded(statistics.median(ours)),
        "ratio_min": rounded(min(ratios)),
        "ratio_max": rounded(max(ratios)),
    }
    return {"history_vs_bare": Measured(rounded(statistics.median(ratios)), detail)}


async def _bare(user: CloudUser, chat: CloudUser, messages: int) -> float:
    facts = {"session": user.session, "messages": messages, "chat": chat.id}
    with trio.fail_after(WITHIN_S):
        process = await trio.run_process(
            [sys.executable, str(HERE / "bare_run.py"), "history"],
            stdin=json.dumps(facts).encode() + b"\n",
            capture_stdout=True,
        )
    return float(json.loads(process.stdout.splitlines()[-1]))


async def _ours(cloud: Cloud, user: CloudUser, chat: CloudUser, messages: int) -> float:
    """On a new store, from when a worker has the job to when the job is done."""
    async with open_service(cloud, [user]) as service:
        service.env["TGWORKER_HISTORY_MAX_MESSAGES"] = str(messages)
        async with service.worker():
            await service.wait_online()
            await trio.sleep(CALM_S)
            with closing(_database(service.folder)) as database:
                _ask(database, service.accounts[0], chat.id, messages)
                began_s = await _when(database, "processing")
                took_s = await _when(database, "completed") - began_s
            assert service.received() == messages
    return messages / took_s


def _database(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(DataFolder(folder / "data").database, isolation_level=None)


def _ask(database: sqlite3.Connection, account: str, chat: int, messages: int) -> None:
    """What the application does."""
    database.execute(
        "insert into sync_history_jobs (owner_id, integration_account_id, telegram_id, limit_messages)"
        " values (?, ?, ?, ?)",
        (OWNER, account, str(chat), messages),
    )


async def _when(database: sqlite3.Connection, status: str) -> float:
    """When the job was first seen to be that far."""
    with trio.fail_after(WITHIN_S):
        while True:
            (found,) = database.execute("select status from sync_history_jobs").fetchone()
            if found in (status, "completed"):
                return perf_counter()
            if found == "failed":
                raise RuntimeError("the job failed; see worker.log")
            await trio.sleep(0.005)
