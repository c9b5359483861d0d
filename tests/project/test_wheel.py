"""The built wheel, in a fresh environment: the supervision library with trio alone."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from project.checkout import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TREE = """
import importlib.util, random
import trio
from tgworker.supervision import ChildSpec, SupervisorSpec, open_supervisor

async def child(pulse, *, task_status):
    pulse.beat()
    task_status.started()
    ran.append(True)
    await trio.sleep_forever()

async def main():
    spec = SupervisorSpec(children=(ChildSpec(id="child", start=child),))
    async with open_supervisor(spec, rng=random.Random(1)) as supervisor:
        await supervisor.wait_ready()
        assert ran == [True]

ran = []
trio.run(main)
for name in ("telethon", "httpx", "trio_asyncio", "structlog"):
    assert importlib.util.find_spec(name) is None, name
print("ran")
"""


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(words), cwd=cwd, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
    if run(
        *pip, "download", "--no-deps", "--dest", folder / "probe", "hatchling>=1.27", cwd=folder
    ).returncode:
        pytest.skip("no package index can be reached: the wheel was NOT built and NOT tested")
    built = run(*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("tgworker-*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path) -> Path:
    """A fresh environment with the wheel and what it requires."""
    folder = wheel.parent / "fresh"
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    installed = run(
        python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", wheel, cwd=folder
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return python


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"tgworker"}
    held = {name for name in names if name.startswith("tgworker/")}
    there = {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src/tgworker").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == there
    assert {"tgworker/py.typed", "tgworker/supervision/__init__.py"} <= held
    assert any(name.endswith(".sql") for name in held)


def test_the_library_runs_with_trio_alone(python: Path) -> None:
    result = run(python, "-c", TREE, cwd=python.parent)
    assert result.stdout == "ran\n", result.stderr


def test_the_worker_without_its_libraries_says_what_to_install(python: Path) -> None:
    result = run(python, "-m", "tgworker", "keygen", cwd=python.parent)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "tgworker[worker]" in result.stderr
