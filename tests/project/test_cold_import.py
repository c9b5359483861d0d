"""What an import loads: the library stays cheap, and commands do not wait for what they do not use."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "av",
    "cryptography",
    "cyclopts",
    "environs",
    "httpx",
    "hypercorn",
    "prometheus_client",
    "rich",
    "structlog",
    "telethon",
    "trio_asyncio",
}


def loaded_by(statement: str) -> set[str]:
    """Modules in a fresh interpreter after the statement."""
    program = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50
    )
    return set(json.loads(result.stdout))


@pytest.mark.parametrize(
    "module", ["tgworker.supervision", "tgworker.supervision.testing", "tgworker.messaging.ports"]
)
def test_a_core_loads_no_library_but_trio(module: str) -> None:
    loaded = loaded_by(f"import {module}")
    assert "trio" in loaded
    assert not loaded & HEAVY


def test_the_package_itself_loads_nothing() -> None:
    assert loaded_by("import tgworker") - loaded_by("pass") == {"tgworker"}


def test_the_supervision_library_loads_no_other_room() -> None:
    rooms = {name for name in loaded_by("import tgworker.supervision") if name.startswith("tgworker.")}
    assert {".".join(name.split(".")[:2]) for name in rooms} == {"tgworker.supervision"}


def test_the_command_line_loads_a_command_s_rooms_when_it_is_called() -> None:
    loaded = loaded_by("import tgworker.cli")
    assert not loaded & {"tgworker.sandbox", "tgworker.app", "tgworker.telegram", "telethon", "trio_asyncio"}


def test_a_worker_does_not_wait_for_its_status_server() -> None:
    loaded = loaded_by("import tgworker.cli.run")
    assert "trio_asyncio" in loaded
    assert not loaded & {"hypercorn", "h2", "httpx", "prometheus_client"}
    assert not loaded & {"tgworker.sandbox", "tgworker.devstack", "tgworker.supabase", "psycopg", "rich.live"}
    assert "av" not in loaded  # not even when it converts: its child process imports it


def test_the_worker_s_side_of_the_converter_loads_no_ffmpeg() -> None:
    loaded = loaded_by("import tgworker.transcoding.transcoder")
    assert not loaded & HEAVY


def test_a_program_that_counts_what_its_tree_does_loads_no_worker() -> None:
    loaded = loaded_by("import tgworker.operations.metrics")
    assert not loaded & HEAVY
    rooms = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("tgworker.")}
    assert rooms == {"tgworker.operations", "tgworker.supervision"}


def test_the_garbage_collector_rests_only_while_a_command_is_imported() -> None:
    found = loaded_by(
        "import contextlib, gc, io, sys, types, tgworker.cli\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'tgworker.cli.keygen': sys.modules[f'collects_{gc.isenabled()}'] = types\n"
        "sys.meta_path.insert(0, Watch())\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    assert tgworker.cli.main(['keygen']) == 0\n"
        "assert gc.isenabled()"
    )
    assert {name for name in found if name.startswith("collects_")} == {"collects_False"}


def test_keygen_does_not_wait_for_telethon() -> None:
    loaded = loaded_by(
        "import contextlib, io, tgworker.cli\nwith contextlib.redirect_stdout(io.StringIO()):\n"
        "    assert tgworker.cli.main(['keygen']) == 0"
    )
    assert not loaded & {"tgworker.sandbox", "telethon", "trio_asyncio", "httpx"}
