"""What systemd hears of a unit of ``Type=notify``, with a guard and without one."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from guard.guarded_site import open_site

pytestmark = pytest.mark.slow

WATCHDOG_S = 1.0


class Listening:
    """systemd's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[str] = []

    async def listen(self) -> None:
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            await sock.bind(str(self.path))
            while True:
                self.heard += (await sock.recv(4096)).decode().splitlines()

    async def until(self, true: Callable[[list[str]], bool]) -> None:
        while not true(self.heard):
            await trio.sleep(0.01)


@pytest.mark.parametrize("way", ["guarded", "alone"])
async def test_systemd_hears_ready_status_watchdog_and_stopping(way: str, tmp_path: Path) -> None:
    systemd = Listening(tmp_path / "notify.sock")
    env = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": f"{WATCHDOG_S * 1e6:.0f}"}
    words = ["run"] if way == "guarded" else ["run", "--no-guard"]
    async with open_site(tmp_path, accounts=0) as site, trio.open_nursery() as nursery:
        nursery.start_soon(systemd.listen)
        async with site.guard(*words, env=env) as guard:
            await systemd.until(lambda heard: "READY=1" in heard)
            ready = systemd.heard.index("READY=1")
            assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in systemd.heard[:ready])
            await systemd.until(lambda heard: any(line.startswith("STATUS=online") for line in heard))
            began_s, fed = trio.current_time(), systemd.heard.count("WATCHDOG=1")
            await systemd.until(lambda heard: heard.count("WATCHDOG=1") >= fed + 3)
            assert trio.current_time() - began_s < 3 * WATCHDOG_S, "it was fed in time"
            assert "STOPPING=1" not in systemd.heard
            assert await guard.end() == 0
        await systemd.until(lambda heard: "STOPPING=1" in heard)
        assert systemd.heard.count("READY=1") == systemd.heard.count("STOPPING=1") == 1
        last = systemd.heard[systemd.heard.index("STOPPING=1") :]
        assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in last)
        nursery.cancel_scope.cancel()
