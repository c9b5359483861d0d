"""Whose loop is opened, and the check that ours fits the installed releases."""

import ast
import asyncio
from pathlib import Path
from typing import Any

import pytest
import trio_asyncio

import tgworker.telegram.host
from tgworker.telegram.host import HostLoop, HostMoved, check_host, open_host, open_hosted_loop
from tgworker.telegram.host.check import NEEDED, RESTORED, SIGNATURES

ROOM = Path(tgworker.telegram.host.__file__).parent
THEIRS = {
    "_callback", "_context", "_fut", "_run",  # of a handle for a trio task
    "_set_running_loop",  # asyncio's
}  # fmt: skip
"""Private names that are no loop's."""


async def test_ours_is_opened_unless_the_stock_one_is_asked_for() -> None:
    async with open_host(stock=False) as loop:
        assert type(loop) is HostLoop
    async with open_host(stock=True) as loop:
        assert type(loop) is trio_asyncio.TrioEventLoop


async def test_nothing_of_trio_asyncio_is_changed_for_anybody_else() -> None:
    async with open_hosted_loop(), trio_asyncio.open_loop() as theirs:
        assert type(theirs) is trio_asyncio.TrioEventLoop
        assert await trio_asyncio.aio_as_trio(asyncio.sleep)(0, "back") == "back"


def test_the_installed_releases_fit() -> None:
    check_host()


@pytest.mark.parametrize(
    ("owner", "name", "complaint"),
    [
        (trio_asyncio.TrioEventLoop, "_queue_handle", r"TrioEventLoop\._queue_handle"),
        (asyncio.BaseEventLoop, "_run_once", r"TrioEventLoop\._run_once is gone"),
        (asyncio.BaseEventLoop, "_call_soon", r"asyncio's _call_soon is gone"),
    ],
)
def test_a_release_that_moved_a_name_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, complaint: str
) -> None:
    if name == "_queue_handle":
        monkeypatch.setattr(owner, name, lambda self: None)
    else:
        monkeypatch.delattr(owner, name)
    with pytest.raises(
        HostMoved, match=rf"^trio-asyncio [\d.]+ on Python 3\.\d+ does not fit: {complaint}"
    ) as it:
        check_host()
    assert "\n" not in str(it.value)
    assert "TGWORKER_TELEGRAM_LOOP=trio-asyncio" in str(it.value)


def test_an_open_loop_that_makes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def other() -> None: ...

    other.__wrapped__ = lambda: None  # type: ignore[attr-defined] # pyright: ignore[reportFunctionMemberAccess]
    monkeypatch.setattr(trio_asyncio, "open_loop", other)
    with pytest.raises(HostMoved, match="open_loop no longer makes a TrioEventLoop"):
        check_host()


def test_every_private_name_that_the_room_uses_is_checked() -> None:
    checked = {*NEEDED.split(), *RESTORED.split(), *SIGNATURES, *THEIRS}
    used: set[str] = set()
    for source in ROOM.glob("*.py"):
        nodes = list(ast.walk(ast.parse(source.read_text())))
        own = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
        own |= {n.attr for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
        used |= {
            n.attr
            for n in nodes
            if isinstance(n, ast.Attribute) and n.attr.startswith("_") and not n.attr.startswith("__")
        } - own
    assert used - checked == set()
