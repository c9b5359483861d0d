"""The application logs somebody in through a row: a whole worker, the real client, the sandbox."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from embedded.embedded_kit import SqliteApplication
from tgworker.app.adapters import LOOK_EVERY_S, WATCHED_S
from tgworker.app.parts import Parts
from tgworker.embedded import EmbeddedStore
from tgworker.messaging.events import LoginEnded
from tgworker.messaging.pace import PaceLimits
from tgworker.sandbox import Fault
from worker.worker_world import OWNER, World, open_ground, open_world

PACE = PaceLimits(fast_s=0.1, slow_s=0.1, watched_s=WATCHED_S, hush_s=0.1)


def watched(parts: Parts) -> Parts:
    assert isinstance(parts.store, EmbeddedStore)
    return replace(parts, wakeup=parts.store.watch(every_s=LOOK_EVERY_S), pace=PACE)


@dataclass
class Form:
    """What the application shows to somebody who logs in."""

    world: World
    app: SqliteApplication

    def ask(self, **columns: Any) -> str:
        return self.app.insert("tgworker_login_requests", owner_id=OWNER, **columns)

    def row(self, login: str) -> Any:
        row = self.app.row("tgworker_login_requests", login)
        assert row is not None
        return row

    async def until(self, login: str, *states: str, within_s: float = 20) -> Any:
        with trio.fail_after(within_s):
            while self.row(login)["state"] not in states:
                await trio.sleep(0.02)
        return self.row(login)

    async def online(self, account: str) -> None:
        with trio.fail_after(20):
            while account not in self.world.worker.dispatch.online():
                await trio.sleep(0.02)


@asynccontextmanager
async def form(world: World) -> AsyncGenerator[Form]:
    app = SqliteApplication(world.folder / "tgworker.db")
    try:
        yield Form(world, app)
    finally:
        app.close()


def files_with(secret: bytes, folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.is_file() and secret in file.read_bytes()]


@pytest.mark.slow
async def test_phone_code_and_password_make_an_account_that_works(tmp_path: Path) -> None:
    async with open_world(tmp_path, rewire=watched) as world, form(world) as here:
        sandbox, new = world.sandbox, world.stranger
        sandbox.set_password(new.id, "open sesame", hint="what opens?")
        login = here.ask(phone=f"+{new.phone}", name="bert")
        assert (await here.until(login, "code_sent"))["hint"]
        here.app.update("tgworker_login_requests", login, code=sandbox.behaviour.login_code)
        assert (await here.until(login, "password_needed"))["hint"] == "what opens?"
        here.app.update("tgworker_login_requests", login, password="open sesame")
        done = await here.until(login, "done")
        assert [done[name] for name in ("error", "code", "password", "hint", "qr_url")] == [None] * 5
        await here.online(done["integration_account_id"])
        # It sends and hears, as any other.
        await world.store.enqueue(done["integration_account_id"], str(world.peer.id), ["hello"])
        with trio.fail_after(20):
            while world.arrived() != [] or not sandbox.chat(world.peer.id, new.id):
                await trio.sleep(0.02)
        said = repr(world.notes)
        assert new.phone not in said
        assert "open sesame" not in said
        assert files_with(b"open sesame", tmp_path) == []


async def test_a_qr_code_is_scanned(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with open_world(tmp_path, rewire=watched) as world, form(world) as here:
        login = here.ask(method="qr")
        shown = await here.until(login, "qr_shown")
        world.sandbox.scan(world.stranger.id, shown["qr_url"])
        done = await here.until(login, "done", within_s=40)
        await here.online(done["integration_account_id"])
        assert [event.state for _, event in world.seen(LoginEnded)] == ["done"]


async def test_three_wrong_codes_end_it_with_a_reason(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_world(tmp_path, rewire=watched) as world, form(world) as here:
        before = world.sandbox.logins(world.stranger.id)
        login = here.ask(phone=f"+{world.stranger.phone}")
        left: list[int | None] = []
        for code in ("11111", "22222", "33333"):
            left.append((await here.until(login, "code_sent"))["tries_left"])
            here.app.update("tgworker_login_requests", login, code=code)
            await trio.sleep(3)
        failed = await here.until(login, "failed")
        assert left == [None, 2, 1]
        assert "code" in failed["error"]
        assert world.sandbox.logins(world.stranger.id) == before


async def test_telegram_asks_to_wait(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with open_world(tmp_path, rewire=watched) as world, form(world) as here:
        world.sandbox.faults.set(Fault("flood_wait", method="auth.sendCode", seconds=7200, count=1))
        login = here.ask(phone=f"+{world.stranger.phone}")
        assert "2 h" in (await here.until(login, "failed"))["error"]


async def test_a_login_that_a_dead_worker_began_is_ended_by_the_next(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_ground(tmp_path, rewire=watched) as ground:
        async with ground.worker() as world, form(world) as here:
            login = here.ask(phone=f"+{world.stranger.phone}")
            await here.until(login, "code_sent")
        async with ground.worker() as world, form(world) as here:
            failed = await here.until(login, "failed")
            assert failed["error"] == "the worker was restarted: ask again"
            again = here.ask(phone=f"+{world.stranger.phone}")
            await here.until(again, "code_sent")
