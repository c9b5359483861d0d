"""Media files, made where a test needs them."""

import math
from array import array
from fractions import Fraction
from pathlib import Path
from typing import Final

import av

# file name -> codec and rate
SOUNDS: Final = {
    "a.mp3": ("libmp3lame", 44_100),
    "a.wav": ("pcm_s16le", 44_100),
    "a.webm": ("libopus", 48_000),
    "a.m4a": ("aac", 44_100),
    "a.flac": ("flac", 44_100),
    "a.ogg": ("libopus", 48_000),
}


def make_sound(path: Path, seconds: float = 2.0) -> Path:
    """A tone that begins in the middle: half silence, half 440 Hz."""
    codec, rate = SOUNDS[path.name]
    samples = int(rate * seconds)
    frame = av.AudioFrame(format="s16", layout="mono", samples=samples)
    tone = (
        0 if n < samples // 2 else int(12_000 * math.sin(n * math.tau * 440 / rate)) for n in range(samples)
    )
    frame.planes[0].update(array("h", tone).tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        context = stream.codec_context
        resampler = av.AudioResampler(format=context.format, layout="stereo", rate=rate, frame_size=960)
        if codec in ("libmp3lame", "aac"):
            resampler = av.AudioResampler(
                format=context.format,
                layout="stereo",
                rate=rate,
                frame_size=1152 if codec == "libmp3lame" else 1024,
            )
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def make_film(path: Path, codec: str = "mpeg4", frames: int = 25) -> Path:
    """A grey picture of 64 by 48 for a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for n in range(frames):
            frame = av.VideoFrame(64, 48, stream.pix_fmt)
            for plane in frame.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            frame.pts, frame.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
