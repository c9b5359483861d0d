"""A voice note of any sound. Runs in the child."""

from array import array
from collections.abc import Generator
from pathlib import Path
from typing import Final

import av
import av.container
import av.error

from tgworker.messaging.transcoding import Converted
from tgworker.transcoding.opening import Refused, opened
from tgworker.transcoding.waveform import packed_waveform

RATE: Final = 48_000
"""Samples in a second: Opus has no other."""

_FRAME: Final = RATE // 50
_BIT_RATE: Final = 32_000
_SPARSELY: Final = 8
"""Of so many samples, one is looked at for the waveform."""

_MOST_DAMAGED: Final = 100
"""Packets that cannot be read, before the file is taken for noise."""


def convert(source: Path, target: Path) -> Converted:
    """Write OGG with Opus in it: mono at 48 kHz, unless the source is such a file already.

    Raises:
        Refused: There is no sound in it.
        OSError: The target cannot be written.
    """
    with opened(source) as sound:
        if not sound.streams.audio:
            raise Refused("there is no sound in it")
        stream = sound.streams.audio[0]
        ready = sound.format.name == "ogg" and stream.codec_context.codec.canonical_name == "opus"
        stream.codec_context.thread_count = 1  # each thread would reserve memory of which there is a limit
        with av.open(str(target), "w", format="ogg") as voice:
            peaks, samples = (_copied if ready else _encoded)(sound, stream, voice)
    if not samples:
        raise Refused("there is no sound in it")
    return Converted(samples / RATE, packed_waveform(peaks))


def _encoded(
    sound: av.container.InputContainer, stream: av.AudioStream, voice: av.container.OutputContainer
) -> tuple[list[int], int]:
    encoder = voice.add_stream("libopus", rate=RATE, layout="mono", options={"application": "voip"})
    encoder.codec_context.bit_rate = _BIT_RATE
    peaks, samples = list[int](), 0
    for frame in _resampled(_packets(sound, stream)):
        frame.pts = samples  # gaps and jumps of the source would be heard as nothing
        samples += frame.samples
        peaks.append(_peak(frame))
        voice.mux(encoder.encode(frame))
    if samples:
        voice.mux(encoder.encode(None))
    return peaks, samples


def _copied(
    sound: av.container.InputContainer, stream: av.AudioStream, voice: av.container.OutputContainer
) -> tuple[list[int], int]:
    """The packets as they are; they are decoded for the waveform alone."""
    copy = voice.add_stream_from_template(stream)
    peaks, samples = list[int](), 0

    def copied() -> "Generator[av.Packet[av.AudioStream]]":
        for packet in _packets(sound, stream):
            yield packet
            if packet.dts is not None:
                packet.stream = copy
                voice.mux(packet)

    for frame in _resampled(copied()):
        samples += frame.samples
        peaks.append(_peak(frame))
    return peaks, samples


def _packets(
    sound: av.container.InputContainer, stream: av.AudioStream
) -> "Generator[av.Packet[av.AudioStream]]":
    try:
        yield from sound.demux(stream)
    except av.error.InvalidDataError:
        return  # cut off: what came until then is sound


def _resampled(packets: "Generator[av.Packet[av.AudioStream]]") -> Generator[av.AudioFrame]:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE, frame_size=_FRAME)
    damaged = 0
    for packet in packets:
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            damaged += 1
            if damaged > _MOST_DAMAGED:
                raise Refused("its sound is damaged") from None
            continue
        for frame in frames:
            frame.pts = None
            yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _peak(frame: av.AudioFrame) -> int:
    heard = array("h", bytes(frame.planes[0])[: frame.samples * 2])[::_SPARSELY]
    return max(max(heard), -min(heard)) if heard else 0
