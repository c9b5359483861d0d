"""What must not be torn apart between two characters: pairs, combining marks, emoji, syllables.

A small part of Unicode's extended grapheme clusters (https://unicode.org/reports/tr29/), enough that no cut
changes what a person sees. The text is in UTF-16 code units, one character each: `wide` and `narrow`.
"""

import unicodedata

_ZERO_WIDTH_JOINER = 0x200D
_VIRAMA = 9
"""The combining class of the signs that join two consonants of an Indic script."""

_MOST_FLAGS = 64
"""So many halves of flags are counted back to find out which two belong together."""


def wide(text: str) -> str:
    """A text with each UTF-16 code unit as a character of its own, so that its indices are Telegram's."""
    if text.isascii() or max(text) < "\U00010000":
        return text
    data = text.encode("utf-16-le", "surrogatepass")
    return "".join(map(chr, memoryview(data).cast("H")))


def narrow(units: str) -> str:
    """The text of code units."""
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def is_torn(units: str, index: int) -> bool:
    """Whether a cut before ``index`` would be inside a character, or inside what looks like one."""
    if not 0 < index < len(units):
        return False
    here, before = _from(units, index), _until(units, index)
    if here is None:
        return True  # between the two halves of a pair
    if before == 0x0D and here == 0x0A:
        return True
    if before in (0x0A, 0x0D):
        return False
    if before == _ZERO_WIDTH_JOINER or _extends(here):
        return True
    if _is_flag(here) and _is_flag(before):
        return _flags_before(units, index) % 2 == 1
    if _is_jamo(here) and (_is_jamo(before) or 0xAC00 <= before <= 0xD7A3):
        # A leading consonant begins a syllable, except after another one.
        return not _is_leading(here) or _is_leading(before)
    return unicodedata.combining(chr(before)) == _VIRAMA and unicodedata.category(chr(here)) == "Lo"


def _from(units: str, index: int) -> int | None:
    """The code point that begins at ``index``; ``None`` for the second half of one."""
    unit = ord(units[index])
    if 0xDC00 <= unit <= 0xDFFF and 0xD800 <= ord(units[index - 1]) <= 0xDBFF:
        return None
    if 0xD800 <= unit <= 0xDBFF and index + 1 < len(units):
        return _pair(unit, ord(units[index + 1]))
    return unit


def _until(units: str, index: int) -> int:
    """The code point that ends before ``index``."""
    unit = ord(units[index - 1])
    if 0xDC00 <= unit <= 0xDFFF and index > 1:
        return _pair(ord(units[index - 2]), unit)
    return unit


def _pair(high: int, low: int) -> int:
    if 0xD800 <= high <= 0xDBFF and 0xDC00 <= low <= 0xDFFF:
        return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
    return low


def _extends(point: int) -> bool:
    return (
        point == _ZERO_WIDTH_JOINER
        or 0x1F3FB <= point <= 0x1F3FF  # colours of skin
        or 0xE0020 <= point <= 0xE007F  # tags: the flags of regions
        or unicodedata.category(chr(point)) in ("Mn", "Mc", "Me")
    )


def _is_flag(point: int) -> bool:
    return 0x1F1E6 <= point <= 0x1F1FF


def _flags_before(units: str, index: int) -> int:
    count = 0
    while count < _MOST_FLAGS and index > 1 and _is_flag(_until(units, index)):
        count += 1
        index -= 2
    return count


def _is_jamo(point: int) -> bool:
    return 0x1100 <= point <= 0x11FF or 0xA960 <= point <= 0xA97C or 0xD7B0 <= point <= 0xD7FB


def _is_leading(point: int) -> bool:
    return 0x1100 <= point <= 0x115F or 0xA960 <= point <= 0xA97C
