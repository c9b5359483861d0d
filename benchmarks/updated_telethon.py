"""A worker's connection that takes updates and drops them. Input and output as of `benchmarks.bare_telethon`.

Its job is ``updates COUNT``: it says that it waits, takes so many messages, and says what that took, how much
memory the process has (``rss_mb``), and how many timers it holds.
"""

import asyncio
import gc
import sys
from pathlib import Path

import trio

from benchmarks.hosted_telethon import open_line
from benchmarks.telethon_jobs import Facts, Meter


async def main() -> None:
    """Take what is asked for until standard input ends."""
    async with open_line(Facts.read()) as line:
        await line.updates.receive()  # where it begins
        Meter().tell()
        while words := (await trio.to_thread.run_sync(sys.stdin.readline)).split():
            meter = Meter()
            meter.tell()
            left = int(words[1])
            while left > 0:
                left -= len((await line.updates.receive()).messages)
            took = meter.read()  # before what is looked up costs anything
            meter.tell(**took, rss_mb=_rss_mb(), timers=_timers())


def _rss_mb() -> float:
    """Resident memory (proc(5): pages of 4 KiB), MiB."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 2**20


def _timers() -> int:
    return sum(isinstance(thing, asyncio.TimerHandle) for thing in gc.get_objects())


if __name__ == "__main__":
    trio.run(main)
