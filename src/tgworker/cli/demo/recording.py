"""A second of sound, as a browser or a phone records it. Imported where it is made: PyAV takes its time."""

import io
import math
from array import array
from fractions import Fraction
from typing import Final, Literal

import av

RATE: Final = 48_000
SECONDS: Final = 1.0
_FRAME: Final = 960


def record(container: Literal["webm", "ogg"]) -> bytes:
    """A tone of 440 Hz in Opus, `SECONDS` long. Blocks for some tens of milliseconds.

    Args:
        container: What a browser puts it into, or Telegram's phones.
    """
    samples = int(RATE * SECONDS)
    frame = av.AudioFrame(format="s16", layout="mono", samples=samples)
    tone = array("h", (int(12_000 * math.sin(n * math.tau * 440 / RATE)) for n in range(samples)))
    frame.planes[0].update(tone.tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
    target = io.BytesIO()
    with av.open(target, "w", format=container) as output:
        stream = output.add_stream("libopus", rate=RATE, layout="mono")
        assert isinstance(stream, av.AudioStream)
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="mono", rate=RATE, frame_size=_FRAME
        )
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return target.getvalue()
