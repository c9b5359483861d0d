"""The doors between the rooms: the contracts hold, and each of them catches what it is for."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from project.checkout import ROOT, pyproject

LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"

# Third-party modules that a room may import directly. `_typeshed` exists for type checkers only.
LIBRARIES = {
    "__main__": set[str](),
    "app": {"trio"},
    "cli": {"av", "cyclopts", "rich", "segno", "trio"},  # av: for the demo, see the contract of that name
    "devstack": {"h11", "msgspec", "trio"},
    "embedded": {"msgspec", "trio"},
    "messaging": {"trio"},
    "operations": {"_typeshed", "hypercorn", "prometheus_client", "structlog", "trio"},
    "sandbox": {"cryptg", "cryptography", "msgspec", "rsa", "telethon", "trio"},
    "settings": {"dotenv", "environs"},
    "supabase": {"httpx", "msgspec", "trio"},
    "supervision": {"pytest", "trio"},  # pytest: for its plugin, see the contract of that name
    # outcome and sniffio: what trio itself is built on and hands out (`reschedule`, `current_async_library`)
    "telegram": {
        "outcome",
        "python_socks",
        "rsa",
        "sniffio",
        "stackscope",
        "telethon",
        "trio",
        "trio_asyncio",
    },
    "foreign_sessions": {"cryptography"},
    "transcoding": {"av", "trio"},
    "vault": {"cryptography"},
}


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--no-logo"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=50,
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def test_the_doors_are_kept(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("messaging/models.py", "import httpx", "Only supabase imports httpx"),
        ("messaging/models.py", "import structlog", "The cores use the standard library and trio"),
        ("messaging/ports.py", "import tgworker.supervision", "Imports go one way"),
        ("messaging/ports.py", "import tgworker.embedded", "Imports go one way"),
        (
            "supervision/_policy.py",
            "import tgworker.messaging.models",
            "The supervision library knows nobody",
        ),
        ("supervision/_policy.py", "import tgworker.vault", "The supervision library knows nobody"),
        ("supervision/_policy.py", "import httpx", "The cores use the standard library and trio"),
        ("supervision/testing.py", "import pytest", "Only the supervision library's plugin imports pytest"),
        ("sandbox/__init__.py", "import tgworker.messaging.models", "The sandbox knows nobody"),
        ("app/__init__.py", "import tgworker.sandbox", "Only cli knows the sandbox"),
        ("devstack/__init__.py", "import tgworker.supabase.rest", "The local stack knows nobody"),
        ("supabase/__init__.py", "import tgworker.devstack", "Only cli knows the local stack"),
        ("app/__init__.py", "import tgworker.cli", "Imports go one way"),
        ("telegram/__init__.py", "import tgworker.embedded", "Imports go one way"),
        ("telegram/__init__.py", "import tgworker.supervision", "Only app, operations, guard and the demo"),
        ("embedded/__init__.py", "import tgworker.settings", "Only app and cli know the settings"),
        ("embedded/__init__.py", "import tgworker.supabase.rest", "Imports go one way"),
        ("operations/__init__.py", "import tgworker.app", "Imports go one way"),
        ("supabase/__init__.py", "import telethon", "Only telegram and the sandbox import Telethon"),
        ("sandbox/__init__.py", "import trio_asyncio", "Only telegram imports trio_asyncio"),
        ("cli/__init__.py", "import httpx", "Only supabase imports httpx"),
        ("telegram/__init__.py", "import av", "Only transcoding and the demo import PyAV"),
        ("transcoding/__init__.py", "import tgworker.embedded", "Imports go one way"),
        ("cellar/__init__.py", '"""A room that nobody planned."""', "Imports go one way"),
    ],
)
def test_a_broken_door_is_caught(file: str, line: str, contract: str, copy: Path) -> None:
    path = copy / "src/tgworker" / file
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before or ''}\n{line}\n")
    try:
        result = lint(copy)
    finally:
        if before is None:
            shutil.rmtree(path.parent)
        else:
            path.write_text(before)
    assert result.returncode == 1, result.stdout + result.stderr
    assert re.search(rf"^{re.escape(contract)}.* BROKEN", result.stdout, re.MULTILINE), result.stdout


def test_each_room_imports_the_libraries_that_it_is_for() -> None:
    graph = grimp.build_graph("tgworker", include_external_packages=True, cache_dir=None)
    used: dict[str, set[str]] = {}
    for module in graph.modules:
        if not module.startswith("tgworker."):
            continue
        libraries = used.setdefault(module.split(".")[1], set())
        libraries |= {
            imported
            for imported in graph.find_modules_directly_imported_by(module)
            if not imported.startswith("tgworker") and imported not in sys.stdlib_module_names
        }
    assert {room: libraries - LIBRARIES.get(room, set()) for room, libraries in used.items()} == {
        room: set[str]() for room in used
    }


def test_the_cores_contract_names_every_other_dependency() -> None:
    project = pyproject()
    requirements = project["project"]["optional-dependencies"]["worker"]
    dependencies = {re.split(r"[\[<>=]", requirement)[0].lower() for requirement in requirements}
    modules = {
        module
        for module, distributions in importlib.metadata.packages_distributions().items()
        if not module.startswith("_")
        and dependencies & {name.lower().replace("_", "-") for name in distributions}
    }
    (contract,) = [
        contract
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["id"] == "core-libraries"
    ]
    assert len(modules) >= len(dependencies)
    assert set(contract["forbidden_modules"]) == modules
