"""Scenes of `unmodified_client.py` behind proxies. No tgworker and no trio here."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from telethon.network import ConnectionTcpFull, ConnectionTcpMTProxyRandomizedIntermediate

from sandbox.unmodified_world import World, refusal


async def proxies(world: World) -> Any:
    """Telethon's own way through each kind of proxy, and what it makes of one that refuses."""
    socks = await world.control(cmd="open_socks5", username="ada", password="horse")
    mtproxy = await world.control(cmd="open_mtproxy")
    (secret,) = parse_qs(urlsplit(mtproxy["url"]).query)["secret"]
    ways: dict[str, dict[str, Any]] = {
        "socks5": {
            "connection": ConnectionTcpFull,
            "proxy": ("socks5", "127.0.0.1", socks["port"], True, "ada", "horse"),
        },
        "mtproxy": {
            "connection": ConnectionTcpMTProxyRandomizedIntermediate,
            "proxy": ("127.0.0.1", mtproxy["port"], secret),
        },
    }
    found: dict[str, Any] = {}
    for name, way in ways.items():
        async with world.of(0, **way) as client:
            sent = await client.send_message("me", f"through {name}")
            (read,) = await client.get_messages("me", ids=[sent.id])
            found[name] = read.message
    wrong = ("socks5", "127.0.0.1", socks["port"], True, "ada", "mule")
    client = world.of(0, proxy=wrong, connection_retries=1, retry_delay=0)
    found["wrong login"] = await refusal(client.connect())
    listed = await world.control(cmd="list_proxies")
    found["connected"] = {each["kind"]: each["connected"] for each in listed["proxies"]}
    return found
