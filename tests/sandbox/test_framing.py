"""Transports cut streams into the packets that went in, however the bytes arrive."""

import os
import struct
from collections.abc import Callable
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.network.connection.tcpabridged import AbridgedPacketCodec
from telethon.network.connection.tcpfull import FullPacketCodec
from telethon.network.connection.tcpintermediate import (
    IntermediatePacketCodec,
    RandomizedIntermediatePacketCodec,
)

from tgworker.sandbox.errors import LineBroken
from tgworker.sandbox.framing import (
    MAX_PACKET_BYTES,
    Abridged,
    Framing,
    Full,
    Intermediate,
    framing_of_tag,
)


def padded() -> Framing:
    return Intermediate(padded=True)


def plain() -> Framing:
    return Intermediate(padded=False)


KINDS: dict[str, tuple[Callable[[], Framing], Any]] = {
    "full": (Full, FullPacketCodec),
    "abridged": (Abridged, AbridgedPacketCodec),
    "intermediate": (plain, IntermediatePacketCodec),
    "padded": (padded, RandomizedIntermediatePacketCodec),
}

sizes = st.lists(st.sampled_from([4, 8, 504, 508, 512, 40_000, 300_000]), min_size=1, max_size=4)
cuts = st.lists(st.integers(1, 5000), min_size=1, max_size=50)


@pytest.mark.parametrize("kind", KINDS)
@given(sizes=sizes, cuts=cuts)
def test_what_telethon_frames_is_taken_apart(kind: str, sizes: list[int], cuts: list[int]) -> None:
    make, codec = KINDS[kind]
    telethons = codec(None)
    packets = [os.urandom(size) for size in sizes]
    stream = b"".join(telethons.encode_packet(packet) for packet in packets)
    framing, buffer, taken, at = make(), bytearray(), list[bytes](), 0
    for cut in [*cuts, len(stream)]:
        buffer += stream[at : at + cut]
        at += cut
        while (packet := framing.take(buffer)) is not None:
            taken.append(packet)
    assert [packet[: len(sent)] for packet, sent in zip(taken, packets, strict=True)] == packets
    assert not buffer


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data

    async def readexactly(self, size: int) -> bytes:
        assert len(self.data) >= size
        head, self.data = self.data[:size], self.data[size:]
        return head


@pytest.mark.parametrize("kind", KINDS)
async def test_what_the_sandbox_frames_telethon_takes_apart(kind: str) -> None:
    make, codec = KINDS[kind]
    framing, telethons = make(), codec(None)
    packets = [os.urandom(size) for size in (4, 504, 508, 512, 70_000)]
    reader = Reader(b"".join(map(framing.frame, packets)))
    assert [await telethons.read_packet(reader) for _ in packets] == packets
    assert not reader.data


@pytest.mark.parametrize(
    ("make", "head"),
    [
        (Abridged, b"\x7f" + (MAX_PACKET_BYTES // 4 + 1).to_bytes(3, "little")),
        (plain, struct.pack("<I", MAX_PACKET_BYTES + 1)),
        (padded, b"\xff\xff\xff\x7f"),
        (Full, struct.pack("<i", MAX_PACKET_BYTES + 12)),
        (Full, struct.pack("<i", 11)),
        (Full, struct.pack("<i", -429)),
    ],
)
def test_an_impossible_length_is_refused_before_anything_is_stored(
    make: Callable[[], Framing], head: bytes
) -> None:
    with pytest.raises(LineBroken):
        make().take(bytearray(head))


def test_a_wrong_checksum_is_refused() -> None:
    body = struct.pack("<ii", 16, 0) + b"abcd"
    with pytest.raises(LineBroken):
        Full().take(bytearray(body + struct.pack("<I", crc32(body) ^ 1)))


def test_an_unknown_tag_inside_obfuscation_is_refused() -> None:
    with pytest.raises(LineBroken):
        framing_of_tag(b"abcd")
