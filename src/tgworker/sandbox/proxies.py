"""Proxies in front of the sandbox, on 127.0.0.1: SOCKS5 and MTProxy, with troubles of their own.

A SOCKS5 proxy connects to the sandbox's data centres alone, whatever its client calls their address: names
are looked up by the proxy. An MTProxy finds them by their number.
"""

import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import trio

from tgworker.sandbox.errors import LineBroken, SandboxError
from tgworker.sandbox.listening import HOST
from tgworker.sandbox.proxy_lines import (
    FORBIDDEN,
    GRANTED,
    HEADER_BYTES,
    NO_SUCH_COMMAND,
    REFUSED,
    Reader,
    admit,
    answer_wish,
    lift_veil,
    read_wish,
    receive,
    send,
)

Kind = Literal["socks5", "mtproxy"]

Trouble = Literal["none", "away", "hang", "reject", "refuse", "cut"]
"""What is wrong with a proxy.

==========  ==========================================================================================
``none``    nothing
``away``    nobody listens at its port; lines that stand go on
``hang``    it takes connections, and says nothing
``reject``  it takes no login, and no secret. (An MTProxy says nothing to whom it does not know.)
``refuse``  it connects nobody: SOCKS5's error 5; an MTProxy hangs up
``cut``     lines that stand are cut, and new ones after the server's first bytes
==========  ==========================================================================================
"""

MOST: int = 64
"""So many proxies there may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxProxy:
    """A proxy, and what came through it so far.

    Attributes:
        port: Where it listens; and its name.
        kind: How it is spoken to.
        url: For a client's configuration, with all that it must know: ``socks5://…`` or ``tg://proxy?…``.
        trouble: What is wrong with it.
        connections: TCP connections so far.
        connected: How many of them it has connected to a data centre.
        open: How many of those stand now.
        wishes: Where clients wanted to go, as they said it: ``host:port``, or ``dc 2``. The last thousand.
    """

    port: int
    kind: Kind
    url: str
    trouble: Trouble = "none"
    connections: int = 0
    connected: int = 0
    open: int = 0
    wishes: tuple[str, ...] = ()


class _Running:
    """A proxy at work."""

    def __init__(self, proxy: SandboxProxy, login: tuple[str, str] | None, secret: bytes) -> None:
        self.proxy = proxy
        self.login = login
        self.secret = secret
        self.listening = trio.CancelScope()
        self.lines: set[trio.CancelScope] = set()

    def note(self, wish: str) -> None:
        self.proxy = replace(self.proxy, wishes=(*self.proxy.wishes[-999:], wish))


class Proxies:
    """The proxies of one sandbox.

    Args:
        ports: Where its data centres listen, by number.
    """

    def __init__(self, ports: Mapping[int, int]) -> None:
        self._ports = ports
        self._running: dict[int, _Running] = {}
        self._new, self._to_serve = trio.open_memory_channel[tuple[_Running, socket.socket]](2 * MOST)

    def open_socks5(self, *, login: tuple[str, str] | None = None) -> SandboxProxy:
        """Put a SOCKS5 proxy in front; ``login``: the name and the password that it asks for.

        Raises:
            SandboxError: There are too many, or they are no name and password.
        """
        if login is not None and not all(each and each.isascii() and len(each) < 256 for each in login):
            raise SandboxError("a name and a password have 1 to 255 characters of ASCII")
        who = "" if login is None else f"{login[0]}:{login[1]}@"
        return self._open("socks5", lambda port: f"socks5://{who}{HOST}:{port}", login, b"")

    def open_mtproxy(self, *, secret: str | None = None) -> SandboxProxy:
        """Put an MTProxy in front; ``secret``: 32 hexadecimal digits, random ones if nothing is said.

        Raises:
            SandboxError: There are too many, or it is no secret.
        """
        secret = secrets.token_hex(16) if secret is None else secret
        try:
            raw = bytes.fromhex(secret)
        except ValueError:
            raw = b""
        if len(raw) != 16:
            raise SandboxError("a secret has 32 hexadecimal digits")
        return self._open(
            "mtproxy", lambda port: f"tg://proxy?server={HOST}&port={port}&secret=dd{secret}", None, raw
        )

    def trouble(self, port: int, trouble: Trouble) -> None:
        """Let something be wrong with the proxy at a port.

        Raises:
            SandboxError: There is none.
        """
        running = self._at(port)
        was = running.proxy.trouble
        running.proxy = replace(running.proxy, trouble=trouble)
        if trouble == "away" and was != "away":
            running.listening.cancel(reason="the proxy is away")
        elif was == "away" and trouble != "away":
            running.listening = trio.CancelScope()
            self._new.send_nowait((running, _listening_at(port)))
        if trouble == "cut":
            for line in tuple(running.lines):
                line.cancel(reason="the proxy cuts its lines")

    def listing(self) -> tuple[SandboxProxy, ...]:
        """All of them, as they are now."""
        return tuple(each.proxy for each in self._running.values())

    def get(self, port: int) -> SandboxProxy:
        """One of them, as it is now.

        Raises:
            SandboxError: There is none.
        """
        return self._at(port).proxy

    async def serve(self) -> None:
        """Serve them until cancelled."""
        async with trio.open_nursery() as nursery:
            async for running, listening in self._to_serve:
                nursery.start_soon(self._listen, running, listening)

    # ---------------------------------------------------------------- one proxy

    def _open(
        self, kind: Kind, url: Callable[[int], str], login: tuple[str, str] | None, secret: bytes
    ) -> SandboxProxy:
        if len(self._running) >= MOST:
            raise SandboxError(f"there are {MOST} proxies, and no more")
        listening = _listening_at(0)
        port: int = listening.getsockname()[1]
        running = _Running(SandboxProxy(port=port, kind=kind, url=url(port)), login, secret)
        self._running[port] = running
        self._new.send_nowait((running, listening))
        return running.proxy

    def _at(self, port: int) -> _Running:
        if port not in self._running:
            raise SandboxError(f"there is no proxy at port {port}")
        return self._running[port]

    async def _listen(self, running: _Running, listening: socket.socket) -> None:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        async with listener, trio.open_nursery() as clients:
            with running.listening:
                serve = partial(self._join, running)
                await trio.serve_listeners(serve, [listener], handler_nursery=clients)
            await listener.aclose()

    async def _join(self, running: _Running, client: trio.SocketStream) -> None:
        running.proxy = replace(running.proxy, connections=running.proxy.connections + 1)
        async with client:
            with suppress(LineBroken, OSError):  # (OSError: the sandbox has closed its ports)
                if running.proxy.trouble == "hang":
                    await _swallow(client)
                elif running.proxy.kind == "socks5":
                    await self._socks5(running, client)
                else:
                    await self._mtproxy(running, client)

    async def _socks5(self, running: _Running, client: trio.SocketStream) -> None:
        reader = Reader(client)
        if not await admit(client, reader, running.login, reject=running.proxy.trouble == "reject"):
            return
        wish = await read_wish(reader)
        if wish is None:
            await answer_wish(client, NO_SUCH_COMMAND)
            return
        running.note(f"{wish[0]}:{wish[1]}")
        if running.proxy.trouble == "refuse" or wish[1] not in self._ports.values():
            await answer_wish(client, REFUSED if running.proxy.trouble == "refuse" else FORBIDDEN)
            return
        async with await trio.open_tcp_stream(HOST, wish[1]) as server:
            await answer_wish(client, GRANTED)
            await _relay(running, client, server, first=reader.rest())

    async def _mtproxy(self, running: _Running, client: trio.SocketStream) -> None:
        if running.proxy.trouble == "refuse":
            return
        reader = Reader(client)
        veil = lift_veil(await reader.read(HEADER_BYTES), running.secret)
        if veil is None or running.proxy.trouble == "reject":
            await _swallow(client)
            return
        running.note(f"dc {veil.dc_id}")
        if veil.dc_id not in self._ports:
            return
        async with await trio.open_tcp_stream(HOST, self._ports[veil.dc_id]) as server:
            await send(server, veil.opening)
            await _relay(
                running,
                client,
                server,
                first=reader.rest(),
                there=veil.decrypt.encrypt,
                back=veil.encrypt.encrypt,
            )


def _listening_at(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise SandboxError(f"cannot listen on port {port} of {HOST}: {error.strerror}") from None
    listening.listen(64)
    return listening


async def _swallow(client: trio.SocketStream) -> None:
    """Hear a client out, and say nothing."""
    while True:
        await receive(client)


async def _relay(
    running: _Running,
    client: trio.SocketStream,
    server: trio.SocketStream,
    *,
    first: bytes,
    there: Callable[[bytes], bytes] = bytes,
    back: Callable[[bytes], bytes] = bytes,
) -> None:
    """Carry bytes both ways until one side ends, or the line is cut."""

    async def carry_there() -> None:
        with suppress(LineBroken):
            if first:
                await send(server, there(first))
            while True:
                await send(server, there(await receive(client)))
        line.cancel(reason="the client has gone")

    running.proxy = replace(running.proxy, connected=running.proxy.connected + 1, open=running.proxy.open + 1)
    line = trio.CancelScope()
    running.lines.add(line)
    try:
        with line, suppress(LineBroken):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(carry_there)
                with suppress(LineBroken):
                    await send(client, back(await receive(server)))
                    while running.proxy.trouble != "cut":
                        await send(client, back(await receive(server)))
                nursery.cancel_scope.cancel(reason="the server has gone")
    finally:
        running.lines.discard(line)
        running.proxy = replace(running.proxy, open=running.proxy.open - 1)
