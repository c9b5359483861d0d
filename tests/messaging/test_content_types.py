"""What a file is by its bytes, and as what it is served."""

import gzip
import io
import wave
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgworker.messaging.content_types import (
    UNKNOWN,
    extension_of,
    is_markup,
    served_type,
    sniffed_type,
    type_of_name,
)

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("word/document.xml", "<x/>")
    return made.getvalue()


def sound() -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(100))
    return made.getvalue()


HEADS = {
    "image/jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "image/png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "image/gif": b"GIF89a\1\0\1\0",
    "image/webp": b"RIFF\x24\0\0\0WEBPVP8 ",
    "application/pdf": b"%PDF-1.7\n",
    "application/zip": archive(),
    "audio/ogg": b"OggS\0\2" + bytes(20) + b"\1\x13OpusHead\1",
    "video/webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\x82\x84webm",
    "video/x-matroska": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\x82\x88matroska",
    "video/mp4": b"\0\0\0\x20ftypisom\0\0\2\0",
    "audio/mp4": b"\0\0\0\x20ftypM4A \0\0\2\0",
    "video/quicktime": b"\0\0\0\x14ftypqt  \0\0\2\0",
    "audio/mpeg": b"\xff\xfb\x90\x64\0\0",
    "audio/aac": b"\xff\xf1\x50\x80\0\0",
    "audio/wav": sound(),
    "audio/flac": b"fLaC\0\0\0\x22",
    "application/gzip": gzip.compress(b"{}"),
}


@pytest.mark.parametrize("type_", HEADS)
def test_bytes_tell_what_they_are(type_: str) -> None:
    assert sniffed_type(HEADS[type_]) == type_
    assert served_type(type_, HEADS[type_]) == type_
    assert served_type(None, HEADS[type_]) == type_


def test_sound_with_a_tag_in_front_is_mp3() -> None:
    assert sniffed_type(b"ID3\4\0\0") == "audio/mpeg"


@pytest.mark.parametrize(
    "head", [b"", b"\xff", "слово".encode(), "слово".encode("utf-16"), b"\xff\xff\xff\xff"]
)
def test_bytes_that_say_nothing_are_not_guessed_at(head: bytes) -> None:
    assert sniffed_type(head) is None


@pytest.mark.parametrize(
    ("claimed", "type_"),
    [
        (DOCX, "application/zip"),
        ("application/x-tgsticker", "application/gzip"),
        ("audio/webm", "video/webm"),
        ("audio/mp4", "video/mp4"),
        ("audio/opus", "audio/ogg"),
    ],
)
def test_a_claim_stands_within_its_family(claimed: str, type_: str) -> None:
    assert served_type(claimed, HEADS[type_]) == claimed


@pytest.mark.parametrize(
    ("claimed", "head", "served"),
    [
        ("image/png", HEADS["image/jpeg"], "image/jpeg"),
        ("image/jpeg", HEADS["application/zip"], "application/zip"),
        ("text/plain", HEADS["application/pdf"], "application/pdf"),
        ("image/png", b"only words", UNKNOWN),
        ("image/png", b"", UNKNOWN),
        ("audio/x-wav; codecs=1", HEADS["audio/wav"], "audio/wav"),
        ("text/plain; charset=KOI8-R", b"words", "text/plain; charset=koi8-r"),
        ("text/csv", b"a,b\n1,2\n", "text/csv"),
        ("no type at all", b"words", UNKNOWN),
        ("text/html\r\nx: y", b"words", UNKNOWN),
    ],
)
def test_a_claim_that_lies_gives_way(claimed: str, head: bytes, served: str) -> None:
    assert served_type(claimed, head) == served


MARKUP = [
    b"<!DOCTYPE html><p>",
    b"\xef\xbb\xbf \n<HTML >",
    b"<svg onload=alert(1)>",
    b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    b"<!-- hello --><script>alert(1)</script>",
    "<html><script>".encode("utf-16"),
]


@pytest.mark.parametrize(
    "claimed", ["image/png", "image/svg+xml", "text/html", "text/plain", None, "application/xhtml+xml"]
)
@pytest.mark.parametrize("head", MARKUP)
def test_what_runs_scripts_is_never_served(claimed: str | None, head: bytes) -> None:
    assert is_markup(head)
    assert served_type(claimed, head) == UNKNOWN


@given(
    st.one_of(
        st.none(), st.text(), st.sampled_from([*HEADS, "text/html; a=b", " TEXT/HTML", "image/svg+xml"])
    ),
    st.binary(),
)
def test_no_claim_and_no_bytes_make_a_page(claimed: str | None, head: bytes) -> None:
    served = served_type(claimed, head)
    assert not served.startswith(("text/html", "text/xml", "application/xml"))
    assert "+xml" not in served
    assert served.isprintable()


def test_extensions_go_both_ways() -> None:
    assert extension_of("image/jpeg; q=1") == "jpg"
    assert extension_of("something/else") == "bin"
    assert type_of_name("Song.MP3") == "audio/mpeg"
    assert type_of_name("mp3") is None
    assert all(type_of_name(f"a.{extension_of(type_)}") == type_ for type_ in HEADS)
