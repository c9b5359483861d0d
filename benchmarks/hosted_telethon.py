"""The same jobs with Telethon hosted inside trio. Input and output as of `benchmarks.bare_telethon`.

``python -m benchmarks.hosted_telethon MODE``, where the mode is

``ours``      the same Telethon code in our loop: the whole job crosses the bridge once
``each``      the same, but each message crosses it
``stock``     as ``ours``, in trio-asyncio's loop
``worker``    the worker's own `TelethonConnection`: each ``send_text`` crosses once
"""

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from random import Random

import trio

from benchmarks.telethon_jobs import AT_ONCE, Facts, Meter, connect_aio, new_client, send_aio
from tgworker.messaging.models import Account, AccountId, Peer, Secret
from tgworker.messaging.outcomes import Sent
from tgworker.telegram import (
    ServerOverride,
    TelegramSettings,
    TelethonConnection,
    TelethonTelegram,
    install_wait_for,
)
from tgworker.telegram.host import open_host

Job = Callable[[str, int], Awaitable[None]]


async def main(mode: str) -> None:
    """Connect, and send what is asked for until standard input ends."""
    facts = Facts.read()
    async with AsyncExitStack() as stack:
        job = await (_worker(facts, stack) if mode == "worker" else _telethon(facts, mode, stack))
        Meter().tell()
        while words := (await trio.to_thread.run_sync(sys.stdin.readline)).split():
            meter = Meter()
            await job(words[0], int(words[1]))
            meter.tell()


async def _telethon(facts: Facts, mode: str, stack: AsyncExitStack) -> Job:
    loop = await stack.enter_async_context(open_host(stock=mode == "stock"))
    client = new_client(facts)
    peers = await loop.run_aio_coroutine(connect_aio(client, facts))
    stack.push_async_callback(lambda: loop.run_aio_coroutine(_disconnect_aio(client)))

    async def whole(kind: str, messages: int) -> None:
        await loop.run_aio_coroutine(send_aio(client, peers, kind, messages))

    async def each(kind: str, messages: int) -> None:
        async def series(sender: int, share: int) -> None:
            for _ in range(share):
                await loop.run_aio_coroutine(send_aio(client, [peers[sender]], "sequential", 1))

        await _all_series(series, kind, messages)

    return each if mode == "each" else whole


async def _disconnect_aio(client: object) -> None:
    await client.disconnect()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]


@asynccontextmanager
async def open_line(facts: Facts) -> AsyncGenerator[TelethonConnection]:
    """The worker's own connection, connected."""
    install_wait_for()
    host, port = facts.server.rsplit(":", 1)
    server = ServerOverride(host=host, port=int(port), dc=facts.dc, public_key_pem=facts.public_key)
    telegram = TelethonTelegram(TelegramSettings(api_id=1, api_hash="hash", server=server))
    account = Account(AccountId("bench"), "owner", None, None, "")
    async with telegram.open(account, Secret(facts.session)) as line:
        await line.connect(None, ())
        yield line


async def _worker(facts: Facts, stack: AsyncExitStack) -> Job:
    line = await stack.enter_async_context(open_line(facts))
    nursery = await stack.enter_async_context(trio.open_nursery())
    stack.callback(nursery.cancel_scope.cancel)
    nursery.start_soon(_drop, line.updates)
    peers: list[Peer] = []
    for name in facts.peers:
        peer = await line.resolve(f"@{name}")
        assert isinstance(peer, Peer)
        peers.append(peer)
    ids = count(Random().getrandbits(60))

    async def series(sender: int, share: int) -> None:
        for number in range(share):
            sent = await line.send_text(peers[sender], f"text {number}", random_id=next(ids))
            assert isinstance(sent, Sent), sent

    async def job(kind: str, messages: int) -> None:
        await _all_series(series, kind, messages)

    return job


async def _all_series(series: Callable[[int, int], Awaitable[None]], kind: str, messages: int) -> None:
    if kind == "sequential":
        await series(0, messages)
        return
    async with trio.open_nursery() as nursery:
        for sender in range(AT_ONCE):
            nursery.start_soon(series, sender, messages // AT_ONCE)


async def _drop(updates: trio.MemoryReceiveChannel[object]) -> None:
    async for _ in updates:
        pass


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
