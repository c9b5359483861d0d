"""Lines through proxies, and what becomes of them when the proxy is in trouble. On the mock clock."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from telegram.telegram_world import World, open_world
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.media_ports import RemoteFile
from tgworker.messaging.models import Account, Secret
from tgworker.messaging.outcomes import Sent
from tgworker.sandbox import Fault, PhoneFile, SandboxProxy, Trouble
from tgworker.telegram import ServerOverride, TelegramSettings, TelethonTelegram
from tgworker.telegram.proxied_line import PROXY_WITHIN_S
from tgworker.telegram.proxies import PROXIED_WITHIN_S

LOGIN = ("ada", "correct horse")
OPENED: Mapping[str, Callable[[World], SandboxProxy]] = {
    "socks5": lambda world: world.sandbox.proxies.open_socks5(),
    "socks5 with a login": lambda world: world.sandbox.proxies.open_socks5(login=LOGIN),
    "mtproxy": lambda world: world.sandbox.proxies.open_mtproxy(),
}


@pytest.fixture
async def world(autojump_clock: trio.testing.MockClock) -> AsyncGenerator[World]:
    async with open_world(more_dcs=(4,)) as world:
        yield world


@pytest.fixture(params=OPENED)
def proxy(request: pytest.FixtureRequest, world: World) -> SandboxProxy:
    return OPENED[str(request.param)](world)


def behind(world: World, proxy: SandboxProxy, **more: Any) -> Account:
    return replace(world.account(0), config={"proxy": proxy.url, **more})


def session(world: World) -> Secret:
    return Secret(world.sandbox.users[0].session)


def files_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def refusal(world: World, account: Account) -> str:
    """Why a connection comes to nothing."""
    async with world.telegram.open(account, session(world)) as line:
        with pytest.raises(TelegramAway) as caught:
            await line.connect(None, ())
    said = str(caught.value)
    for secret in (*LOGIN, account.config["proxy"]):
        assert secret not in said
    return said


async def test_everything_goes_through_the_proxy_and_nothing_past_it(
    autojump_clock: trio.testing.MockClock, world: World, proxy: SandboxProxy
) -> None:
    async with world.telegram.open(behind(world, proxy), session(world)) as line:
        assert (await line.connect(None, ())).chat_id == world.id(0)
        peer = await world.peer(line, 1)
        assert isinstance(await line.send_text(peer, "through", random_id=1), Sent)
        world.sandbox.send_text(world.id(1), world.id(0), "and back")
        while not any(message.text == "and back" for message in (await line.updates.receive()).messages):
            pass
        now = world.sandbox.proxies.get(proxy.port)
        assert (now.connections, now.connected, now.open) == (1, 1, 1)
        assert world.sandbox.statistics().connections == 1
    assert world.texts(1, 0) == ["through", "and back"]
    with trio.fail_after(5):
        while world.sandbox.proxies.get(proxy.port).open:
            await trio.sleep(0.1)


async def test_the_proxy_looks_the_server_up(autojump_clock: trio.testing.MockClock, world: World) -> None:
    proxy = world.sandbox.proxies.open_socks5()
    server = ServerOverride(
        host="telegram.invalid",
        port=world.sandbox.port,
        dc=world.sandbox.dc,
        public_key_pem=world.sandbox.public_key_pem,
    )
    telegram = TelethonTelegram(TelegramSettings(api_id=1, api_hash="hash", server=server))
    async with telegram.open(behind(world, proxy), session(world)) as line:
        await line.connect(None, ())
    assert world.sandbox.proxies.get(proxy.port).wishes == (f"telegram.invalid:{world.sandbox.port}",)


async def test_files_in_another_data_centre_come_through_the_proxy_too(
    autojump_clock: trio.testing.MockClock, world: World, proxy: SandboxProxy
) -> None:
    world.sandbox.behave(media_dc=4)
    (sent,) = world.sandbox.files.send(world.id(1), world.id(0), PhoneFile("document", b"x" * 5000, "a.bin"))
    async with world.telegram.open(behind(world, proxy), session(world)) as line:
        await line.connect(None, ())
        found = await line.find_files(await world.peer(line, 1), [sent.recipient_message_id])
        assert isinstance(found, Mapping)
        file = found[sent.recipient_message_id]
        assert isinstance(file, RemoteFile)
        async with line.download(file) as pieces:
            assert [piece async for piece in pieces] == [b"x" * 5000]
    assert world.sandbox.proxies.get(proxy.port).connected == 2
    assert world.sandbox.proxies.get(proxy.port).connected == world.sandbox.statistics().connections


async def test_a_device_is_told_the_same_through_a_proxy(
    autojump_clock: trio.testing.MockClock, world: World, proxy: SandboxProxy
) -> None:
    account = behind(world, proxy, device_model="Desk 9")
    async with world.telegram.open(account, session(world)) as line:
        await line.connect(None, ())
        client = line._client
        assert client is not None
        assert client._init_request.device_model == "Desk 9"


@pytest.mark.parametrize(
    ("kind", "trouble", "after_s", "words"),
    [
        ("socks5", "away", 0, "{proxy} cannot be reached: Connection refused"),
        ("mtproxy", "away", 0, "{proxy} cannot be reached: Connection refused"),
        ("socks5", "hang", PROXY_WITHIN_S, "{proxy} did not connect us within 15 s"),
        ("mtproxy", "hang", PROXIED_WITHIN_S, "{proxy} gave us no line to Telegram within 25 s"),
        ("socks5 with a login", "reject", 0, "{proxy} refuses to connect us"),
        ("mtproxy", "reject", PROXIED_WITHIN_S, "{proxy} gave us no line to Telegram within 25 s"),
        ("socks5", "refuse", 0, "{proxy} refuses to connect us (error 5)"),
        ("mtproxy", "refuse", 0, "the line broke: Connection reset by peer, through {proxy}"),
        ("socks5", "cut", 0, "Telegram closed the line, through {proxy}"),
        ("mtproxy", "cut", 0, "Telegram closed the line, through {proxy}"),
    ],
)
async def test_a_proxy_in_trouble_is_named_and_nothing_goes_past_it(
    autojump_clock: trio.testing.MockClock,
    world: World,
    kind: str,
    trouble: Trouble,
    after_s: float,
    words: str,
) -> None:
    proxy = OPENED[kind](world)
    world.sandbox.proxies.trouble(proxy.port, trouble)
    await trio.testing.wait_all_tasks_blocked()
    account = behind(world, proxy)
    begun_s = trio.current_time()
    said = await refusal(world, account)
    if trouble == "cut" or (trouble, kind) == ("refuse", "mtproxy"):  # which of both, the kernel decides
        said = said.replace("the line broke: Connection reset by peer", "Telegram closed the line")
        words = words.replace("the line broke: Connection reset by peer", "Telegram closed the line")
    assert said == words.format(proxy=f"proxy 127.0.0.1:{proxy.port}")
    assert trio.current_time() - begun_s == pytest.approx(after_s, abs=0.001)
    through = world.sandbox.proxies.get(proxy.port).connected
    assert world.sandbox.statistics().connections == through == (1 if trouble == "cut" else 0)
    # Well again, and the next line is made.
    world.sandbox.proxies.trouble(proxy.port, "none")
    await trio.testing.wait_all_tasks_blocked()
    async with world.telegram.open(account, session(world)) as line:
        await line.connect(None, ())


async def test_a_wrong_login_and_a_wrong_secret_open_nothing(
    autojump_clock: trio.testing.MockClock, world: World
) -> None:
    socks = world.sandbox.proxies.open_socks5(login=LOGIN)
    wrong = replace(world.account(0), config={"proxy": socks.url.replace("horse", "mule")})
    assert await refusal(world, wrong) == f"proxy 127.0.0.1:{socks.port} refuses to connect us"
    without = replace(world.account(0), config={"proxy": f"socks5://127.0.0.1:{socks.port}"})
    assert await refusal(world, without) == f"proxy 127.0.0.1:{socks.port} refuses to connect us"
    mtproxy = world.sandbox.proxies.open_mtproxy(secret="ab" * 16)
    other = replace(world.account(0), config={"proxy": mtproxy.url.replace("abab", "acac", 1)})
    assert "gave us no line to Telegram" in await refusal(world, other)
    assert world.sandbox.statistics().connections == 0


async def test_a_line_that_the_proxy_cuts_is_lost_at_once(
    autojump_clock: trio.testing.MockClock, world: World, proxy: SandboxProxy
) -> None:
    async with world.telegram.open(behind(world, proxy), session(world)) as line:
        await line.connect(None, ())
        begun_s = trio.current_time()
        world.sandbox.proxies.trouble(proxy.port, "cut")
        assert await line.wait_lost()
        assert trio.current_time() == begun_s


async def test_a_proxy_in_trouble_for_long_leaves_no_socket_behind(
    autojump_clock: trio.testing.MockClock, world: World, proxy: SandboxProxy
) -> None:
    """Telethon#4502: behind a proxy it never reconnected, and sockets piled up."""
    account = behind(world, proxy)
    for trouble in ("hang", "refuse", "cut", "away"):
        world.sandbox.proxies.trouble(proxy.port, trouble)
        await trio.testing.wait_all_tasks_blocked()
        held: list[int] = []
        for _ in range(6):
            await refusal(world, account)
            await trio.sleep(60)
            held.append(files_open())
        assert held[-1] <= held[0]
    world.sandbox.proxies.trouble(proxy.port, "none")
    await trio.testing.wait_all_tasks_blocked()
    async with world.telegram.open(account, session(world)) as line:
        await line.connect(None, ())


async def test_a_connection_that_is_cancelled_at_the_proxy_leaves_nothing(
    autojump_clock: trio.testing.MockClock, world: World, proxy: SandboxProxy
) -> None:
    world.sandbox.proxies.trouble(proxy.port, "hang")
    async with world.telegram.open(behind(world, proxy), session(world)) as line:
        with trio.move_on_after(3) as scope:
            await line.connect(None, ())
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(3)


async def test_a_black_hole_behind_the_proxy_is_noticed_as_any_other(
    autojump_clock: trio.testing.MockClock, world: World, proxy: SandboxProxy
) -> None:
    world.sandbox.faults.set(Fault("blackhole", method="raw"))
    said = await refusal(world, behind(world, proxy))
    assert said == f"proxy 127.0.0.1:{proxy.port} gave us no line to Telegram within 25 s"
    assert trio.current_time() == pytest.approx(PROXIED_WITHIN_S)


async def test_a_login_goes_through_the_proxy_too(
    autojump_clock: trio.testing.MockClock, world: World, proxy: SandboxProxy
) -> None:
    async with world.telegram.open_login({"proxy": proxy.url}) as login:
        await login.send_code(world.sandbox.users[0].phone)
    now = world.sandbox.proxies.get(proxy.port)
    assert now.connected == world.sandbox.statistics().connections > 0
