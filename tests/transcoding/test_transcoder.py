"""Voice notes are made and files looked into by real processes, whatever these do."""

import os
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import trio

from tgworker.messaging.transcoding import ConversionFailed, Converted, Transcoder
from tgworker.transcoding.transcoder import PyAvTranscoder
from transcoding.transcoding_inputs import SOUNDS, make_film, make_sound

DEADLINE_S = 60.0


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = {
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    }
    yield
    after = {
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    }
    assert after <= before


def transcoder(*program: str, at_a_time: int = 2) -> PyAvTranscoder:
    limiter = trio.CapacityLimiter(at_a_time)
    if not program:
        return PyAvTranscoder(limiter)
    return PyAvTranscoder(limiter, command=(sys.executable, "-c", "\n".join(program)))


@pytest.mark.slow
@pytest.mark.parametrize("name", SOUNDS)
async def test_any_sound_becomes_a_voice_note(name: str, tmp_path: Path) -> None:
    source, target = make_sound(tmp_path / name), tmp_path / "voice.out"
    port: Transcoder = transcoder()
    made = await port.convert_voice(source, target, deadline_s=DEADLINE_S)
    assert isinstance(made, Converted)
    assert made.duration_s == pytest.approx(2.0, abs=0.15)
    bits = int.from_bytes(made.waveform, "little")
    heights = [bits >> (5 * n) & 31 for n in range(100)]
    assert len(made.waveform) == 63
    assert max(heights[:40]) <= 3
    assert min(heights[60:90]) >= 20
    with av.open(str(target)) as voice:
        (stream,) = voice.streams
        assert isinstance(stream, av.AudioStream)
        assert (voice.format.name, stream.codec_context.name) == ("ogg", "opus")
        assert stream.codec_context.sample_rate == 48_000
        assert name == "a.ogg" or stream.codec_context.channels == 1
        heard = sum(frame.samples for frame in voice.decode(stream))
    assert heard / 48_000 == pytest.approx(2.0, abs=0.15)


HOSTILE = {
    "zero bytes": b"",
    "text": b"These are only words.\n" * 100,
    "a header and nothing else": b"OggS\0\2" + bytes(20) + b"\1\x13OpusHead\1\1",
    "a playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
    "a list of files": b"ffconcat version 1.0\nfile /etc/hostname\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
async def test_what_is_no_sound_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    source, target = tmp_path / "secret-name.mp3", tmp_path / "voice.ogg"
    source.write_bytes(HOSTILE[kind])
    made = await transcoder().convert_voice(source, target, deadline_s=DEADLINE_S)
    assert isinstance(made, ConversionFailed)
    assert not made.may_pass
    assert "\n" not in made.reason
    assert "secret-name" not in made.reason
    assert not target.exists()
    seen = await transcoder().inspect(source, deadline_s=DEADLINE_S)
    assert seen.unknown_because
    assert seen.duration_s is None


@pytest.mark.slow
async def test_a_film_without_sound_makes_no_voice_note(tmp_path: Path) -> None:
    source, target = make_film(tmp_path / "film.mp4"), tmp_path / "voice.ogg"
    made = await transcoder().convert_voice(source, target, deadline_s=DEADLINE_S)
    assert made == ConversionFailed("there is no sound in it", may_pass=False)
    assert not target.exists()


@pytest.mark.slow
async def test_a_file_that_is_cut_off_is_heard_as_far_as_it_goes(tmp_path: Path) -> None:
    source = make_sound(tmp_path / "a.mp3")
    os.truncate(source, source.stat().st_size // 2)
    made = await transcoder().convert_voice(source, tmp_path / "voice.ogg", deadline_s=DEADLINE_S)
    assert isinstance(made, Converted)
    assert 0.5 < made.duration_s < 1.5


@pytest.mark.slow
async def test_tags_in_another_alphabet_do_not_stop_a_voice_note(tmp_path: Path) -> None:
    source = make_sound(tmp_path / "a.wav")
    said = source.read_bytes()
    assert b"Lavf" in said
    source.write_bytes(said.replace(b"Lavf", "имя!".encode("cp1251"), 1))  # no UTF-8
    made = await transcoder().convert_voice(source, tmp_path / "voice.ogg", deadline_s=DEADLINE_S)
    assert isinstance(made, Converted)


@pytest.mark.slow
async def test_hours_of_silence_end_at_the_deadline_and_leave_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "a.wav", tmp_path / "voice.ogg"
    size = 4 * 44_100 * 3600 * 6  # six hours that take no room on the disk
    with wave.open(str(source), "wb") as sound:
        sound.setparams((2, 2, 44_100, 0, "NONE", ""))
    with source.open("r+b") as file:
        file.seek(40)  # the length of what follows, in a header of 44 bytes
        file.write(size.to_bytes(4, "little"))
        file.truncate(44 + size)
    seen = await transcoder().inspect(source, deadline_s=DEADLINE_S)
    assert seen.duration_s == pytest.approx(6 * 3600)
    with trio.fail_after(30):
        made = await transcoder().convert_voice(source, target, deadline_s=1.5)
    assert made == ConversionFailed(
        "it was not converted within 1.5 s, and the converter was killed", may_pass=True
    )
    assert not target.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "reason", "may_pass"),
    [
        ("import os; os.kill(os.getpid(), 11)", "the converter was ended by SIGSEGV", False),
        ("import os; os.kill(os.getpid(), 9)", "the converter was ended by SIGKILL", True),
        ("raise SystemExit(3)", "the converter ended with exit code 3", False),
        ("print('garbage')", "the converter ended without a word that makes sense", False),
        ("print('{\"duration_s\": -1}')", "the converter ended without a word that makes sense", False),
        ("print('[' * 4000)", "the converter ended without a word that makes sense", False),
        ("while True: print('x' * 9999)", "the converter was ended by SIGKILL", True),
        (
            "import time; time.sleep(999)",
            "it was not converted within 2 s, and the converter was killed",
            True,
        ),
    ],
)
async def test_whatever_becomes_of_a_converter_is_one_line(
    program: str, reason: str, may_pass: bool, tmp_path: Path
) -> None:
    target = tmp_path / "voice.ogg"
    begun = f"import sys; open(sys.argv[-1], 'w').write('half')\n{program}"
    with trio.fail_after(30):
        made = await transcoder(begun).convert_voice(tmp_path / "a", target, deadline_s=2)
        seen = await transcoder(program).inspect(tmp_path / "a", deadline_s=2)
    # a machine that is busy may not even have started it
    assert made in (
        ConversionFailed(reason, may_pass),
        ConversionFailed("it was not converted within 2 s, and the converter was killed", may_pass=True),
    )
    assert seen.unknown_because
    assert not target.exists()


async def test_a_converter_that_cannot_be_started_is_one_line(tmp_path: Path) -> None:
    absent = PyAvTranscoder(trio.CapacityLimiter(1), command=(str(tmp_path / "absent"),))
    made = await absent.convert_voice(tmp_path / "a", tmp_path / "b", deadline_s=DEADLINE_S)
    assert made == ConversionFailed(
        "the converter cannot be started: no such file or directory", may_pass=True
    )


@pytest.mark.slow
async def test_who_cancels_leaves_neither_process_nor_file(tmp_path: Path) -> None:
    target = tmp_path / "voice.ogg"
    child = transcoder("import sys, time; open(sys.argv[-1], 'w').write('half'); time.sleep(999)")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: child.convert_voice(tmp_path / "a", target, deadline_s=DEADLINE_S))
        while not target.exists():
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert not target.exists()


@pytest.mark.slow
async def test_converters_wait_for_each_other_and_not_for_ever(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    slow = transcoder("import sys, time; open(sys.argv[-1], 'w'); time.sleep(999)", at_a_time=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: slow.convert_voice(tmp_path / "a", begun, deadline_s=DEADLINE_S))
        while not begun.exists():
            await trio.sleep(0.01)
        made = await slow.convert_voice(tmp_path / "a", tmp_path / "b", deadline_s=0.1)
        nursery.cancel_scope.cancel()
    assert made == ConversionFailed("no converter was free within 0.1 s", may_pass=True)


@pytest.mark.slow
async def test_a_converter_knows_no_secret_and_is_in_a_session_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TGWORKER_SECRET", "hush")
    program = (
        "import os, json\n"
        "bad = 'TGWORKER_SECRET' in os.environ or os.getsid(0) != os.getpid()\n"
        "print(json.dumps({'failed': 'bad' if bad else 'good'}))"
    )
    made = await transcoder(program).convert_voice(tmp_path / "a", tmp_path / "b", deadline_s=DEADLINE_S)
    assert made == ConversionFailed("good", may_pass=False)


@pytest.mark.slow
async def test_a_converter_is_confined_and_ends_with_its_worker(tmp_path: Path) -> None:
    program = (
        "import json, os, resource, time\n"
        "from tgworker.transcoding.confinement import confine\n"
        "confine(50)\n"
        "limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_CPU, resource.RLIMIT_CORE)]\n"
        "print(json.dumps([limits, os.nice(0)]), flush=True)\n"
        "time.sleep(999)"
    )
    with trio.fail_after(30):
        child = await trio.lowlevel.open_process([sys.executable, "-c", program], stdin=-1, stdout=-1)
        assert child.stdin is not None
        assert child.stdout is not None
        said = await child.stdout.receive_some(100)
        assert b"[55, 0]" in said
        await child.stdin.aclose()  # what happens when the worker is killed
        assert await child.wait() == 1
        await child.stdout.aclose()


@pytest.mark.slow
async def test_what_is_in_a_film_a_picture_and_a_song_is_known(tmp_path: Path) -> None:
    look = transcoder()
    film = await look.inspect(make_film(tmp_path / "film.mp4"), deadline_s=DEADLINE_S)
    assert (film.width, film.height, film.has_video, film.has_audio, film.codec) == (
        64,
        48,
        True,
        False,
        "mpeg4",
    )
    assert film.duration_s == pytest.approx(1.0, abs=0.1)
    # FFmpeg would take a picture's number for one of a sequence
    picture = await look.inspect(make_film(tmp_path / "7.jpg", "mjpeg", 1), deadline_s=DEADLINE_S)
    assert (picture.width, picture.height, picture.duration_s, picture.has_video) == (64, 48, None, False)
    song = await look.inspect(make_sound(tmp_path / "a.m4a"), deadline_s=DEADLINE_S)
    assert (song.has_audio, song.has_video, song.codec, song.width) == (True, False, "aac", None)
    assert song.duration_s == pytest.approx(2.0, abs=0.1)
