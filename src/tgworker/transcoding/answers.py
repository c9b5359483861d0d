"""What the child says on its standard output, and how the worker reads it: pure.

The child read what a stranger made: its answer is checked like any other input.
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any, Final, cast

from tgworker.messaging.transcoding import Converted, MediaFacts
from tgworker.transcoding.waveform import WAVEFORM_BYTES

LONGEST_BYTES: Final = 4096
"""Of an answer."""

_LONGEST_REASON: Final = 200
_LONGEST_S: Final = 1e7


class Garbled(ValueError):
    """This is no answer of ours."""


class Failed(Exception):
    """The child says why it could not do it; the text is a line for people."""


def write_converted(converted: Converted) -> bytes:
    """An answer: the voice note is there."""
    return _line(
        {"duration_s": converted.duration_s, "waveform": base64.b64encode(converted.waveform).decode()}
    )


def write_facts(facts: MediaFacts) -> bytes:
    """An answer: what is in the file."""
    return _line(
        {
            "duration_s": facts.duration_s,
            "width": facts.width,
            "height": facts.height,
            "has_video": facts.has_video,
            "has_audio": facts.has_audio,
            "codec": facts.codec,
        }
    )


def write_failure(reason: str) -> bytes:
    """An answer: why not."""
    return _line({"failed": reason})


def read_converted(answer: bytes) -> Converted:
    """Raises: `Failed`, and `Garbled` where it is no answer."""
    said = _read(answer)
    duration_s = _number(said, "duration_s")
    try:
        waveform = base64.b64decode(str(said.get("waveform")), validate=True)
    except (binascii.Error, ValueError):
        raise Garbled("waveform") from None
    if duration_s is None or len(waveform) != WAVEFORM_BYTES:
        raise Garbled("duration_s or waveform")
    return Converted(duration_s, waveform)


def read_facts(answer: bytes) -> MediaFacts:
    """Raises: `Failed`, and `Garbled` where it is no answer."""
    said = _read(answer)
    codec = said.get("codec")
    if codec is not None and not (isinstance(codec, str) and codec.isprintable() and len(codec) < 40):
        raise Garbled("codec")
    return MediaFacts(
        duration_s=_number(said, "duration_s"),
        width=_pixels(said, "width"),
        height=_pixels(said, "height"),
        has_video=_truth(said, "has_video"),
        has_audio=_truth(said, "has_audio"),
        codec=codec,
    )


def _line(said: Mapping[str, object]) -> bytes:
    return json.dumps(said).encode() + b"\n"


def _read(answer: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(answer) if len(answer) <= LONGEST_BYTES else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise Garbled("no object")
    found = cast("Mapping[str, Any]", said)
    reason = found.get("failed")
    if reason is None:
        return found
    if not isinstance(reason, str):
        raise Garbled("failed")
    raise Failed("".join(letter for letter in reason if letter.isprintable())[:_LONGEST_REASON])


def _number(said: Mapping[str, Any], name: str) -> float | None:
    value = said.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_S:
        raise Garbled(name)
    return float(value) if math.isfinite(value) else None


def _pixels(said: Mapping[str, Any], name: str) -> int | None:
    value = said.get(name)
    if value is None or (type(value) is int and 0 < value <= 100_000):
        return value
    raise Garbled(name)


def _truth(said: Mapping[str, Any], name: str) -> bool | None:
    value = said.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise Garbled(name)
