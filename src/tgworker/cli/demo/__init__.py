"""``tgworker demo``: the worker against the sandbox, with three faults or four; it checks itself.

Lowest last::

    story     what happens, act by act
    stage     the sandbox, the worker, and the traffic between them
    courier   the files among it; parcels, recording, ogg: what they are, and whether they are whole
    companion what else people do in a chat: edits, reactions, histories, presence
    ground    the store that they stand on; stack_ground: Supabase's
    watch     everything that happened, and waiting for it
    view      how it is shown
    figures   what was found, as numbers
    ledger    both sides compared
"""

import random
import sys
import tempfile
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import Parameter

from tgworker.cli._errors import EXIT_NO, Failed, Usage
from tgworker.cli._options import Json
from tgworker.cli._output import Output, complain
from tgworker.cli._telethon import known_telethon
from tgworker.cli.demo.figures import Figures
from tgworker.cli.demo.ground import Ground, open_embedded_ground
from tgworker.cli.demo.stage import open_stage
from tgworker.cli.demo.story import Story
from tgworker.cli.demo.view import Scene, open_view
from tgworker.cli.demo.watch import Watch
from tgworker.cli.dev_stack import places
from tgworker.devstack import Binaries, BinaryMissing, DevStackError
from tgworker.operations.signals import run_until_signalled

WITHIN_S = 110.0
"""The demo itself may not hang either."""


def demo(
    *,
    supabase: Annotated[bool, Parameter(negative="")] = False,
    seed: int | None = None,
    json: Json = False,
) -> int:
    """Run the worker against the sandbox, break it three times, and count what arrived.

    Everything lives in a temporary folder; no setting is read from the environment. The exit code is 0 only
    if nothing was lost, doubled or out of order, no byte of a file differs, and every fault was recovered
    from.

    Args:
        supabase: On a local Supabase (see 'dev-stack') in place of SQLite files; PostgREST is killed, too.
        seed: Repeats one run's random choices.
        json: Print the figures as one JSON object, the last line; what happens goes to standard error.
    """
    output = Output(json=json)
    try:
        binaries = places().find() if supabase else None
    except BinaryMissing as error:
        raise Usage(str(error)) from None
    signals: list[str] = []
    figures: Figures | None = None

    async def run() -> None:
        nonlocal figures
        figures = await _run(json, seed, binaries)

    try:
        with known_telethon():
            # Not a KeyboardInterrupt out of nowhere: inside an asyncio loop in trio it may hang.
            trio.run(partial(run_until_signalled, run, on_signal=signals.append))
    except DevStackError as error:
        raise Failed(str(error)) from None
    if signals:
        raise KeyboardInterrupt
    if figures is None:
        complain(f"the demo did not end within {WITHIN_S:g} s")
        return EXIT_NO
    output.result(figures.to_json(), _summary(figures))
    return 0 if figures.ok else EXIT_NO


async def _run(json: bool, seed: int | None, binaries: Binaries | None) -> Figures | None:
    rng = random.Random(seed)
    scene = Scene()
    figures = None
    with (
        tempfile.TemporaryDirectory(prefix="tgworker-demo-") as folder,
        open_view(json=json, write=lambda line: print(line, file=sys.stderr if json else sys.stdout)) as view,
        trio.move_on_after(WITHIN_S),
    ):
        watch = Watch()
        if binaries is not None:
            view.tell("-- PostgreSQL and PostgREST start")
        async with (
            _open_ground(Path(folder), binaries, rng, watch) as ground,
            open_stage(Path(folder), ground, rng, watch) as stage,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(view.draw, lambda: stage.describe(scene))
            figures = await Story(stage, view, scene, rng).tell()
            nursery.cancel_scope.cancel(reason="the demo is over")
    return figures


def _open_ground(
    folder: Path, binaries: Binaries | None, rng: random.Random, watch: Watch
) -> AbstractAsyncContextManager[Ground]:
    if binaries is None:
        return open_embedded_ground(folder)
    from tgworker.cli.demo.stack_ground import open_stack_ground

    return open_stack_ground(folder, binaries, rng, watch)


def _summary(figures: Figures) -> str:
    verdict = "ok" if figures.ok else "NOT ok"
    return (
        f"{verdict}: {figures.sent} sent, {figures.received} received, {figures.lost} lost,"
        f" {figures.duplicated} duplicated, {figures.out_of_order} out of order;"
        f" files: {figures.files_sent} sent, {figures.files_received} received, {figures.files_wrong} wrong;"
        f" {figures.edits} edit, {figures.reactions} reaction, {figures.histories} history sync,"
        f" {figures.presences} presence;"
        f" recovered from {figures.hangs_recovered} of {figures.hangs_injected} hangs,"
        f" {figures.crashes_recovered} of {figures.crashes_injected} crashes,"
        f" {figures.outages_recovered} of {figures.outages_injected} outages, in {figures.seconds:.0f} s"
    )
