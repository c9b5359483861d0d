"""An account's proxy, as its ``config.proxy`` names it: a text or an object, read without a single guess.

=====================================================================  =====================================
``socks5://[USER:PASSWORD@]HOST:PORT``                                 SOCKS5 (RFC 1928, 1929)
``http://[USER:PASSWORD@]HOST:PORT``                                   HTTP's CONNECT
``tg://socks?server=…&port=…[&user=…&pass=…]``, ``https://t.me/socks``  SOCKS5, as Telegram shares it
``tg://proxy?server=…&port=…&secret=…``, ``https://t.me/proxy``         MTProxy, as Telegram shares it
``{"type": "socks5", "host": …, "port": …, …}``                        the same as an object
=====================================================================  =====================================
"""

import base64
import binascii
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, cast
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

PROXIED_WITHIN_S: Final = 25.0
"""How long a connection may take that is made through a proxy, as a whole, seconds.

Less than any connection may take, so that the reason can name the proxy: to whom it does not know an MTProxy
listens for ever, and says nothing.
"""


class ProxyUnusable(ValueError):
    """A proxy is not described as one. The message ends a sentence that begins with its name."""


class ProxyKind(StrEnum):
    """How a proxy is spoken to."""

    SOCKS5 = "socks5"
    HTTP = "http"
    MTPROXY = "mtproxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """Through what an account's lines go, all of them.

    Attributes:
        kind: How it is spoken to.
        host: An address or a name. A name is looked up here; those of Telegram's servers are not.
        port: TCP port.
        username: Who one is there; ``None``: it asks nobody.
        password: And how he proves it.
        secret: MTProxy's, 16 bytes.
    """

    kind: ProxyKind
    host: str
    port: int
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    secret: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"proxy {host}:{self.port}"


def read_proxy(wanted: object) -> Proxy | None:
    """The proxy that an account's config asks for; ``None`` where it asks for none.

    Raises:
        ProxyUnusable: It asks for something that is no proxy, or none that can be used. The text holds no
            value of the config.
    """
    match wanted:
        case None | "":
            return None
        case str():
            return _checked(_fields_of_text(wanted.strip()))
        case dict():
            return _checked(cast("Mapping[Any, Any]", wanted))
        case _:
            raise ProxyUnusable("must be a text or an object: correct it or remove it")


_NAMES: Final = {"type", "host", "port", "username", "password", "secret"}
_HOST: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,252})|[0-9A-Fa-f:.]{2,45}")
_LONGEST: Final = 255
"""Of a name or a password: RFC 1929 has one byte for their length, and no word on what other bytes mean."""

_SHARED: Final = {
    "socks": (ProxyKind.SOCKS5, {"server": "host", "port": "port", "user": "username", "pass": "password"}),
    "proxy": (ProxyKind.MTPROXY, {"server": "host", "port": "port", "secret": "secret"}),
}
"""What Telegram's own links are called, and what their parameters are here."""


def _fields_of_text(text: str) -> Mapping[str, Any]:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ProxyUnusable("is no URL: correct it or remove it") from None
    match url.scheme:
        case "tg" if url.netloc in _SHARED:
            return _shared(url.netloc, url)
        case "https" | "http" if url.hostname in {"t.me", "telegram.me"} and url.path[1:] in _SHARED:
            return _shared(url.path[1:], url)
        case "socks5" | "socks5h" | "http":
            if url.path not in {"", "/"} or url.query or url.fragment:
                raise ProxyUnusable("has more than a user, a host and a port: correct its URL")
            kind = ProxyKind.HTTP if url.scheme == "http" else ProxyKind.SOCKS5
            found: dict[str, Any] = {"type": kind, "host": url.hostname or "", "port": port}
            found |= {} if url.username is None else {"username": unquote(url.username)}
            return found | ({} if url.password is None else {"password": unquote(url.password)})
        case _:
            raise ProxyUnusable(
                "is no URL of a proxy: give socks5://HOST:PORT, http://HOST:PORT or tg://proxy?server=…"
            )


def _shared(what: str, url: SplitResult) -> Mapping[str, Any]:
    kind, names = _SHARED[what]
    given = parse_qs(url.query, keep_blank_values=False)
    found = {name: given[parameter][0] for parameter, name in names.items() if parameter in given}
    return {"type": kind, **found}


def _checked(fields: Mapping[Any, Any]) -> Proxy:
    if not fields.keys() <= _NAMES:
        raise ProxyUnusable(f"has other fields than {', '.join(sorted(_NAMES))}: correct it")
    kind = _kind(fields.get("type"))
    host, port = fields.get("host"), _port(fields.get("port"))
    if not isinstance(host, str) or not _HOST.fullmatch(host):
        raise ProxyUnusable("has no host: give a name or an address")
    if kind is ProxyKind.MTPROXY:
        if fields.get("username") is not None or fields.get("password") is not None:
            raise ProxyUnusable("is an MTProxy with a user: it has a secret alone")
        return Proxy(kind=kind, host=host, port=port, secret=_secret(fields.get("secret")))
    if fields.get("secret") is not None:
        raise ProxyUnusable("has a secret, which only an MTProxy has: correct its type")
    username, password = (_credential(fields.get(name), name) for name in ("username", "password"))
    if (username is None) is not (password is None):
        raise ProxyUnusable("has a username without a password, or a password without a username: give both")
    if kind is ProxyKind.HTTP and ":" in (username or ""):
        raise ProxyUnusable("has a username with a colon, which HTTP cannot carry: correct it")
    return Proxy(kind=kind, host=host, port=port, username=username, password=password)


def _kind(wanted: object) -> ProxyKind:
    with suppress(ValueError):
        return ProxyKind(str(wanted))
    raise ProxyUnusable(f"has another type than {', '.join(ProxyKind)}: correct it")


def _port(wanted: object) -> int:
    if isinstance(wanted, str) and wanted.isascii() and wanted.isdigit() and len(wanted) <= 5:
        wanted = int(wanted)
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 0 < wanted < 65536:
        raise ProxyUnusable("has no port: give a number from 1 to 65535")
    return wanted


def _credential(wanted: object, name: str) -> str | None:
    if wanted is None or wanted == "":
        return None
    if isinstance(wanted, str) and wanted.isascii() and wanted.isprintable() and len(wanted) <= _LONGEST:
        return wanted
    raise ProxyUnusable(f"has a {name} that is not 1 to {_LONGEST} characters of printable ASCII: correct it")


def _secret(wanted: object) -> bytes:
    """16 bytes, of a secret in hexadecimal or base64.

    A prefix ``dd`` asks for padded packets, which all of our lines have. ``ee`` stands for an imitation of
    TLS, which Telethon does not speak.
    """
    raw = _decoded(wanted) if isinstance(wanted, str) else b""
    if len(raw) == 16:
        return raw
    if len(raw) == 17 and raw[0] == 0xDD:
        return raw[1:]
    if len(raw) >= 17 and raw[0] == 0xEE:
        raise ProxyUnusable("is an MTProxy with an ee secret (it imitates TLS): use one with a dd secret")
    raise ProxyUnusable("has no MTProxy secret of 16 bytes in hexadecimal or base64: correct it")


def _decoded(text: str) -> bytes:
    text = text.strip()
    with suppress(ValueError):
        return bytes.fromhex(text)
    with suppress(binascii.Error, ValueError):
        plain = text.replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    return b""
