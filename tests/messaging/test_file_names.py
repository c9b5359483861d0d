"""Names of files from strangers become harmless."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgworker.messaging.file_names import LONGEST_BYTES, harmless_name

# whatever strangers write, with what does harm more often than by chance
HOSTILE = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.characters(codec=None),
        st.sampled_from(
            ["../", "\\", "C:", "\0", "\u202e", "\u200f", " ", ".", "NUL", "com1", "е\u0301", "\ud800", "/"]
        ),
        st.text(min_size=200, max_size=300),
    ),
    max_size=6,
).map("".join)


@given(HOSTILE, st.sampled_from(["image/jpeg", None, "nonsense", "audio/ogg"]))
def test_whatever_a_stranger_writes_a_name_is_harmless(name: str, content_type: str | None) -> None:
    made = harmless_name(name, content_type)
    assert made
    assert made.isprintable()
    assert 0 < len(made.encode()) <= LONGEST_BYTES
    assert not set(made) & set('/\\<>:"|?*')
    assert made == made.strip(" .")
    assert unicodedata.is_normalized("NFC", made)
    assert not {unicodedata.category(letter) for letter in made} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert made.partition(".")[0].upper() not in {"CON", "NUL", "AUX", "PRN", "COM1", "LPT1"}
    assert harmless_name(made, content_type) == made


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("отчёт 2026.pdf", "отчёт 2026.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system.ini", "system.ini"),
        ("C:evil.exe", "evil.exe"),
        ("a\0b.txt", "ab.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        (".bashrc", "bashrc"),
        ("name.txt. . ", "name.txt"),
        ("nul.txt", "_nul.txt"),
        ("com¹", "_com¹"),
        ("lone\ud800.jpg", "lone.jpg"),
        ("e\u0301.txt", "é.txt"),
        ("a\u00a0b\u3000c.txt", "a b c.txt"),
        ("what?.txt", "what_.txt"),
    ],
)
def test_a_trick_is_undone_and_the_rest_is_kept(name: str, made: str) -> None:
    assert harmless_name(name) == made


@pytest.mark.parametrize(
    ("name", "content_type", "made"),
    [
        (None, "image/jpeg", "photo.jpg"),
        ("", "audio/ogg", "voice.ogg"),
        ("...", "video/mp4", "video.mp4"),
        ("/", None, "file.bin"),
        ("\u202e", "application/pdf", "file.pdf"),
        ("?", "audio/mpeg", "audio.mp3"),
    ],
)
def test_a_file_without_a_name_is_called_after_what_it_is(
    name: str | None, content_type: str | None, made: str
) -> None:
    assert harmless_name(name, content_type) == made


def test_a_name_of_4096_bytes_is_cut_between_letters_and_keeps_its_extension() -> None:
    made = harmless_name("a/" + "щ" * 2045 + ".docx")
    assert made == "щ" * 72 + ".docx"


def test_what_is_no_extension_is_not_kept() -> None:
    assert harmless_name("a." + "x" * 400) == "a." + "x" * 148
