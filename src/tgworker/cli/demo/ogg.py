"""Whether a voice note is whole: OGG says of each page what its sum must be. Pure.

Sources: RFC 3533 (pages), RFC 7845 (Opus in OGG).
"""

from collections.abc import Generator
from typing import Final

_HEAD_BYTES: Final = 27
_OPUS_RATE: Final = 48_000
_POLYNOMIAL: Final = 0x04C11DB7


def opus_seconds(data: bytes) -> float | None:
    """How long a note in OGG/Opus sounds; ``None`` if it is none, or if a byte of it is wrong.

    Args:
        data: The whole file.
    """
    skipped, granule, ended = None, 0, False
    for number, page in enumerate(_pages(data)):
        if page is None or int.from_bytes(page[18:22], "little") != number:
            return None
        if skipped is None:
            body = page[_HEAD_BYTES + page[26] :]
            if not body.startswith(b"OpusHead") or len(body) < 12:
                return None
            skipped = int.from_bytes(body[10:12], "little")
        granule = int.from_bytes(page[6:14], "little", signed=True)
        ended = bool(page[5] & 4)
    return None if skipped is None or not ended else (granule - skipped) / _OPUS_RATE


def _pages(data: bytes) -> Generator[bytes | None]:
    """Page after page; ``None`` for what is no whole page."""
    begin = 0
    while begin < len(data):
        head = data[begin : begin + _HEAD_BYTES]
        table = (
            data[begin + _HEAD_BYTES : begin + _HEAD_BYTES + head[26]] if len(head) == _HEAD_BYTES else b""
        )
        end = begin + _HEAD_BYTES + len(table) + sum(table)
        page = data[begin:end]
        if not table or page[:4] != b"OggS" or len(page) != end - begin:
            yield None
            return
        if _sum(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[22:26], "little"):
            yield None
            return
        yield page
        begin = end


def _table() -> list[int]:
    sums: list[int] = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 & 0xFFFFFFFF) ^ (_POLYNOMIAL if value & 0x80000000 else 0)
        sums.append(value)
    return sums


_SUMS: Final = tuple(_table())


def _sum(page: bytes) -> int:
    """OGG's CRC-32: not zlib's, which runs the other way."""
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _SUMS[value >> 24 ^ byte]
    return value
