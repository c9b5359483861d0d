"""What an account's ``config.proxy`` may say, and what is refused, without a word of it."""

import base64
from typing import Any

import pytest

from tgworker.messaging.models import CONFIG_UNREADABLE
from tgworker.telegram import Appearance, ConfigUnusable
from tgworker.telegram.proxies import Proxy, ProxyKind, ProxyUnusable, read_proxy

SECRET = bytes.fromhex("dd3a5f7c9b1e2d4f6a8c0e1f3b5d7f90")
"""It begins like a prefix, and is none: it has 16 bytes."""


def mtproxy(secret: object) -> dict[str, object]:
    return {"type": "mtproxy", "host": "192.0.2.1", "port": 443, "secret": secret}


@pytest.mark.parametrize("nothing", [None, ""])
def test_no_proxy_is_none(nothing: object) -> None:
    assert read_proxy(nothing) is None


@pytest.mark.parametrize(
    "wanted",
    [
        "socks5://ada:p%40ss@192.0.2.1:1080",
        "socks5h://ada:p%40ss@192.0.2.1:1080/",
        "tg://socks?server=192.0.2.1&port=1080&user=ada&pass=p%40ss",
        "https://t.me/socks?server=192.0.2.1&port=1080&user=ada&pass=p%40ss",
        {"type": "socks5", "host": "192.0.2.1", "port": 1080, "username": "ada", "password": "p@ss"},
        {"type": "socks5", "host": "192.0.2.1", "port": "1080", "username": "ada", "password": "p@ss"},
    ],
)
def test_a_socks5_proxy_is_read_from_a_url_telegrams_link_and_an_object(wanted: object) -> None:
    assert read_proxy(wanted) == Proxy(
        kind=ProxyKind.SOCKS5, host="192.0.2.1", port=1080, username="ada", password="p@ss"
    )


def test_who_needs_no_login_gives_none() -> None:
    assert read_proxy("socks5://proxy.example:1080") == Proxy(
        kind=ProxyKind.SOCKS5, host="proxy.example", port=1080
    )
    assert read_proxy("http://[2001:db8::1]:8080") == Proxy(
        kind=ProxyKind.HTTP, host="2001:db8::1", port=8080
    )


@pytest.mark.parametrize(
    "secret",
    [
        SECRET.hex(),
        SECRET.hex().upper(),
        "dd" + SECRET.hex(),
        base64.b64encode(SECRET).decode(),
        base64.urlsafe_b64encode(b"\xdd" + SECRET).decode().rstrip("="),
    ],
)
def test_an_mtproxys_secret_is_16_bytes_however_it_is_written(secret: str) -> None:
    wanted = Proxy(kind=ProxyKind.MTPROXY, host="192.0.2.1", port=443, secret=SECRET)
    assert read_proxy(mtproxy(secret)) == wanted
    quoted = secret.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    for link in ("tg://proxy", "https://t.me/proxy", "https://telegram.me/proxy"):
        assert read_proxy(f"{link}?server=192.0.2.1&port=443&secret={quoted}") == wanted


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (5, "must be a text or an object"),
        (["socks5://192.0.2.1:1080"], "must be a text or an object"),
        ({}, "has another type than socks5, http, mtproxy"),
        ({"type": "socks4", "host": "192.0.2.1", "port": 1}, "has another type"),
        ({"type": ["socks5"], "host": "192.0.2.1", "port": 1}, "has another type"),
        ({"type": "socks5", "host": "192.0.2.1", "port": 1, "rdns": False}, "has other fields than"),
        ({"type": "socks5", "host": "192.0.2.1", "port": 1, 7: 7}, "has other fields than"),
        ({"type": "socks5", "host": "a b", "port": 1}, "has no host"),
        ({"type": "socks5", "host": None, "port": 1}, "has no host"),
        ({"type": "socks5", "host": "x" * 300, "port": 1}, "has no host"),
        ({"type": "socks5", "host": "192.0.2.1", "port": 0}, "has no port"),
        ({"type": "socks5", "host": "192.0.2.1", "port": True}, "has no port"),
        ({"type": "socks5", "host": "192.0.2.1", "port": "1e3"}, "has no port"),
        ({"type": "socks5", "host": "192.0.2.1", "port": 65536}, "has no port"),
        ("socks5://192.0.2.1", "has no port"),
        ("socks5://192.0.2.1:99999", "is no URL"),
        ("socks5://[::1:1080", "is no URL"),
        ("ftp://192.0.2.1:1", "is no URL of a proxy"),
        ("192.0.2.1:1080", "is no URL of a proxy"),
        ("tg://resolve?domain=x", "is no URL of a proxy"),
        ("https://t.me/durov", "is no URL of a proxy"),
        ("https://192.0.2.1:443", "is no URL of a proxy"),
        ("socks5://192.0.2.1:1080/path", "has more than"),
        ("socks5://ada@192.0.2.1:1080", "give both"),
        ({"type": "http", "host": "192.0.2.1", "port": 1, "password": "p"}, "give both"),
        ({"type": "http", "host": "x", "port": 1, "username": "a:b", "password": "p"}, "a colon"),
        (
            {"type": "socks5", "host": "x", "port": 1, "username": "ädа", "password": "p"},
            "has a username that",
        ),
        (
            {"type": "socks5", "host": "x", "port": 1, "username": "a", "password": "p" * 256},
            "has a password",
        ),
        ({"type": "socks5", "host": "x", "port": 1, "username": "a", "password": 5}, "has a password"),
        ({"type": "socks5", "host": "x", "port": 1, "secret": SECRET.hex()}, "has a secret"),
        ({**mtproxy(SECRET.hex()), "username": "ada"}, "is an MTProxy with a user"),
        (mtproxy(None), "has no MTProxy secret"),
        (mtproxy(SECRET.hex()[:-2]), "has no MTProxy secret"),
        (mtproxy("not a secret!"), "has no MTProxy secret"),
        (mtproxy("ee" + SECRET.hex() + b"example.com".hex()), "an ee secret"),
        (mtproxy(base64.b64encode(b"\xee" + SECRET + b"example.com").decode()), "an ee secret"),
    ],
)
def test_what_is_no_proxy_is_refused_in_a_line_that_holds_nothing_of_it(wanted: Any, words: str) -> None:
    with pytest.raises(ProxyUnusable, match=words) as caught:
        read_proxy(wanted)
    said = str(caught.value)
    assert "192.0.2.1" not in said
    assert SECRET.hex()[2:10] not in said
    assert caught.value.__cause__ is None


def test_a_proxy_shows_where_it_is_and_no_secret() -> None:
    socks = read_proxy("socks5://ada:hunter2@192.0.2.1:1080")
    other = read_proxy(mtproxy(SECRET.hex()))
    assert (str(socks), str(other)) == ("proxy 192.0.2.1:1080", "proxy 192.0.2.1:443")
    assert str(read_proxy("http://[2001:db8::1]:8080")) == "proxy [2001:db8::1]:8080"
    for secret in ("ada", "hunter2", SECRET.hex(), repr(SECRET)):
        assert secret not in f"{socks!r} {other!r} {socks} {other}"


def test_a_config_that_is_no_object_connects_nobody() -> None:
    with pytest.raises(ConfigUnusable, match="config holds no JSON object: write one"):
        Appearance.of({CONFIG_UNREADABLE: True})
