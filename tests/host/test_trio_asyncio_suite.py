"""trio-asyncio's own tests, with our loop in the place of theirs."""

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import trio_asyncio

from host.suite_kit import VERSION, fetched_suite

DIFFERS: dict[str, str] = {}
"""Tests of theirs that our loop need not pass, by id, and why. None so far."""

AT_LEAST = 120
"""So many there are. Those of CPython are not among them: trio-asyncio runs them on its synchronous loop."""


@pytest.mark.slow
def test_our_loop_passes_trio_asyncios_own_tests(tmp_path: Path) -> None:
    assert trio_asyncio.__version__ == VERSION  # a new release has new tests: pin those, too
    report = tmp_path / "report.xml"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "hosted_plugin", "-p", "no:cacheprovider"),
            *("--ignore=tests/python", f"--junitxml={report}", "--timeout=60", "tests"),
        ],
        cwd=fetched_suite(),
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )
    outcomes = {
        f"{case.get('classname')}::{case.get('name')}": [part.tag for part in case]
        for case in ElementTree.parse(report).iter("testcase")
    }
    bad = {name for name, parts in outcomes.items() if {"failure", "error"} & set(parts)}
    assert bad == set(DIFFERS), done.stdout
    assert sum("skipped" not in parts for parts in outcomes.values()) >= AT_LEAST, done.stdout
    opened = re.search(r"^hosted loops: (\d+)$", done.stdout, re.MULTILINE)
    assert opened is not None, done.stdout
    assert int(opened[1]) > AT_LEAST / 2  # it was ours that they ran in
