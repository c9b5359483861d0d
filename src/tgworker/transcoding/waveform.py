"""The picture of a voice note's loudness, as Telegram packs it: pure."""

from collections.abc import Sequence

from tgworker.messaging.transcoding import WAVEFORM_SAMPLES

_BITS = 5
WAVEFORM_BYTES = -(-WAVEFORM_SAMPLES * _BITS // 8)


def packed_waveform(peaks: Sequence[int]) -> bytes:
    """Heights relative to the loudest, in 5 bits each, the first in the lowest bits.

    Args:
        peaks: How far the sound goes in each of its stretches, which are all as long; from 0.
    """
    top = max(peaks, default=0) or 1
    bits = 0
    for sample in range(WAVEFORM_SAMPLES):
        begin = sample * len(peaks) // WAVEFORM_SAMPLES
        end = max(begin + 1, (sample + 1) * len(peaks) // WAVEFORM_SAMPLES)
        height = max(peaks[begin:end], default=0) * (2**_BITS - 1) // top
        bits |= height << (sample * _BITS)
    return bits.to_bytes(WAVEFORM_BYTES, "little")
