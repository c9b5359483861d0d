"""The part of the control connection's language that is about proxies."""

from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from tgworker.sandbox.control_command import Command
from tgworker.sandbox.proxies import SandboxProxy, Trouble

if TYPE_CHECKING:
    from tgworker.sandbox.sandbox import Sandbox


class OpenSocks5(Command, tag="open_socks5"):
    """Put a SOCKS5 proxy in front of the sandbox. Result: the proxy.

    Attributes:
        username: The name that it asks for; ``null``: it asks nobody.
        password: And the password.
    """

    username: str | None = None
    password: str | None = None


class OpenMtproxy(Command, tag="open_mtproxy"):
    """Put an MTProxy in front of the sandbox. Result: the proxy.

    Attributes:
        secret: 32 hexadecimal digits; ``null``: random ones.
    """

    secret: str | None = None


class TroubleProxy(Command, tag="trouble_proxy"):
    """Let something be wrong with a proxy, or (``none``) nothing any more. Result: the proxy."""

    port: int
    trouble: Trouble


class ListProxies(Command, tag="list_proxies"):
    """All proxies, and what came through them. Result: ``{"proxies"}``."""


ProxyCommand = OpenSocks5 | OpenMtproxy | TroubleProxy | ListProxies


class ProxyList(msgspec.Struct, frozen=True):
    """All proxies."""

    proxies: tuple[SandboxProxy, ...]


def obey_proxy_command(sandbox: "Sandbox", command: ProxyCommand) -> Any:
    """Carry out a command about proxies.

    Raises:
        SandboxError: It cannot be carried out; the text says why.
    """
    match command:
        case OpenSocks5():
            login = None if command.username is None else (command.username, command.password or "")
            return sandbox.proxies.open_socks5(login=login)
        case OpenMtproxy():
            return sandbox.proxies.open_mtproxy(secret=command.secret)
        case TroubleProxy():
            sandbox.proxies.trouble(command.port, command.trouble)
            return sandbox.proxies.get(command.port)
        case ListProxies():
            return ProxyList(sandbox.proxies.listing())
        case _:
            assert_never(command)
