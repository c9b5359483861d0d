"""What is made safe before anything starts: the check of Telethon, its logger, and asyncio.wait_for."""

import ast
import asyncio
import importlib.util
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio_asyncio
from telethon import TelegramClient
from telethon.network import MTProtoSender

import tgworker.telegram
from tgworker.telegram import (
    TelegramSettings,
    TelethonMoved,
    TelethonTelegram,
    check_telethon,
    install_wait_for,
)
from tgworker.telegram.check import NEEDED, SIGNATURES
from tgworker.telegram.quiet_log import QuietLogger
from tgworker.telegram.wait_for import wait_for_aio, wait_for_is_safe

ROOM = Path(tgworker.telegram.__file__).parent


# ------------------------------------------------ the check


def test_the_installed_telethon_fits() -> None:
    check_telethon()


def test_a_release_that_moved_a_name_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(MTProtoSender, "_start_reconnect")
    with pytest.raises(
        TelethonMoved, match=r"^Telethon [\d.]+ does not fit: client\._sender\._start_reconnect is gone\."
    ) as caught:
        check_telethon()
    assert "\n" not in str(caught.value)


def test_a_release_that_calls_an_override_differently_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TelegramClient, "_preprocess_updates", lambda self, updates: updates)
    with pytest.raises(TelethonMoved, match=r"client\._preprocess_updates takes \(updates\), not"):
        check_telethon()


def test_every_private_name_that_the_room_uses_is_checked() -> None:
    checked = {name for names in NEEDED.values() for name in names.split()}
    checked |= {part for path in [*NEEDED, *SIGNATURES] for part in path.split(".")}
    used: set[str] = set()
    for source in ROOM.glob("*.py"):
        tree = ast.parse(source.read_text())
        nodes = list(ast.walk(tree))
        own = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
        own |= {
            n.attr
            for n in nodes
            if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and n.attr.startswith("_")
        }
        used |= {
            n.attr
            for n in nodes
            if isinstance(n, ast.Attribute) and n.attr.startswith("_") and not n.attr.startswith("__")
        } - own
    assert used - checked == set()


# ------------------------------------------------ the logger


def test_nothing_that_telethon_quotes_leaves_its_logger(capsys: pytest.CaptureFixture[str]) -> None:
    reports: list[tuple[str, str, str | None]] = []
    logger = QuietLogger(lambda *report: reports.append(report))
    child = logger.getChild("network.mtprotosender")
    child.debug("debug %s", "secret")
    child.info("Received response without parent request: %s", b"secret")
    child.warning("is not an update, not dispatching it %s", "secret")
    try:
        raise ValueError("secret")
    except ValueError:
        child.exception("Unhandled error while receiving %s", "secret")
    child.log(logging.ERROR, "Request caused struct.error: %s", "secret", exc_info=KeyError("secret"))
    assert reports == [
        ("WARNING", "is not an update, not dispatching it %s", None),
        ("ERROR", "Unhandled error while receiving %s", "ValueError"),
        ("ERROR", "Request caused struct.error: %s", "KeyError"),
    ]
    assert capsys.readouterr() == ("", "")


# ------------------------------------------------ asyncio.wait_for


def test_wait_for_is_installed_by_a_call_and_not_by_the_import() -> None:
    code = (
        "import asyncio; before = asyncio.wait_for; import tgworker.telegram as t; "
        "assert asyncio.wait_for is before; t.install_wait_for(); t.install_wait_for(); "
        "from tgworker.telegram.wait_for import wait_for_is_safe; assert wait_for_is_safe(); "
        "import sys; assert (asyncio.wait_for is before) == (sys.version_info >= (3, 12))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


async def test_a_cancellation_that_meets_a_finished_future_is_not_swallowed(autojump_clock: object) -> None:
    async def swallows(wait_for: Any) -> bool:
        """Cancel a waiter at each of the steps after its future was finished; was one accepted and lost?"""
        lost = False
        for steps in range(6):
            queue: asyncio.Queue[int] = asyncio.Queue()
            task: asyncio.Task[int] = asyncio.ensure_future(wait_for(queue.get(), 900))
            for _ in range(5):
                await asyncio.sleep(0)
            queue.put_nowait(1)
            for _ in range(steps):
                await asyncio.sleep(0)
            accepted = task.cancel()
            await asyncio.wait([task])
            lost |= accepted and not task.cancelled()
        return lost

    async with trio_asyncio.open_loop():
        assert not await trio_asyncio.aio_as_trio(swallows)(wait_for_aio)
        if sys.version_info < (3, 12):
            pristine = importlib.util.find_spec("asyncio.tasks")
            assert pristine is not None
            assert pristine.loader is not None
            module = importlib.util.module_from_spec(pristine)
            pristine.loader.exec_module(module)
            assert await trio_asyncio.aio_as_trio(swallows)(module.wait_for)  # the reason for all this


async def test_wait_for_times_out_at_its_time(autojump_clock: object) -> None:
    async def timed() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(TimeoutError):
            await wait_for_aio(asyncio.sleep(100), 3)
        with pytest.raises(TimeoutError):
            await wait_for_aio(asyncio.sleep(100), 0)
        assert await wait_for_aio(asyncio.sleep(1, "value"), None) == "value"
        return loop.time() - start

    async with trio_asyncio.open_loop():
        assert await trio_asyncio.aio_as_trio(timed)() == 4


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python's own is safe since 3.12")
def test_no_line_is_opened_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "wait_for", asyncio.wait)
    with pytest.raises(RuntimeError, match="install_wait_for"):
        TelethonTelegram(TelegramSettings(api_id=1, api_hash="hash"))


def test_the_tests_run_with_it() -> None:
    install_wait_for()
    assert wait_for_is_safe()
