"""The part of the control connection's language that is about files."""

import base64
from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from tgworker.sandbox.contents import MadeContent
from tgworker.sandbox.control_command import Command
from tgworker.sandbox.errors import SandboxError
from tgworker.sandbox.phone_files import Kind, PhoneFile

if TYPE_CHECKING:
    from tgworker.sandbox.sandbox import Sandbox

MAX_MADE_BYTES = 1 << 30
MAX_DURATION_S = (1 << 31) - 1
"""Telegram has 32 bits for it."""


class SentFile(Command, tag="file"):
    """One of the files of ``send_files``.

    Attributes:
        kind: What it is sent as.
        data: Its bytes, in base64; what is longer than a command may be is made here: see ``made``.
        made: Instead of ``data``: so many bytes, the same for the same number.
        name: What it is called.
        mime_type: What it is said to be.
        caption: What stands under it.
        duration_s: Of sound and moving pictures.
    """

    kind: Kind
    data: str = ""
    made: int = 0
    name: str = ""
    mime_type: str = "application/octet-stream"
    caption: str = ""
    duration_s: int = 1

    def file(self) -> PhoneFile:
        """The file. Raises SandboxError if its bytes make no sense."""
        if not 0 <= self.made <= MAX_MADE_BYTES:
            raise SandboxError(f"made is 0 to {MAX_MADE_BYTES}")
        if not 0 <= self.duration_s <= MAX_DURATION_S:
            raise SandboxError(f"duration_s is 0 to {MAX_DURATION_S}")
        try:
            data = MadeContent(self.made) if self.made else base64.b64decode(self.data, validate=True)
        except ValueError:
            raise SandboxError("data is base64") from None
        return PhoneFile(self.kind, data, self.name, self.mime_type, self.caption, self.duration_s)


class SendFiles(Command, tag="send_files"):
    """Send a file as a user, or several as an album. Result: ``{"sent": [as of send_text, …]}``."""

    sender: int
    recipient: int
    files: tuple[SentFile, ...]


class SetPhoto(Command, tag="set_photo"):
    """Give a user, group or channel a photo, in base64. Result: ``{"photo": its id}``."""

    peer: int
    data: str


class ReadFile(Command, tag="file_of"):
    """The file of a message, as ``user`` holds it. Result: ``{"size", "sha256"}``."""

    user: int
    peer: int
    message: int


class FileDigest(msgspec.Struct, frozen=True):
    """The result of ``file_of``.

    Attributes:
        size: In bytes.
        sha256: Of its bytes, in hex.
    """

    size: int
    sha256: str


class ExpireReferences(Command, tag="expire_references"):
    """Let all file references expire that were given out so far. Result: ``{}``."""


class ForgetParts(Command, tag="forget_parts"):
    """Lose parts of files that no message carries yet: those of each, or all of ``null``. Result: ``{}``."""

    numbers: tuple[int, ...] | None = None


FileCommand = SendFiles | SetPhoto | ReadFile | ExpireReferences | ForgetParts


def obey_file_command(sandbox: "Sandbox", command: FileCommand) -> Any:
    """Carry out a command about files.

    Raises:
        SandboxError: It cannot be carried out; the text says why.
    """
    match command:
        case SendFiles():
            files = [each.file() for each in command.files]
            return {"sent": sandbox.files.send(command.sender, command.recipient, *files)}
        case SetPhoto():
            try:
                data = base64.b64decode(command.data, validate=True)
            except ValueError:
                raise SandboxError("data is base64") from None
            return {"photo": sandbox.files.set_photo(command.peer, data)}
        case ReadFile():
            file = sandbox.files.of(command.user, command.peer, command.message)
            return FileDigest(file.size, file.sha256())
        case ExpireReferences():
            sandbox.files.expire_references()
            return {}
        case ForgetParts():
            sandbox.files.forget_parts(command.numbers)
            return {}
        case _:
            assert_never(command)
