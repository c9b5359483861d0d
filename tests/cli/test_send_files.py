"""``send --file``: the files go into the file store and one row into the outbox, or nothing goes anywhere."""

import io
import os
import signal
import socket
import sqlite3
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from cli.cli_kit import OWNER, TEXT, Ran, Shell
from tgworker.cli import _posting, send
from tgworker.cli._errors import EXIT_INTERRUPTED
from tgworker.cli._progress import IN_A_LOG_S, ON_A_TERMINAL_S, Progress
from tgworker.embedded import DataFolder, EmbeddedFiles, EmbeddedStore, open_files
from tgworker.messaging.books import MOST_FILES
from tgworker.messaging.errors import StoreAway, StoreRefused
from tgworker.messaging.file_store import (
    BucketMissing,
    Rejected,
    SizeDiffers,
    UploadOutcome,
    Why,
    file_pieces,
)
from tgworker.messaging.media import LARGEST_BYTES
from tgworker.messaging.models import MessageId
from tgworker.messaging.places import Place
from tgworker.messaging.records import OutboxState

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 3
PDF = b"%PDF-1.7\n" + bytes(range(256))
OGG = b"OggS" + b"\0" * 24 + b"OpusHead" + b"\0" * 100
MP4 = b"\0\0\0\x18ftypmp42" + b"\0" * 100
GIF = b"GIF89a" + b"\0" * 100
MP3 = b"ID3" + b"\0" * 100
TO = ("send", "--account", "alice", "--to", "5")


@pytest.fixture(autouse=True)
def account(shell: Shell) -> str:
    return shell.add_account()


def put(shell: Shell, name: str, content: bytes) -> str:
    """A file in the folder where commands run; returns its name."""
    (shell.folder / name).write_bytes(content)
    return name


def query(shell: Shell, sql: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(shell.data / "tgworker.db")) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(sql)]


def attachments(shell: Shell) -> list[dict[str, Any]]:
    return query(shell, "select * from attachments order by rowid")


def message(shell: Shell) -> dict[str, Any]:
    (row,) = query(shell, "select * from messages")
    return row


def content(shell: Shell, row: dict[str, Any]) -> tuple[bytes, str]:
    """What lies where a row of ``attachments`` says, and its content type."""

    async def read() -> tuple[bytes, str]:
        place = Place(row["storage_bucket"], row["storage_path"])
        async with open_files(DataFolder(shell.data), as_worker=False) as files:  # noqa: SIM117 - one each
            async with files.download(place) as download:
                return b"".join([piece async for piece in download]), download.content_type

    return trio.run(read)


def assert_nothing_is_left(shell: Shell) -> None:
    """Neither a row nor a file, nor what an upload that broke off leaves."""
    assert shell.outbox() == []
    assert query(shell, "select id from messages") == []
    assert attachments(shell) == []
    assert stored(shell) == []


def stored(shell: Shell) -> list[Path]:
    """Everything below the file store that is not a folder."""
    return [path for path in (shell.data / "files").rglob("*") if path.is_symlink() or not path.is_dir()]


# ---------------------------------------------------------------------------------- what is enqueued


def test_a_photo_and_a_document_are_one_message_with_its_caption(shell: Shell, account: str) -> None:
    photo, paper = put(shell, "Mañana.JPG", JPEG), put(shell, "paper.pdf", PDF)
    done = shell(*TO, "--file", photo, "--file", paper, "--text", TEXT, "--json")
    assert (done.code, done.complaints) == (0, [])
    (row,) = shell.outbox()
    assert done.last == {
        "enqueued": 1,
        "message_ids": [row.message_id],
        "files": 2,
        "bytes": len(JPEG) + len(PDF),
    }
    assert (row.state, row.account_id, row.files) == (OutboxState.WAITING, account, 2)
    sent = message(shell)
    assert (sent["text"], sent["message_type"], sent["direction"]) == (TEXT, "photo", "outbound")
    first, second = attachments(shell)
    assert [first["file_name"], second["file_name"]] == ["Mañana.JPG", "paper.pdf"]
    assert [first["byte_size"], second["byte_size"]] == [len(JPEG), len(PDF)]
    for each, extension in ((first, ".jpg"), (second, ".pdf")):
        assert each["storage_bucket"] == "attachments"
        assert each["storage_path"] == f"{OWNER}/outgoing/{each['id']}{extension}"
        assert each["message_id"] == row.message_id
    assert content(shell, first) == (JPEG, "image/jpeg")
    assert content(shell, second) == (PDF, "application/pdf")


def test_files_need_no_text(shell: Shell) -> None:
    done = shell(*TO, "--file", put(shell, "a.jpg", JPEG))
    assert (done.code, done.out) == (0, "1 enqueued: a running worker sends them\n")
    assert message(shell)["text"] == ""


def test_the_bucket_is_the_configured_one_and_is_made(shell: Shell) -> None:
    shell.set(TGWORKER_ATTACHMENTS_BUCKET="papers")
    assert shell(*TO, "--file", put(shell, "a.pdf", PDF)).code == 0
    (row,) = attachments(shell)
    assert row["storage_bucket"] == "papers"
    assert content(shell, row)[0] == PDF


@pytest.mark.parametrize(
    ("files", "words", "kind"),
    [
        ([("a.jpg", JPEG)], [], "photo"),
        ([("a.pdf", PDF), ("b.jpg", JPEG)], [], "photo"),
        ([("a.gif", GIF), ("b.mp4", MP4)], [], "video"),
        ([("a.mp4", MP4), ("b.jpg", JPEG)], [], "photo"),
        ([("a.ogg", OGG)], [], "voice"),
        ([("a.ogg", OGG), ("b.mp3", MP3)], [], "audio"),
        ([("a.mp3", MP3)], [], "audio"),
        ([("a.mp3", MP3)], ["--as", "voice"], "voice"),
        ([("a.jpg", JPEG), ("b.mp4", MP4)], ["--as", "document"], "document"),
        ([("a.mp4", MP4)], ["--as", "video-note"], "video_note"),
        ([("without an extension", JPEG)], [], "photo"),
        ([("a.txt", b"words")], [], "document"),
        ([("no picture.jpg", b"words")], [], "document"),
        ([("a.svg", b"<svg onload='alert(1)'>")], [], "document"),
    ],
)
def test_the_message_calls_itself_what_each_file_can_be_sent_as(
    shell: Shell, files: Sequence[tuple[str, bytes]], words: list[str], kind: str
) -> None:
    options = [word for name, data in files for word in ("--file", put(shell, name, data))]
    assert shell(*TO, *options, *words).code == 0
    assert message(shell)["message_type"] == kind


@pytest.mark.parametrize(
    ("name", "data", "type_", "ends"),
    [
        ("a lie.jpg", b"<html><script>", "application/octet-stream", ".jpg"),
        ("a lie.pdf", JPEG, "image/jpeg", ".pdf"),
        ("nothing known", b"\x01\x02", "application/octet-stream", ".bin"),
        ("a.tar.weird one", b"\x01\x02", "application/octet-stream", ".bin"),
        ("no extension", MP3, "audio/mpeg", ".mp3"),
    ],
)
def test_a_file_is_stored_as_what_its_bytes_say(
    shell: Shell, name: str, data: bytes, type_: str, ends: str
) -> None:
    assert shell(*TO, "--file", put(shell, name, data)).code == 0
    (row,) = attachments(shell)
    assert row["mime_type"] == type_
    assert row["storage_path"].endswith(ends)
    assert content(shell, row) == (data, type_)


def test_a_name_that_would_do_harm_elsewhere_is_made_harmless(shell: Shell) -> None:
    name = "evil\u202egpj.\x1b[31mexe\n" + "x" * 180 + ".pdf"
    assert shell(*TO, "--file", put(shell, name, PDF)).code == 0
    (row,) = attachments(shell)
    assert row["file_name"].isprintable()
    assert row["file_name"].endswith("x.pdf")
    assert len(row["file_name"].encode()) <= 150


def test_a_name_that_is_no_utf_8_is_a_name(shell: Shell) -> None:
    name = os.fsdecode(b"caf\xe9.pdf")
    assert shell(*TO, "--file", put(shell, name, PDF)).code == 0
    (row,) = attachments(shell)
    assert (row["file_name"], content(shell, row)[0]) == ("caf.pdf", PDF)


def test_the_same_file_twice_is_two_files_and_a_hyphen_may_begin_its_name(shell: Shell) -> None:
    name = put(shell, "-a.pdf", PDF)
    assert shell(*TO, "--file", name, f"--file={name}").code == 0
    first, second = attachments(shell)
    assert first["storage_path"] != second["storage_path"]
    assert content(shell, first) == content(shell, second)


def test_more_files_than_an_album_holds_are_several_messages_and_that_is_said(shell: Shell) -> None:
    name = put(shell, "a.jpg", JPEG)
    ten = shell(*TO, *["--file", name] * 10)
    assert ten.out == "1 enqueued: a running worker sends them\n"
    eleven = shell(*TO, *["--file", name] * 11)
    assert eleven.out.startswith("11 files come as several messages: Telegram shows 10 together at most\n")
    assert [row.files for row in shell.outbox()] == [10, 11]


# ---------------------------------------------------------------------------------- what is refused


def refused(shell: Shell, argv: Sequence[str], *words: str) -> None:
    shell(*TO, *argv).refused(2, *words)
    assert_nothing_is_left(shell)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--file", "gone.jpg"], ["--file gone.jpg: there is no such file", "how its path is spelled"]),
        (["--file", "good.jpg", "--file", "gone.jpg"], ["--file gone.jpg"]),
        (["--file", "good.jpg/x"], ["--file good.jpg/x: there is no such file"]),
        (["--file", ""], ["--file is empty"]),
        (["--file", "."], ["--file . is a folder", "each with --file"]),
        (["--file", "empty"], ["--file empty is empty", "zero bytes"]),
        (["--file", "/dev/null"], ["/dev/null is a pipe or a device", "save what comes from it in a file"]),
        (["--file", "pipe"], ["pipe is a pipe or a device"]),
        (["--file", "socket"], ["socket is a pipe or a device"]),
        (["--file", "loop"], ["--file loop is no path that this system takes"]),
        (["--file", "nul\0.jpg"], ["is no path that this system takes"]),
        (["--file", "/".join(["x" * 240] * 17)], ["…", "x is no path that this system takes", "spelled"]),
        (["--file", "x" * 4096], ["x is no path that this system takes (File name too long)"]),
        (["--file", "\x1b[31mred\n"], ["--file ?[31mred?: there is no such file"]),
        (["--file", "good.jpg", "--lines"], ["--file does not go with --lines", "--text"]),
        (["--file", "good.jpg", "--text", " "], ["--text is empty: leave it out"]),
        (["--file", "good.jpg", "--text", "\udcff"], ["--text is not UTF-8 text"]),
        (["--file", "good.jpg", "--as", "voice"], ["good.jpg is image/jpeg and cannot be sent as voice"]),
        (["--file", "good.jpg", "--as", "picture"], ["--as is not one of photo", "document"]),
        (["--text", TEXT, "--as", "photo"], ["--as says what files are sent as"]),
        (["--file", "good.jpg"] * (MOST_FILES + 1), [f"{MOST_FILES} files at most", "several messages"]),
        (["--file"], ["--file"]),
        ([], ["say what to send", "--file PATH"]),
    ],
)
def test_what_cannot_be_sent_is_one_line_and_nothing_is_left(
    shell: Shell, argv: list[str], words: list[str]
) -> None:
    put(shell, "good.jpg", JPEG)
    put(shell, "empty", b"")
    os.mkfifo(shell.folder / "pipe")
    (shell.folder / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        refused(shell, argv, *words)


def test_a_file_that_telegram_takes_from_nobody_is_refused_unread(shell: Shell) -> None:
    for size in (LARGEST_BYTES + 1, 5 * 10**9):
        with (shell.folder / "huge.bin").open("wb") as huge:
            huge.truncate(size)  # a hole: it takes no room
        refused(shell, ["--file", "huge.bin"], f"huge.bin has {size} bytes", "2097152000 at most")


def test_a_file_that_may_not_be_read_is_refused(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """(Root may read everything: it is the system's answer that is put in place.)"""

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    name = put(shell, "a.jpg", JPEG)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", forbidden)
        done = shell(*TO, "--file", name)
    done.refused(2, "--file a.jpg may not be read (Permission denied)", "its rights")
    assert_nothing_is_left(shell)


@pytest.mark.parametrize("to", ["bob", "12345678-1234-4234-9234-123456789abc"])
def test_a_recipient_that_is_none_leaves_no_file(shell: Shell, to: str) -> None:
    name = put(shell, "a.jpg", JPEG)
    done = shell("send", "--account", "alice", "--to", to, "--file", name)
    assert done.code == 2
    (_,) = done.complaints
    assert_nothing_is_left(shell)


def test_an_unknown_account_stores_nothing(shell: Shell) -> None:
    shell("send", "--account", "bob", "--to", "5", "--file", put(shell, "a.jpg", JPEG)).refused(2, "alice")
    assert_nothing_is_left(shell)


# ---------------------------------------------------------------------------------- what happens meanwhile


Pieces = Callable[[Path], AsyncGenerator[bytes]]


def reading(monkeypatch: pytest.MonkeyPatch, pieces: Pieces) -> None:
    """Files are read like that."""
    monkeypatch.setattr(_posting, "file_pieces", pieces)


def test_a_file_that_grows_while_it_is_read_is_refused(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def growing(path: Path) -> AsyncGenerator[bytes]:
        async for piece in file_pieces(path):
            yield piece
        yield b"more"

    reading(monkeypatch, growing)
    refused(shell, ["--file", put(shell, "a.jpg", JPEG)], "--file a.jpg changed while it was read")


def test_a_file_that_is_gone_when_its_turn_comes_takes_the_stored_ones_with_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def vanishing(path: Path) -> AsyncGenerator[bytes]:
        if path.name == "b.jpg":
            await trio.Path(path).unlink()
        async for piece in file_pieces(path):
            yield piece

    reading(monkeypatch, vanishing)
    argv = ["--file", put(shell, "a.jpg", JPEG), "--file", put(shell, "b.jpg", JPEG)]
    refused(shell, argv, "--file b.jpg: there is no such file")


def test_a_disk_that_breaks_while_a_file_is_read_is_one_line(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(path: Path) -> AsyncGenerator[bytes]:
        yield (await trio.Path(path).read_bytes())[:5]
        raise OSError(5, "Input/output error")

    reading(monkeypatch, broken)
    refused(shell, ["--file", put(shell, "a.jpg", JPEG)], "--file a.jpg cannot be read (Input/output error)")


def test_ctrl_c_in_the_middle_leaves_no_row_and_no_file(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(path: Path) -> AsyncGenerator[bytes]:
        async for piece in file_pieces(path):
            if path.name == "b.jpg":
                assert stored(shell)  # the first one is there
                signal.raise_signal(signal.SIGINT)
            yield piece

    reading(monkeypatch, interrupted)
    argv = ["--file", put(shell, "a.jpg", JPEG), "--file", put(shell, "b.jpg", JPEG)]
    shell(*TO, *argv).refused(EXIT_INTERRUPTED, "interrupted: nothing was enqueued")
    assert_nothing_is_left(shell)


def test_ctrl_c_while_the_row_is_made_waits_for_it_and_the_file_stays(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue = EmbeddedStore.enqueue

    async def interrupted(self: EmbeddedStore, *args: Any, **options: Any) -> Sequence[MessageId]:
        signal.raise_signal(signal.SIGINT)
        await trio.sleep(0.01)
        return await enqueue(self, *args, **options)

    monkeypatch.setattr(EmbeddedStore, "enqueue", interrupted)
    done = shell(*TO, "--file", put(shell, "a.jpg", JPEG))
    assert (done.code, done.complaints) == (
        EXIT_INTERRUPTED,
        ["tgworker: interrupted: what was done stays done"],
    )
    (row,) = attachments(shell)
    assert content(shell, row)[0] == JPEG
    assert len(shell.outbox()) == 1


class Answering(EmbeddedFiles):
    """A file store that says no."""

    answer: UploadOutcome | StoreAway
    at_delete: StoreAway | None = None

    async def upload(self, place: Place, *args: Any, **options: Any) -> UploadOutcome:
        if place.path.endswith(".jpg"):
            return await super().upload(place, *args, **options)
        if isinstance(self.answer, StoreAway):
            raise self.answer
        return self.answer

    async def delete(self, bucket: str, paths: Sequence[str]) -> int:
        if self.at_delete is not None:
            raise self.at_delete
        return await super().delete(bucket, paths)


def answering(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    answer: UploadOutcome | StoreAway,
    at_delete: StoreAway | None = None,
) -> Ran:
    """Send a photo, which is stored, and a paper, to which the file store says something else."""
    store = Answering(DataFolder(shell.data).files)
    store.answer, store.at_delete = answer, at_delete
    monkeypatch.setattr(send, "open_file_store", lambda _: nullcontext(store))
    return shell(*TO, "--file", put(shell, "a.jpg", JPEG), "--file", put(shell, "b.pdf", PDF))


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (
            Rejected(Why.TOO_LARGE, "Storage takes 50 MB: raise its limit"),
            1,
            ["b.pdf: Storage takes 50 MB: raise"],
        ),
        (SizeDiffers(9, 8), 2, ["--file b.pdf changed while it was read"]),
        (
            BucketMissing("it has no such bucket: create it"),
            3,
            ["tgworker: it has no such bucket: create it"],
        ),
        (
            StoreRefused("it does not let this key do that: put …"),
            3,
            ["tgworker: it does not let this key do"],
        ),
        (StoreAway("no answer"), 3, ["the store cannot be reached (no answer): try again"]),
    ],
)
def test_what_the_file_store_refuses_is_one_line_and_what_it_took_is_removed(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    answer: UploadOutcome | StoreAway,
    code: int,
    words: list[str],
) -> None:
    answering(shell, monkeypatch, answer).refused(code, *words)
    assert_nothing_is_left(shell)


def test_files_that_cannot_be_removed_any_more_are_named(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = answering(shell, monkeypatch, StoreAway("no answer"), at_delete=StoreAway("nobody is there"))
    said, why = done.complaints
    assert "stored files could not be removed from the bucket attachments (nobody is there)" in said
    assert said.count(f"{OWNER}/outgoing/") == 2
    assert "the store cannot be reached (no answer)" in why
    assert done.code == 3
    assert shell.outbox() == []


def test_where_nobody_knows_whether_the_row_was_made_the_files_stay_and_that_is_said(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    enqueue = EmbeddedStore.enqueue

    async def answer_lost(self: EmbeddedStore, *args: Any, **options: Any) -> Sequence[MessageId]:
        await enqueue(self, *args, **options)
        raise StoreAway("no answer")

    monkeypatch.setattr(EmbeddedStore, "enqueue", answer_lost)
    done = shell(*TO, "--file", put(shell, "a.jpg", JPEG))
    said, why = done.complaints
    assert "nobody knows whether the message was enqueued: its files stay in the bucket attachments" in said
    assert "the store cannot be reached (no answer)" in why
    (row,) = attachments(shell)
    assert content(shell, row)[0] == JPEG


# ---------------------------------------------------------------------------------- how far it is


class Terminal(io.StringIO):
    """Standard error of somebody who looks."""

    def isatty(self) -> bool:
        return True


async def test_a_line_on_a_terminal_changes_in_place_ten_times_a_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    terminal = Terminal()
    with Progress(quiet=False, stream=terminal) as progress:
        for step in range(4):
            progress.show(f"{step} of 3")
            await trio.sleep(ON_A_TERMINAL_S / 2)
        progress.show("x" * 1000)
    assert terminal.getvalue() == ("\r\x1b[K0 of 3\r\x1b[K2 of 3\r\x1b[K" + "x" * 79 + "\r\x1b[K"), (
        autojump_clock.current_time()
    )


async def test_a_log_gets_a_line_now_and_then_and_none_of_what_is_soon_done(
    autojump_clock: trio.testing.MockClock,
) -> None:
    log = io.StringIO()
    with Progress(quiet=False, stream=log) as progress:
        for step in range(6):
            progress.show(f"{step} of 5")
            await trio.sleep(IN_A_LOG_S / 2)
    assert log.getvalue() == "2 of 5\n4 of 5\n", autojump_clock.current_time()


async def test_machines_and_closed_streams_get_nothing() -> None:
    machine, closed = Terminal(), Terminal()
    closed.close()
    closed.isatty = lambda: True  # type: ignore[method-assign]
    for progress in (Progress(quiet=True, stream=machine), Progress(quiet=False, stream=closed)):
        with progress:
            progress.show("1 of 2")
    assert machine.getvalue() == ""


def test_storing_says_which_file_and_how_much_of_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(Progress, "show", lambda _, text: shown.append(text))
    big = put(shell, "big.bin", b"\x01" * 1_500_000)
    assert shell(*TO, "--file", big, "--file", put(shell, "a.jpg", JPEG)).code == 0
    assert shown[0] == "big.bin (1 of 2): 0.2 of 1.5 MB stored"
    assert "big.bin (1 of 2): 1.5 of 1.5 MB stored" in shown
    assert shown[-1] == f"a.jpg (2 of 2): {len(JPEG)} of {len(JPEG)} bytes stored"


async def test_waiting_shows_how_much_telegram_has_and_says_it_to_machines_at_the_end(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's part is played by the test: it writes what the worker records."""
    shown: list[str] = []
    monkeypatch.setattr(Progress, "show", lambda _, text: shown.append(text))
    name = put(shell, "a.jpg", JPEG)

    async def play() -> None:
        with closing(sqlite3.connect(shell.data / "tgworker.db", isolation_level=None)) as database:
            while not database.execute(
                "update tgworker_outbox set bytes_done = 1200000, bytes_total = 3400000"
            ).rowcount:
                await trio.sleep(0.01)
            while "1.2 of 3.4 MB sent" not in shown:
                await trio.sleep(0.01)
            database.execute("update messages set external_message_id = null")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(play)
        ran = await shell.along(*TO, "--file", name, "--wait", "--json")
    (sent,) = ran.last["messages"]
    assert (ran.code, sent["state"]) == (1, "cancelled")
    assert (sent["files"], sent["bytes_done"], sent["bytes_total"]) == (1, 1_200_000, 3_400_000)
    assert "1.2 of 3.4 MB" in (await shell.along("outbox", "list", "--state", "cancelled")).out
