"""A long text as the messages that it takes: a pure decision.

The same text, formatting and limit always give the same parts: what is sent again after a doubt is the very
part that was sent before.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from tgworker.messaging.clusters import is_torn, narrow, wide
from tgworker.messaging.formatted import Entity, FormattedText, code_units

SMALLEST_LIMIT = 16
"""Code units; with less room hardly a character and its accents fit."""

MOST_ENTITIES = 100
"""Pieces of formatting in one message; Telegram refuses more (``ENTITIES_TOO_LONG``)."""

FEWEST_MARKS = 3
"""So many characters of markup at least make a piece of formatting: one letter between two marks."""

_PLACES = (
    re.compile(r"(?<!\r)(?=\r?\n[^\S\n]*\n)"),  # between paragraphs
    re.compile(r"(?<!\r)(?=\r?\n)"),  # between lines
    re.compile(r"""[.!?…]["')\]»”’]*(?=\s)|[。！？]["'」』）”’]*"""),  # behind a sentence
    re.compile(
        r"(?<!\s)(?=[^\S\u00a0\u2007\u202f])"
    ),  # between words, but not at a space that says "do not break"
)
"""Where a text is cut, the best places first: at the end of what matches."""

_SPACE = re.compile(r"\s*")


def split(whole: FormattedText, limit: int, *, first: int | None = None) -> tuple[FormattedText, ...]:
    """Cut a text into parts of at most ``limit`` UTF-16 code units.

    Args:
        whole: The text.
        limit: How long a part may be.
        first: How long the first one may be, where that is less or more: it stands under a file.

    Parts are cut between paragraphs, else lines, else sentences, else words, as long as that leaves them at
    least half full, else between any two characters; outside of formatting where there is such a place.
    Formatting that spans a cut goes on in the next part. White space at the cuts, and at both ends of a text
    that is cut, is left out, as Telegram does at the ends of every message. A text that fits stays as it is.
    One that has more formatting than `MOST_ENTITIES` is cut, too.

    Raises:
        ValueError: ``limit`` is below `SMALLEST_LIMIT`.
    """
    first = limit if first is None else first
    if min(limit, first) < SMALLEST_LIMIT:
        raise ValueError(f"parts of {min(limit, first)} are too small: {SMALLEST_LIMIT} or more")
    units = wide(whole.text)
    if len(units) <= first and len(whole.entities) <= MOST_ENTITIES:
        return (whole,)
    stretches = _stretches(units, whole, itertools.chain((first,), itertools.repeat(limit)))
    return tuple(_part(units, begin, end, whole.entities) for begin, end in stretches)


def _stretches(units: str, whole: FormattedText, limits: Iterable[int]) -> Iterator[tuple[int, int]]:
    begin, last = _skip_space(units, 0), len(units.rstrip())
    for limit in limits:
        if begin >= last:
            return
        room = _room(begin, limit, whole.entities)
        end = last if last - begin <= room else _cut(units, begin, room, whole.entities)
        yield begin, begin + len(units[begin:end].rstrip())
        begin = _skip_space(units, end)


def may_be_cut(text: str, parse_mode: str | None, limit: int) -> bool:
    """Whether a text may take several messages, as far as can be told without reading its markup."""
    return code_units(text) > limit or (parse_mode is not None and len(text) > FEWEST_MARKS * MOST_ENTITIES)


def _room(begin: int, limit: int, entities: Sequence[Entity]) -> int:
    """How many code units from ``begin``, at most ``limit``, hold no more than `MOST_ENTITIES`."""
    offsets = sorted(entity.offset for entity in entities if entity.end > begin)
    if len(offsets) <= MOST_ENTITIES:
        return limit
    # (More than a hundred upon a few characters are more than anybody sees: the last ones are left out.)
    return min(limit, max(SMALLEST_LIMIT, offsets[MOST_ENTITIES] - begin))


def _part(units: str, begin: int, end: int, entities: Sequence[Entity]) -> FormattedText:
    clipped: list[Entity] = []
    for entity in entities:
        first, behind = max(entity.offset, begin), min(entity.end, end)
        if first < behind:
            clipped.append(Entity(entity.kind, first - begin, behind - first, entity.argument))
    return FormattedText(narrow(units[begin:end]), tuple(clipped[:MOST_ENTITIES]))


def _cut(units: str, begin: int, limit: int, entities: Sequence[Entity]) -> int:
    """Where the part that begins at ``begin`` ends; more than ``limit`` code units are left."""
    low, high = begin + (limit + 1) // 2, begin + limit
    near = [entity for entity in entities if entity.offset < high and entity.end > low]
    short = [entity for entity in near if entity.length <= limit // 2]
    for spared in (near, short, []):
        for place in _PLACES:
            found = _last(place, units, low, high, spared)
            if found is not None:
                return found
    for spared in (near, short, []):
        for cut in range(high, low - 1, -1):
            if _is_good(units, cut, spared):
                return cut
    # Half a part of marks upon one character: they are torn, a pair is not.
    return high - 1 if "\udc00" <= units[high] <= "\udfff" else high


def _last(place: re.Pattern[str], units: str, low: int, high: int, spared: Sequence[Entity]) -> int | None:
    cuts = [match.end() for match in place.finditer(units, low, high + 1) if low <= match.end() <= high]
    return next((cut for cut in reversed(cuts) if _is_good(units, cut, spared)), None)


def _is_good(units: str, cut: int, spared: Sequence[Entity]) -> bool:
    """Whether a cut tears no character and none of these entities."""
    behind = _skip_space(units, cut)
    if is_torn(units, behind) or is_torn(units, cut):
        return False
    return not any(entity.offset < cut and entity.end > behind for entity in spared)


def _skip_space(units: str, index: int) -> int:
    match = _SPACE.match(units, index)
    return index if match is None else match.end()
