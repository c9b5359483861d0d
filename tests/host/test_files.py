"""Files and sockets of a hosted loop, and what it takes itself."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator

import pytest
import trio

import tgworker.telegram.host.loop
from telegram.telegram_world import open_files
from tgworker.telegram.host import HostLoop, open_host, open_hosted_loop


@pytest.fixture
async def loop() -> AsyncGenerator[HostLoop]:
    async with open_hosted_loop() as loop:
        yield loop


async def test_readers_and_writers_are_called_until_they_are_removed(loop: HostLoop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        got = bytearray()
        writable = trio.Event()
        loop.add_reader(ours, lambda: got.extend(ours.recv(2)))
        loop.add_writer(ours, writable.set)
        await writable.wait()
        assert loop.remove_writer(ours)
        theirs.sendall(b"abcdef")  # ready until all is read
        with trio.fail_after(10):
            while bytes(got) != b"abcdef":
                await trio.sleep(0.001)
        assert loop.remove_reader(ours)
        assert not loop.remove_reader(ours)
        theirs.sendall(b"unread")
        await trio.sleep(0.01)
        assert bytes(got) == b"abcdef"


async def test_a_reader_may_be_given_up_by_its_handle_and_its_number_used_again(loop: HostLoop) -> None:
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    handle = loop.add_reader(ours, lambda: None)
    handle.cancel()
    ours.close()
    theirs.close()
    mine, other = socket.socketpair()
    with mine, other:
        reused = mine if mine.fileno() == number else other
        assert reused.fileno() == number
        came = trio.Event()

        def on_ready() -> None:
            reused.recv(1)
            came.set()

        loop.add_reader(reused, on_ready)
        (other if reused is mine else mine).sendall(b"x")
        with trio.fail_after(10):
            await came.wait()
        loop.remove_reader(reused)


async def test_streams_carry_more_than_any_buffer_both_ways(loop: HostLoop) -> None:
    size = 3_000_000

    async def echo_aio(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def talk_aio() -> int:
        server = await asyncio.start_server(echo_aio, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        reader, writer = await asyncio.open_connection(host, port)

        async def send_aio() -> None:
            writer.write(os.urandom(size))
            await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send_aio())
        got = len(await reader.read(-1))
        await sending
        writer.close()
        server.close()
        return got

    with trio.fail_after(30):
        assert await loop.run_aio_coroutine(talk_aio()) == size


async def test_files_wake_a_loop_although_the_main_task_sleeps_for_a_timer(loop: HostLoop) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        loop.call_later(3600, print)
        await trio.testing.wait_all_tasks_blocked()
        theirs.sendall(b"hello")
        with trio.fail_after(10):
            assert await loop.run_aio_coroutine(loop.sock_recv(ours, 10)) == b"hello"


async def test_what_a_file_begins_goes_on_when_its_turn_is_over(
    loop: HostLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tgworker.telegram.host.loop, "TURN_S", 0.0)
    done = trio.Event()

    def on_ready() -> None:
        ours.recv(1)
        again(100)

    def again(left: int) -> None:
        if left:
            loop.call_soon(again, left - 1)
        else:
            done.set()

    ours, theirs = socket.socketpair()
    with ours, theirs:
        loop.add_reader(ours, on_ready)
        await trio.testing.wait_all_tasks_blocked()
        theirs.sendall(b"x")
        with trio.fail_after(10):
            await done.wait()
        loop.remove_reader(ours)


async def test_names_are_looked_up_in_trios_threads(loop: HostLoop) -> None:
    found = await loop.run_aio_coroutine(loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM))
    assert {entry[4][0] for entry in found} <= {"127.0.0.1", "::1"}


async def test_a_loop_takes_one_file_and_gives_it_back() -> None:
    before = open_files()
    async with open_hosted_loop():
        assert open_files() == before + 1  # the selector; trio-asyncio's loop takes a pair of sockets
    assert open_files() == before
    async with open_host(stock=True):
        assert open_files() == before + 2
    for _ in range(100):
        async with open_hosted_loop() as loop:
            await loop.run_aio_coroutine(asyncio.sleep(0))
    assert open_files() == before


async def test_files_left_to_the_loop_are_closed_with_it() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        async with open_hosted_loop() as loop:
            loop.add_reader(ours.fileno(), lambda: None)
            loop.autoclose(ours.detach())
        assert theirs.recv(1) == b""
