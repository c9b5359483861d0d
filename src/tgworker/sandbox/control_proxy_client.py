"""The control connection's client side, as far as it is about proxies."""

from tgworker.sandbox.control_line import ControlLine
from tgworker.sandbox.control_proxies import ListProxies, OpenMtproxy, OpenSocks5, ProxyList, TroubleProxy
from tgworker.sandbox.proxies import SandboxProxy, Trouble


class ProxyControl(ControlLine):
    """The proxies in front of a sandbox in another process; see `SandboxControl`, which is one."""

    async def open_socks5(self, *, login: tuple[str, str] | None = None) -> SandboxProxy:
        """Put a SOCKS5 proxy in front of the sandbox."""
        username, password = (None, None) if login is None else login
        return await self._ask(OpenSocks5(username=username, password=password), SandboxProxy)

    async def open_mtproxy(self, *, secret: str | None = None) -> SandboxProxy:
        """Put an MTProxy in front of the sandbox."""
        return await self._ask(OpenMtproxy(secret=secret), SandboxProxy)

    async def trouble_proxy(self, port: int, trouble: Trouble) -> SandboxProxy:
        """Let something be wrong with a proxy."""
        return await self._ask(TroubleProxy(port=port, trouble=trouble), SandboxProxy)

    async def list_proxies(self) -> tuple[SandboxProxy, ...]:
        """All proxies, and what came through them."""
        return (await self._ask(ListProxies(), ProxyList)).proxies
