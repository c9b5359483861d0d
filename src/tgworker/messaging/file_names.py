"""Names of files that strangers chose, made harmless for every system that may store them: pure.

`pathvalidate` does some of this; it is not used because this room has the standard library and trio alone.
"""

import re
import unicodedata
from typing import Final

from tgworker.messaging.content_types import extension_of

LONGEST_BYTES: Final = 150
"""UTF-8: file systems take 255, and what stores the file puts something of its own around it."""

_LONGEST_EXTENSION_BYTES: Final = 16

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_DEVICES: Final = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"}
)
_RESERVED: Final = re.compile(r'[<>:"|?*]')
_DRIVE: Final = re.compile(r"^(?:[A-Za-z]:)+")
_WORDS: Final = {"image": "photo", "video": "video", "audio": "audio"}


def harmless_name(name: str | None, content_type: str | None = None) -> str:
    """A name under which a file can be stored and shown anywhere.

    It has no path, no control, formatting or bidirectional character, no dot or space at either end, is no
    device of Windows, is in NFC, and has at most `LONGEST_BYTES` in UTF-8 with its extension kept.

    Args:
        name: What a stranger calls it.
        content_type: What its bytes are: names it where nothing is left of ``name``.
    """
    visible = _visible(name or "")
    bare = _DRIVE.sub("", re.split(r"[/\\]", visible)[-1].strip(" ."))
    bare = re.sub(r"\s+", " ", _RESERVED.sub("_", bare)).strip(" .")
    if not bare.strip("_. "):
        return default_name(content_type)
    if bare.partition(".")[0].rstrip().upper() in _DEVICES:
        bare = f"_{bare}"
    return _shortened(bare)


def default_name(content_type: str | None) -> str:
    """What a file is called that has no name: ``photo.jpg``, ``voice.ogg``, ``file.bin``."""
    extension = extension_of(content_type)
    if extension == "ogg":
        return "voice.ogg"
    return f"{_WORDS.get((content_type or '').partition('/')[0].lower(), 'file')}.{extension}"


def _visible(name: str) -> str:
    """The name in NFC, without what cannot be seen; every kind of space is a space."""
    kept = (
        " " if unicodedata.category(letter) == "Zs" else letter
        for letter in unicodedata.normalize("NFC", name)
        if letter.isprintable() or unicodedata.category(letter) == "Zs"
    )
    return unicodedata.normalize(
        "NFC", "".join(kept)
    )  # what stood between two letters may have kept them apart


def _shortened(name: str) -> str:
    if len(name.encode()) <= LONGEST_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > _LONGEST_EXTENSION_BYTES:
        stem, dot, extension = name, "", ""
    room = LONGEST_BYTES - len(f"{dot}{extension}".encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(" .") + dot + extension
