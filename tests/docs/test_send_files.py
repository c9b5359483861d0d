"""The command lines of the page about sending files do what it shows."""

import re
import shlex
from pathlib import Path

import pytest

from cli.cli_kit import Shell
from tgworker.messaging.books import MOST_FILES
from tgworker.messaging.media import LARGEST_BYTES, FileKind

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "send-files.md").read_text(encoding="utf-8")
SHOWN = re.compile(r"^\$ python -m tgworker (.*)\n((?:(?!\$ |```).*\n)*)", re.MULTILINE)


def test_every_command_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(tmp_path, monkeypatch, capsys)
    shell.add_account("alice")
    for name in ("holiday.jpg", "beach.jpg"):
        (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0" + b"\1" * 500)
    commands = SHOWN.findall(PAGE)
    assert len(commands) == PAGE.count("$ python") == 6
    for line, shown in commands:
        ran = shell(*shlex.split(line))
        pattern = ".*".join(re.escape(piece) for piece in shown.split("…"))
        assert re.fullmatch(pattern, ran.err if ran.code else ran.out), (line, ran)
        assert ran.code == (2 if shown.startswith("tgworker: ") else 0)
    assert [row.files for row in shell.outbox()] == [1, 2, 1]


def test_the_kinds_and_limits_are_those_of_the_code() -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| `--as KIND`")]
    kinds = [kind.replace("-", "_") for kind in re.findall(r"`([a-z-]+)`", row)]
    assert kinds == [kind.value for kind in FileKind]
    assert f"{LARGEST_BYTES:,} bytes" in PAGE
    assert f"up to {MOST_FILES} times" in PAGE
