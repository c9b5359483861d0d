"""The shortest Telethon script on plain asyncio. A process of its own: trio_asyncio would slow asyncio down.

Standard input: `Facts`, then one job for each line (``sequential 100``). Standard output: a line when it is
connected, and one for each job.
"""

import asyncio
import sys

from benchmarks.telethon_jobs import Facts, Meter, connect_aio, new_client, send_aio


async def main_aio() -> None:
    """Connect, and send what is asked for until standard input ends."""
    facts = Facts.read()
    client = new_client(facts)
    peers = await connect_aio(client, facts)
    Meter().tell()
    while words := (await asyncio.to_thread(sys.stdin.readline)).split():
        meter = Meter()
        await send_aio(client, peers, words[0], int(words[1]))
        meter.tell()
    await client.disconnect()


if __name__ == "__main__":
    asyncio.run(main_aio())
