"""What is asked of whoever looks into media files and converts them, and what comes back."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

WAVEFORM_SAMPLES: Final = 100
"""Heights in a waveform, of 5 bits each (https://core.telegram.org/constructor/documentAttributeAudio)."""


@dataclass(frozen=True, slots=True)
class Converted:
    """The target is a voice note as Telegram plays it: OGG with Opus in it.

    Attributes:
        duration_s: How long it sounds.
        waveform: What is drawn of it: `WAVEFORM_SAMPLES` packed heights.
    """

    duration_s: float
    waveform: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConversionFailed:
    """There is no voice note, and no file in its place.

    Attributes:
        reason: One line for people, without names or paths.
        may_pass: Whether another attempt can end otherwise: it was slow, or killed; the file is not at fault.
    """

    reason: str
    may_pass: bool


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What is known of a media file; what is not is ``None``.

    Attributes:
        duration_s: Of sound and moving pictures.
        width: Of pictures as they are shown, in pixels.
        height: The same.
        has_video: Whether there is a picture that is no cover.
        has_audio: Whether there is sound.
        codec: Of the picture, else of the sound, as FFmpeg calls it.
        unknown_because: Why nothing is known: one line for people, without names or paths.
    """

    duration_s: float | None = None
    width: int | None = None
    height: int | None = None
    has_video: bool | None = None
    has_audio: bool | None = None
    codec: str | None = None
    unknown_because: str | None = None


class Transcoder(Protocol):
    """Looks into media files and converts them, outside of the worker's process."""

    async def convert_voice(
        self, source: Path, target: Path, *, deadline_s: float
    ) -> Converted | ConversionFailed:
        """Make a voice note of a file with sound in it.

        Args:
            source: Any sound.
            target: Where the voice note is to be; nothing is there yet.
            deadline_s: Within so many seconds, waiting for a free converter included.

        Cancellation: the converter is killed and waited for, and nothing is left at ``target``.
        """
        ...

    async def inspect(self, source: Path, *, deadline_s: float) -> MediaFacts:
        """Look into a media file.

        Args:
            source: Sound, a film or a picture; perhaps something else.
            deadline_s: Within so many seconds, waiting for a free converter included.

        Cancellation: whoever looks is killed and waited for.
        """
        ...
