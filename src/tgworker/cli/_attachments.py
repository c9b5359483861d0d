"""Files of this machine that a message is to carry: seen to be sendable before anything is stored."""

import errno
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tgworker.cli._errors import Usage
from tgworker.messaging.books import MOST_FILES
from tgworker.messaging.content_types import HEAD_BYTES, bare_type, extension_of, served_type, type_of_name
from tgworker.messaging.file_kinds import claimed_kind, kind_of_type
from tgworker.messaging.file_names import harmless_name
from tgworker.messaging.media import LARGEST_BYTES, FileKind, OutgoingFile

_SHOWN_LETTERS: Final = 60
_LONGEST_EXTENSION: Final = 16


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that can be sent, as it was when it was looked at.

    Attributes:
        path: Where it is.
        name: What its receiver sees.
        content_type: What it is, by its name and its first bytes.
        size: In bytes, from 1.
    """

    path: Path = field(repr=False)
    name: str = field(repr=False)
    content_type: str
    size: int

    @property
    def shown(self) -> str:
        """Its name for a line of text."""
        return _shown(self.name)

    @property
    def extension(self) -> str:
        """That of its name, with the dot, or the usual one of what it is."""
        _, dot, extension = self.name.rpartition(".")
        if dot and extension.isascii() and extension.isalnum() and len(extension) <= _LONGEST_EXTENSION:
            return f".{extension.lower()}"
        return f".{extension_of(self.content_type)}"

    def row(self, file_id: str, bucket: str, path: str) -> OutgoingFile:
        """Its row of ``attachments``."""
        return OutgoingFile(file_id, bucket, path, self.name, self.content_type, self.size)


def local_files(paths: Sequence[str]) -> Sequence[LocalFile]:
    """Look at files, and read the beginning of each.

    Args:
        paths: As they were given.

    Raises:
        Usage: One cannot be sent, or there are too many.
    """
    if len(paths) > MOST_FILES:
        raise Usage(
            f"--file was given {len(paths)} times: one message carries {MOST_FILES} files at most, "
            "send several messages"
        )
    return [_local_file(path) for path in paths]


def kind_of_files(files: Sequence[LocalFile], wanted: FileKind | None) -> FileKind:
    """What a message with these files calls itself, so that each is sent as what it is.

    Args:
        files: At least one.
        wanted: What they are to be sent as; ``None``: as what they are.

    Raises:
        Usage: One of them cannot be that.
    """
    rows = [file.row("", "", "") for file in files]
    if wanted is None:
        own = [kind_of_type(bare_type(file.content_type)) for file in files]

        def kept(kind: FileKind) -> int:
            return sum(claimed_kind(kind, row) is one for row, one in zip(rows, own, strict=True))

        return max((kind for kind in FileKind if kind in own), key=kept)
    for file, row in zip(files, rows, strict=True):
        if claimed_kind(wanted, row) is not wanted:
            raise Usage(
                f"--file {file.shown} is {file.content_type} and cannot be sent as {wanted.value}: "
                "leave --as out, or send it in a message of its own"
            )
    return wanted


def unreadable(shown: str, error: OSError) -> Usage:
    """The line for a file that cannot be read.

    Args:
        shown: Its name, fit to be shown.
        error: What the system says.
    """
    why = error.strerror or type(error).__name__
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return Usage(f"--file {shown}: there is no such file: see how its path is spelled")
        case PermissionError():
            return Usage(f"--file {shown} may not be read ({why}): see its rights, and those of its folders")
        case _ if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            return Usage(f"--file {shown} is no path that this system takes ({why}): see how it is spelled")
        case _:
            return Usage(f"--file {shown} cannot be read ({why}): copy it to a disk that is well")


def _local_file(text: str) -> LocalFile:
    shown = _shown(text)
    if not text:
        raise Usage("--file is empty: give the path of a file")
    if "\0" in text:
        raise Usage(f"--file {shown} is no path that this system takes: see how it is spelled")
    path = Path(text)
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise Usage(f"--file {shown} is a folder: give its files, each with --file, or an archive of it")
        if not stat.S_ISREG(found.st_mode):
            raise Usage(f"--file {shown} is a pipe or a device: save what comes from it in a file first")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise unreadable(shown, error) from None
    if not found.st_size:
        raise Usage(f"--file {shown} is empty: Telegram takes no files of zero bytes")
    if found.st_size > LARGEST_BYTES:
        raise Usage(
            f"--file {shown} has {found.st_size} bytes, and Telegram takes {LARGEST_BYTES} at most: "
            "send it in pieces"
        )
    content_type = served_type(type_of_name(path.name), head)
    return LocalFile(path, harmless_name(path.name, content_type), content_type, found.st_size)


def _shown(text: str) -> str:
    """The end of a path, in letters that do nothing to a terminal."""
    visible = "".join(letter if letter.isprintable() else "?" for letter in text)
    return visible if len(visible) <= _SHOWN_LETTERS else f"…{visible[-_SHOWN_LETTERS:]}"
