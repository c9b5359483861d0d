"""The data folder: private, usable or refused in one line, held by one worker."""

import os
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tgworker.embedded import DataFolder, DataFolderInUse, DataFolderUnusable, StoreFault, open_store


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_and_its_files_belong_to_their_owner_alone(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "state" / "tgworker")
    old = os.umask(0)  # the most careless user
    try:
        with folder.hold(), open_store(folder, as_worker=True):
            assert mode(folder.path) == 0o700
            files = {path.name: mode(path) for path in folder.path.iterdir()}
    finally:
        os.umask(old)
    assert files.keys() >= {"tgworker.db", "tgworker.db-wal", "heartbeats.db", "lock"}
    assert set(files.values()) == {0o600}


def test_a_folder_that_exists_keeps_its_mode_and_its_files_are_private_still(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    folder = DataFolder(tmp_path)
    folder.prepare()
    assert mode(tmp_path) == 0o755
    assert mode(folder.database) == 0o600


def a_file_in_its_place(path: Path) -> None:
    path.write_text("not a folder")


def a_file_above_it(path: Path) -> None:
    path.parent.write_text("not a folder")


def a_dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere" / "else")


def a_folder_where_the_lock_should_be(path: Path) -> None:
    (path / "lock").mkdir(parents=True)


@pytest.mark.parametrize(
    "spoil", [a_file_in_its_place, a_file_above_it, a_dangling_link, a_folder_where_the_lock_should_be]
)
def test_a_folder_that_cannot_be_used_is_refused_in_one_line_with_the_remedy(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "deeper" / "data"
    if spoil is not a_file_above_it:
        path.parent.mkdir()
    spoil(path)
    with pytest.raises(DataFolderUnusable) as caught, DataFolder(path).hold():
        pass
    text = str(caught.value)
    assert isinstance(caught.value, StoreFault)
    assert str(path) in text
    assert "TGWORKER_DATA_DIR" in text
    assert "\n" not in text


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataFolderUnusable, match="Permission denied"):
        DataFolder(tmp_path).prepare()


def test_a_second_holder_is_refused_in_one_line_that_names_the_first(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with folder.hold():
        with pytest.raises(DataFolderInUse) as caught, DataFolder(folder.path).hold():
            pass
        text = str(caught.value)
        assert (caught.value.path, caught.value.pid) == (folder.path, os.getpid())
        assert str(folder.path) in text
        assert str(os.getpid()) in text
        assert "TGWORKER_DATA_DIR" in text
        assert "\n" not in text
        assert folder.holder() == os.getpid()
    assert folder.holder() is None
    with folder.hold():
        pass


def test_asking_for_the_holder_of_a_folder_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    assert folder.holder() is None
    assert not folder.path.exists()


@pytest.mark.slow
def test_the_lock_goes_with_the_process_however_it_ends(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    script = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from tgworker.embedded import DataFolder
        with DataFolder(Path(sys.argv[1])).hold():
            print("held", flush=True)
            time.sleep(60)
        """
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(folder.path)], stdout=subprocess.PIPE)
    with holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(DataFolderInUse) as caught, folder.hold():
                pass
            assert caught.value.pid == holder.pid
        finally:
            holder.kill()
        holder.wait()
        with folder.hold():
            assert folder.holder() == os.getpid()


@pytest.mark.slow
def test_a_child_that_outlives_its_parent_holds_the_folder_still(tmp_path: Path) -> None:
    """A worker that outlives its guard must keep a second guard out."""
    folder = DataFolder(tmp_path / "data")
    script = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        from tgworker.embedded import DataFolder
        with DataFolder(Path(sys.argv[1])).hold():
            if os.fork() == 0:
                sys.stdin.buffer.read()  # until the test lets go
                os._exit(0)
            os._exit(9)  # no cleaning up: as kill -9
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(folder.path)], stdin=subprocess.PIPE)
    with parent:
        assert parent.wait() == 9
        with pytest.raises(DataFolderInUse), folder.hold():
            pass
    # Its standard input is closed now; the child ends.
    for _ in range(200):
        if folder.holder() is None:
            break
        time.sleep(0.02)
    with folder.hold():
        pass
