"""Making a line through a proxy. There is no other way past it: where the proxy is away, there is no line."""

import asyncio
import os
from typing import Any, Final

from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
from python_socks.async_.asyncio.v2 import Proxy as SocksLibrary

from tgworker.telegram.books import LineLost
from tgworker.telegram.proxies import Proxy, ProxyKind

PROXY_WITHIN_S: Final = 15.0
"""How long a proxy may take to connect us, seconds. Less than a connection may take as a whole."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
"""A TCP line."""

_TYPES: Final = {ProxyKind.SOCKS5: ProxyType.SOCKS5, ProxyKind.HTTP: ProxyType.HTTP}


async def open_through_aio(proxy: Proxy, host: str, port: int) -> Streams:
    """A TCP line to a server, through a SOCKS5 or HTTP proxy; the proxy looks the server's name up.

    Raises:
        LineLost: There is none, and why: the proxy, never who we are there.
    """
    library = SocksLibrary(
        _TYPES[proxy.kind],
        host=proxy.host,
        port=proxy.port,
        username=proxy.username,
        password=proxy.password,
        rdns=True,
    )
    try:
        stream = await library.connect(host, port, timeout=PROXY_WITHIN_S)
    except ProxyTimeoutError:
        raise LineLost(f"{proxy} did not connect us within {PROXY_WITHIN_S:g} s") from None
    except ProxyConnectionError as error:
        raise LineLost(_unreachable(proxy, error)) from None
    except ProxyError as error:
        raise LineLost(f"{proxy} refuses to connect us{_code(error)}") from None
    except (OSError, EOFError, ValueError) as error:  # (ValueError: it does not speak like a proxy)
        raise LineLost(_broke(proxy, error)) from None
    return stream.reader, stream.writer


async def open_to_aio(proxy: Proxy) -> Streams:
    """A TCP line to an MTProxy, which says nothing before it is spoken to.

    Raises:
        LineLost: There is none.
    """
    try:
        async with asyncio.timeout(PROXY_WITHIN_S):
            return await asyncio.open_connection(proxy.host, proxy.port)
    except TimeoutError:
        raise LineLost(f"{proxy} did not connect us within {PROXY_WITHIN_S:g} s") from None
    except OSError as error:
        raise LineLost(_unreachable(proxy, error)) from None


def _unreachable(proxy: Proxy, error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else "its name was not found"
    return f"{proxy} cannot be reached: {reason}"


def _broke(proxy: Proxy, error: Exception) -> str:
    reason = "it does not speak like one"
    if isinstance(error, OSError | EOFError):
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "it hung up"
    return f"{proxy} broke off: {reason}"


def _code(error: Any) -> str:
    """The number that a proxy gave as its reason: SOCKS5's (RFC 1928, 6) or HTTP's."""
    return f" (error {error.error_code})" if isinstance(error.error_code, int) else ""
