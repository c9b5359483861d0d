"""What a version or a choice of ours rules out for good: entries of `docs/reference/failure-modes.md`."""

import ast
import tomllib
from importlib.metadata import version
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tgworker.messaging.models import Secret
from tgworker.supabase.clients import new_client

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def requirement(name: str) -> Requirement:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (found,) = [
        Requirement(line)
        for line in [*project["dependencies"], *project["optional-dependencies"]["worker"]]
        if Requirement(line).name == name
    ]
    return found


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("trio-asyncio", "0.15.0"),  # cancelled handles left their futures unresolved (#161); and all before
        ("telethon", "1.44.0"),  # the names that the adapter leans on are those of 1.45
        ("httpx", "0.27.2"),  # took `proxies=`, and other defaults
    ],
)
def test_a_release_that_would_bring_a_known_fault_back_is_not_accepted(name: str, broken: str) -> None:
    accepted = requirement(name).specifier
    assert Version(broken) not in accepted
    assert Version(version(name)) in accepted


def calls_of(name: str) -> list[str]:
    """Where sources of ours call something of this name."""
    return [
        f"{source.relative_to(ROOT / 'src')}"
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute | ast.Name)
        and (node.attr if isinstance(node, ast.Attribute) else node.id) == name
    ]


def test_loops_are_opened_in_one_place_and_stopped_in_none() -> None:
    assert set(calls_of("open_loop")) == {
        f"tgworker/telegram/host/{name}.py" for name in ("check", "opening")
    }
    assert calls_of("open_host") == ["tgworker/telegram/adapter.py"]
    assert calls_of("trio_as_aio") + calls_of("aio_as_trio") == []


def test_there_is_no_sqlite_session() -> None:
    assert calls_of("SQLiteSession") == []


async def test_connections_to_supabase_speak_http_1() -> None:
    client = new_client(
        "http://127.0.0.1", Secret("key"), max_connections=1, timeout=httpx.Timeout(1), transport=None
    )
    async with client:
        pool = client._transport._pool  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
        assert (pool._http1, pool._http2) == (True, False)
