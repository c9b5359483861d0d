"""The unit: what it promises is what the code needs, systemd reads it, and the guard runs within it."""

import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.deploy_files import DEPLOY, UNIT, command_of_the_unit, mebibytes, seconds, unit
from tgworker.app.run import LAST_RESORT_S, STOP_WITHIN_S
from tgworker.cli._app import COMMANDS
from tgworker.guard import EXIT_GAVE_UP, EXIT_RESTART_ME, GuardLimits
from tgworker.guard._course import FINAL_EXITS
from tgworker.guard._guard import FAREWELL_S
from tgworker.guard._notices import _EXTEND_S
from tgworker.settings import VARIABLES, SettingsError, load_settings

KNOWN = {variable.name for variable in VARIABLES}
EXPOSED_AT_MOST = 15
"""Of 100, as ``systemd-analyze security`` counts; what is left is above all that it has the network."""


def only(key: str) -> str:
    (value,) = unit()[key]
    return value


def test_it_runs_the_worker_under_its_guard_with_nothing_of_its_surroundings() -> None:
    assert command_of_the_unit()[1:] == ["-I", "-m", "tgworker", "run"]
    assert "run" in COMMANDS
    assert (only("Type"), only("NotifyAccess"), only("KillMode")) == ("notify", "main", "mixed")


def test_exit_codes_that_no_new_process_cures_end_it_and_no_others() -> None:
    assert only("Restart") == "always"
    ends = {int(code) for code in only("RestartPreventExitStatus").split()}
    assert ends == FINAL_EXITS - {0}  # 0 by itself: somebody stopped the guard behind systemd's back
    assert not ends & {EXIT_GAVE_UP, EXIT_RESTART_ME}
    assert only("StartLimitIntervalSec") == "0"


def test_a_stop_has_the_time_that_worker_and_guard_take() -> None:
    limits = GuardLimits()
    assert limits.stop_s > STOP_WITHIN_S + LAST_RESORT_S
    assert seconds(only("TimeoutStopSec")) > limits.stop_s + limits.stacks_s + FAREWELL_S


def test_systemd_waits_until_the_guard_asks_for_more_time() -> None:
    assert seconds(only("TimeoutStartSec")) > _EXTEND_S / 2


def test_the_watchdog_does_not_bite_a_guard_that_says_its_last_word() -> None:
    # It is fed every half of the time, and not while the guard leaves.
    assert seconds(only("WatchdogSec")) / 2 > FAREWELL_S


def test_the_worker_is_recycled_before_the_kernel_kills_it() -> None:
    given = dict(word.split("=") for word in unit()["Environment"])
    assert given.keys() <= KNOWN
    settings = load_settings(given | {"HOME": "/x"}, require=())
    assert settings.memory_limit_mb is not None
    assert settings.memory_limit_mb * 1.5 <= mebibytes(only("MemoryMax"))
    assert only("OOMPolicy") == "continue"
    assert only("LimitCORE") == "0"


def test_the_example_of_an_environment_names_what_must_be_filled_in(tmp_path: Path) -> None:
    example = DEPLOY / "env.example"
    with pytest.raises(SettingsError) as raised:
        load_settings({}, example)
    assert [problem.split()[0] for problem in raised.value.problems] == [
        "TELEGRAM_API_ID",
        "TELEGRAM_API_HASH",
        "ENCRYPTION_KEY",
    ]
    names = re.findall(r"^#?([A-Z_]+)=", example.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(names) <= KNOWN


def test_typed_commands_and_the_service_use_the_same_folder() -> None:
    state = f"/var/lib/{only('StateDirectory')}"
    told = load_settings({"STATE_DIRECTORY": state}, require=())
    typed = load_settings({}, DEPLOY / "env.example", require=())
    assert told.data_dir == typed.data_dir == Path(state)


# ---------------------------------------------------------------- systemd's own opinion


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: the unit was NOT shown to systemd")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=50)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The unit with its drop-in, for a worker that is installed here."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(command_of_the_unit()[0], sys.executable))
    drop_in = tmp_path / f"{UNIT.name}.d" / "credentials.conf"
    drop_in.parent.mkdir()
    drop_in.write_text((DEPLOY / drop_in.name).read_text())
    return copy


def test_systemd_understands_the_unit_and_its_drop_in(copy: Path) -> None:
    done = analyze("verify", "--man=no", copy)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_would_say_what_it_does_not_understand(copy: Path) -> None:
    copy.write_text(copy.read_text().replace("KillMode=mixed", "KillMode=mxied"))
    assert "mxied" in analyze("verify", "--man=no", copy).stderr


def test_systemd_finds_little_that_the_service_could_do_without() -> None:
    done = analyze("security", "--offline=yes", f"--threshold={EXPOSED_AT_MOST}", "--no-pager", UNIT)
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze is older than 250: the unit's exposure was NOT measured")
    assert done.returncode == 0, done.stdout


# ---------------------------------------------------------------- without systemd

RESTRICTED = """
import ctypes, os, sys
prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE: no memory becomes executable; without effect before Linux 6.3
os.umask(0o077)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""What a process can take from itself of all that the unit takes from it."""


@pytest.mark.slow
def test_the_guard_tells_systemd_how_it_is_and_stops_when_it_is_told(tmp_path: Path) -> None:
    key = subprocess.run([sys.executable, "-m", "tgworker", "keygen"], capture_output=True, text=True).stdout
    (tmp_path / ".env").write_text(
        f"TELEGRAM_API_ID=1\nTELEGRAM_API_HASH={'0' * 32}\nENCRYPTION_KEY={key}\nTGWORKER_STATUS_BIND=off\n"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30)
        environ = {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": str(seconds(only("WatchdogSec")) * 1_000_000),
            "STATE_DIRECTORY": str(tmp_path / "state"),
        }
        with subprocess.Popen(
            [sys.executable, "-c", RESTRICTED, *command_of_the_unit()[1:]],
            cwd=tmp_path,
            env=environ,
            stderr=subprocess.PIPE,
        ) as guard:
            try:
                assert said_until("READY=1", systemd) >= {"WATCHDOG=1", "STATUS=starting"}
                guard.send_signal(signal.SIGTERM)
                said_until("STOPPING=1", systemd)
                _, log = guard.communicate(timeout=30)
            finally:
                guard.kill()
    assert guard.returncode == 0, log.decode()
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "state").iterdir()} == {0}


def said_until(last: str, systemd: socket.socket) -> set[str]:
    """The lines of a guard's messages up to one of them."""
    said: set[str] = set()
    while last not in said:
        said |= set(systemd.recv(4096).decode().splitlines())
    return said
