"""Endings that no argument is to blame for."""

import subprocess
import sys

import pytest

from cli.cli_kit import Shell
from tgworker.cli._errors import exit_code_of
from tgworker.telegram import check


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), BaseExceptionGroup("", [KeyboardInterrupt()])])
def test_ctrl_c_is_one_line_and_130(raised: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise raised

    assert exit_code_of(command) == 130
    assert capsys.readouterr().err == "tgworker: interrupted: what was done stays done\n"


def test_a_bug_is_not_hidden_behind_ctrl_c() -> None:
    both = BaseExceptionGroup("", [KeyboardInterrupt(), RuntimeError("a bug")])

    def command() -> None:
        raise both

    with pytest.raises(BaseExceptionGroup) as caught:
        exit_code_of(command)
    assert caught.value is both


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    program = (
        "import os, sys, tgworker.cli\n"
        "reader, writer = os.pipe()\nos.dup2(writer, 1)\nos.close(writer)\nos.close(reader)\n"
        "sys.exit(tgworker.cli.main(['keygen']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=50)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.slow
def test_a_full_disk_under_standard_output_is_one_line() -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 # a device
        done = subprocess.run(
            [sys.executable, "-m", "tgworker", "keygen"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=50,
        )
    assert done.returncode == 1
    assert done.stderr == b"tgworker: standard output cannot be written (No space left on device)\n"


@pytest.mark.parametrize("argv", [["run", "--no-guard"], ["login", "--session", "-"], ["demo"]])
def test_a_telethon_that_moved_is_one_line(
    shell: Shell, argv: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.configure()
    monkeypatch.setitem(check.NEEDED, "client", "_authorized _gone_with_the_next_release")
    shell(*argv).refused(2, "client._gone_with_the_next_release is gone", "Install telethon")
