"""A stranger's file, opened by FFmpeg without the formats that would lead it to other files."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import av
import av.container
import av.error

# Playlists (hls, concat, dash) and sequences (image2) name other files and addresses; FFmpeg would open them.
_FORMATS: Final = (
    "ogg", "matroska", "webm", "mov", "mp4", "m4a", "3gp", "mp3", "wav", "w64", "flac", "aac", "amr", "amrnb",
    "amrwb", "aiff", "caf", "avi", "mpegts", "mpeg", "flv", "asf", "ac3", "gif", "png_pipe", "jpeg_pipe",
    "webp_pipe", "bmp_pipe", "tiff_pipe",
)  # fmt: skip


class Refused(Exception):
    """FFmpeg does not take the file; the text is a line for people."""


class _Nameless:
    """A file of which FFmpeg knows the bytes alone: a name could choose the format."""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell


@contextmanager
def opened(source: Path) -> Generator[av.container.InputContainer]:
    """A media file.

    Raises:
        Refused: It is none, of a format that is not read here, or damaged; also where the block reads it.
    """
    if not source.is_file():
        raise Refused("there is no such file")
    if source.stat().st_size == 0:
        raise Refused("it is empty")
    options = {"format_whitelist": ",".join(_FORMATS), "protocol_whitelist": "file"}
    try:
        with (
            source.open("rb") as file,
            av.open(_Nameless(file), "r", options=options, metadata_errors="ignore") as container,
        ):
            yield container
    except av.error.FFmpegError as error:
        # its text ends with the file's name
        raise Refused(f"FFmpeg says: {(error.strerror or 'it failed').lower()}") from error
    except MemoryError as error:
        raise Refused("it needs more memory than a converter may have") from error
