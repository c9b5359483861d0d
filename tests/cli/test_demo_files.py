"""The demo's files: what it takes for whole, and that it sees what is not."""

import random
from collections.abc import AsyncGenerator
from hashlib import sha256
from pathlib import Path

import pytest
import trio

from tgworker.cli.demo.ground import Ground, open_embedded_ground
from tgworker.cli.demo.ogg import opus_seconds
from tgworker.cli.demo.parcels import Delivery, Found, Wanted, deliver, picture
from tgworker.cli.demo.recording import SECONDS, record
from tgworker.cli.demo.stage import Stage, open_stage
from tgworker.cli.demo.watch import Watch
from tgworker.messaging.file_store import Uploaded
from tgworker.messaging.places import Place
from tgworker.sandbox import PhoneFile

ONE, TWO = (Wanted("photo", "", sha256(data).hexdigest()) for data in (b"one", b"two"))


@pytest.fixture(scope="module")
def note() -> bytes:
    return record("ogg")


def test_a_whole_note_says_how_long_it_sounds(note: bytes) -> None:
    assert opus_seconds(note) == pytest.approx(SECONDS, abs=0.05)


def test_a_note_with_one_wrong_byte_is_none(note: bytes) -> None:
    for place in (0, 4, 5, 8, 20, 26, 30, 40, len(note) // 2, len(note) - 1):
        broken = bytearray(note)
        broken[place] ^= 1
        assert opus_seconds(bytes(broken)) is None, place


def test_what_is_no_whole_note_is_none(note: bytes) -> None:
    last = note.rindex(b"OggS")
    second = note.index(b"OggS", 1)
    for data in (b"", b"OggS", note[:-1], note[:last], note + b"x", note[second:], record("webm")):
        assert opus_seconds(data) is None


def test_a_converted_note_is_measured(note: bytes) -> None:
    for seconds, whole in ((SECONDS, True), (SECONDS + 1, False), (0.5, False)):
        assert Wanted("voice", "", None, seconds).matches(Found("", note)) is whole
    assert not Wanted("voice", "", None, SECONDS).matches(Found("", None))


@pytest.mark.parametrize(
    ("found", "whole", "wrong"),
    [
        ([b"one", b"two"], 2, 0),
        ([b"one"], 1, 1),
        ([], 0, 2),
        ([b"two", b"one"], 0, 2),
        ([b"one", b"twO"], 1, 1),
        ([b"one", None], 1, 1),
        ([b"one", b"two", b"two"], 2, 1),
    ],
)
def test_files_are_compared_place_by_place(found: list[bytes | None], whole: int, wrong: int) -> None:
    delivery = deliver([ONE, TWO], [Found("", data) for data in found])
    assert delivery == Delivery(2, whole, wrong)
    assert delivery.clean is (wrong == 0)


@pytest.mark.parametrize(
    "other",
    [Found("other", b"one"), Found("", b"one", "document"), Found("", b"one", "photo", album=True)],
)
def test_what_stands_around_a_file_counts(other: Found) -> None:
    assert ONE.matches(Found("", b"one", "photo", album=False))
    assert not ONE.matches(other)


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncGenerator[Ground]:
    async with open_embedded_ground(tmp_path) as ground:
        yield ground


@pytest.fixture
async def stage(tmp_path: Path, ground: Ground) -> AsyncGenerator[Stage]:
    async with open_stage(tmp_path, ground, random.Random(1), Watch()) as stage:
        yield stage


@pytest.mark.slow
async def test_both_sides_are_looked_at(stage: Stage, ground: Ground) -> None:
    courier = stage.courier
    alice, *_ = stage.accounts
    with trio.fail_after(40):
        await courier.send_all()
        await courier.receive_all()
    assert courier.delivered() == await courier.kept() == Delivery(5, 5, 0)

    (first, *_) = await ground.attachments(alice.id, courier.friend.id)
    other = bytearray(picture(110))
    other[-1] ^= 1

    async def content() -> AsyncGenerator[bytes]:
        await trio.lowlevel.checkpoint()
        yield bytes(other)

    said = await ground.opened.files.upload(
        Place(first.bucket, first.path), content, size=len(other), content_type=first.mime_type
    )
    assert said == Uploaded(first.byte_size)
    assert await courier.kept() == Delivery(5, 4, 1)

    courier.phone(PhoneFile("photo", picture(1)))
    assert (await courier.kept()).expected == 6
