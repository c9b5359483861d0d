"""trio-asyncio's own tests: they come with its sdist, not with its wheel."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[2]
VERSION = "0.16.0"
SHA256 = "9f4e80aa344555548bf440e0f43072743aac1b3a538ebe3994f52363b7752d6f"
PLACE = ROOT / ".venvs" / f"trio_asyncio-{VERSION}"
WITHIN_S = 60.0


def fetched_suite() -> Path:
    """The folder in which its ``tests`` are, fetched once for a checkout.

    Whoever cannot fetch it goes without the test; CI may not.
    """
    if not PLACE.exists():
        try:
            _fetch()
        except (OSError, subprocess.SubprocessError) as error:
            reason = f"trio-asyncio's sdist cannot be fetched from the package index: {error}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)
    return PLACE


def _fetch() -> None:
    PLACE.parent.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=PLACE.parent) as name:
        folder = Path(name)
        wanted = folder / "wanted.txt"
        wanted.write_text(f"trio-asyncio=={VERSION} --hash=sha256:{SHA256}\n")
        pip = [
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary=trio-asyncio",
            "--require-hashes",
        ]
        python = sys.executable
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode != 0:
            python = str(getattr(sys, "_base_executable", python))  # an environment without pip: see _venv.sh
        subprocess.run(
            [python, *pip, f"--dest={folder}", f"--requirement={wanted}"],
            check=True,
            capture_output=True,
            timeout=WITHIN_S,
        )
        with tarfile.open(folder / f"trio_asyncio-{VERSION}.tar.gz") as archive:
            # Not their trio_asyncio: it would be imported in the place of the one that is installed.
            tests = [file for file in archive if {"tests", "pyproject.toml"} & {*Path(file.name).parts[1:2]}]
            archive.extractall(folder, members=tests, filter="data")
        (folder / PLACE.name).rename(PLACE)
