"""The library stands alone, and has one door for each name."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import tgworker.supervision
import tgworker.supervision.testing


@pytest.mark.parametrize("module", ["tgworker.supervision", "tgworker.supervision.testing"])
def test_importing_it_in_a_fresh_interpreter_loads_the_standard_library_and_trio_alone(module: str) -> None:
    code = f"import sys, {module}; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(run.stdout.split())
    assert module in loaded
    rooms = {name for name in loaded if name.startswith("tgworker.")}
    assert all(name.startswith("tgworker.supervision") for name in rooms), rooms
    foreign = {"telethon", "httpx", "trio_asyncio", "asyncio", "anyio", "structlog", "msgspec", "pytest"}
    assert not foreign & {name.partition(".")[0] for name in loaded}


def test_every_public_name_of_the_implementation_that_users_meet_is_exported_under_its_own_name() -> None:
    for name, value in vars(tgworker.supervision).items():
        if name.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        assert value.__module__.startswith("tgworker.supervision._"), name
        assert value.__name__ == name


def test_no_name_has_two_doors() -> None:
    front = {name for name in vars(tgworker.supervision) if not name.startswith("_")}
    side = {
        name
        for name, value in vars(tgworker.supervision.testing).items()
        if getattr(value, "__module__", "") == "tgworker.supervision.testing" and not name.startswith("_")
    }
    assert not front & side


def test_everything_public_has_a_docstring() -> None:
    missing: list[str] = []
    for info in pkgutil.iter_modules(tgworker.supervision.__path__, "tgworker.supervision."):
        module = importlib.import_module(info.name)
        if not module.__doc__:
            missing.append(info.name)
    for door in (tgworker.supervision, tgworker.supervision.testing):
        for name, value in vars(door).items():
            ours = getattr(value, "__module__", "").startswith("tgworker.")
            if name.startswith("_") or not ours or not (inspect.isclass(value) or inspect.isfunction(value)):
                continue
            if not value.__doc__:
                missing.append(name)
            if inspect.isclass(value):
                for attribute, member in vars(value).items():
                    if callable(member) and not attribute.startswith("_") and not member.__doc__:
                        missing.append(f"{name}.{attribute}")
    assert missing == []
