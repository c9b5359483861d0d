"""A long text as parts: nothing lost, nothing too long, nothing torn, formatting kept."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgworker.messaging.clusters import is_torn, narrow, wide
from tgworker.messaging.formatted import Entity, EntityKind, FormattedText, code_units
from tgworker.messaging.splitting import SMALLEST_LIMIT, may_be_cut, split

WAVE = "\N{WAVING HAND SIGN}"
PIECES = (
    *("word", "a", " ", "  ", "\n", "\n\n", ". ", "!? ", "。", "\t", "\u00a0", "é", "e\u0301\u0302"),
    *(
        WAVE,
        "\U0001f469\u200d\U0001f4bb",
        "\U0001f44d\U0001f3fd",
        "\U0001f1e7\U0001f1f7",
        "각",
        "\u1100\u1161",
    ),
    *("क्षि", "\r\n", "x" * 30, "\u0301" * 20),
)


@st.composite
def formatted_texts(draw: st.DrawFn) -> FormattedText:
    text = "".join(draw(st.lists(st.sampled_from(PIECES), max_size=80)))
    length = code_units(text)
    entities: list[Entity] = []
    if length:
        for kind in draw(st.lists(st.sampled_from(EntityKind), max_size=5)):
            offset = draw(st.integers(0, length - 1))
            entities.append(Entity(kind, offset, draw(st.integers(1, length - offset)), kind.value))
    return FormattedText(text, tuple(entities))


def find_parts(whole: FormattedText, parts: tuple[FormattedText, ...]) -> list[int]:
    """Where each part begins; what is between them is white space."""
    units, at, begins = wide(whole.text), 0, list[int]()
    for part in parts:
        begin = units.index(wide(part.text), at)
        assert not units[at:begin].strip(), "lost at a cut"
        begins.append(begin)
        at = begin + code_units(part.text)
    assert not units[at:].strip(), "lost at the end"
    return begins


@given(formatted_texts(), st.integers(SMALLEST_LIMIT, 100))
def test_parts_lose_nothing_but_space_at_the_cuts_and_each_fits(whole: FormattedText, limit: int) -> None:
    parts = split(whole, limit)
    assert all(code_units(part.text) <= limit for part in parts)
    if code_units(whole.text) <= limit:
        assert parts == (whole,)
        return
    assert all(part.text == part.text.strip() != "" for part in parts)
    begins = find_parts(whole, parts)
    covered: dict[tuple[EntityKind, str | None], set[int]] = {}
    for part, begin in zip(parts, begins, strict=True):
        for entity in part.entities:
            assert 0 <= entity.offset < entity.end <= code_units(part.text)
            units = range(begin + entity.offset, begin + entity.end)
            covered.setdefault((entity.kind, entity.argument), set()).update(units)
    kept = {
        at
        for part, begin in zip(parts, begins, strict=True)
        for at in range(begin, begin + code_units(part.text))
    }
    wanted: dict[tuple[EntityKind, str | None], set[int]] = {}
    for entity in whole.entities:
        wanted.setdefault((entity.kind, entity.argument), set()).update(range(entity.offset, entity.end))
    assert {key: units & kept for key, units in wanted.items() if units & kept} == covered


@given(formatted_texts(), st.integers(SMALLEST_LIMIT, 100))
def test_the_same_text_gives_the_same_parts(whole: FormattedText, limit: int) -> None:
    assert split(whole, limit) == split(whole, limit)


@given(
    st.lists(st.sampled_from([piece for piece in PIECES if len(piece) < 8]), min_size=20), st.integers(40, 90)
)
def test_no_cut_tears_what_looks_like_one_character(pieces: list[str], limit: int) -> None:
    whole = FormattedText("".join(pieces))
    parts = split(whole, limit)
    units = wide(whole.text)
    if len(parts) > 1:
        for begin, part in zip(find_parts(whole, parts), parts, strict=True):
            end = begin + code_units(part.text)
            run = units[begin:end]
            marks = sum(unicodedata.category(unit) == "Mn" for unit in run)
            assert marks > limit // 4 or not is_torn(units, end), (part, begin, end)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("aaaa bbbb\n\ncccc dddd\nffff", ("aaaa bbbb", "cccc dddd\nffff")),
        ("aaaa bbbb cc\ndddd eeee ffff", ("aaaa bbbb cc", "dddd eeee ffff")),
        ("aaaa bbbb cc. dd eeee ffff gg", ("aaaa bbbb cc.", "dd eeee ffff gg")),
        ("aaaa bbb “cc.” dd eeee ffff", ("aaaa bbb “cc.”", "dd eeee ffff")),
        ("aaaaa 3.14159 bb cccc dddd", ("aaaaa 3.14159 bb", "cccc dddd")),
        ("ああああああああああ。いいいいいいいい", ("ああああああああああ。", "いいいいいいいい")),
        ("a b\u00a0c d e f g h\u00a0iiiii", ("a b\u00a0c d e f g", "h\u00a0iiiii")),
        ("a " + "b" * 30, ("a " + "b" * 14, "b" * 16)),
        ("   \n" + "a" * 20 + "  \n ", ("a" * 16, "aaaa")),
        ("abcdefgh\r\nabcdefgh", ("abcdefgh", "abcdefgh")),
        ("aaaa\n\nbbbb cccc dddd eeee", ("aaaa\n\nbbbb cccc", "dddd eeee")),  # a part is at least half full
        (" " * 40, ()),
    ],
)
def test_a_cut_is_made_at_the_most_sensible_place(text: str, parts: tuple[str, ...]) -> None:
    assert tuple(part.text for part in split(FormattedText(text), 16)) == parts


def test_a_pair_is_not_torn_even_where_nothing_else_helps() -> None:
    parts = split(FormattedText("a" + WAVE * 20), 16)
    assert "".join(part.text for part in parts) == "a" + WAVE * 20
    parts = split(FormattedText(WAVE + "\u0301" * 41), 16)
    assert "".join(part.text for part in parts) == WAVE + "\u0301" * 41


def test_a_cut_spares_formatting_where_there_is_another_place() -> None:
    text = "aaaa bbbb cc ddd eee ffff"
    link = Entity(EntityKind.TEXT_URL, 10, 9, "https://example.org")
    first, second = split(FormattedText(text, (link,)), 16)
    assert (first.text, first.entities) == ("aaaa bbbb", ())
    assert (second.text, second.entities) == (
        "cc ddd eee ffff",
        (Entity(EntityKind.TEXT_URL, 0, 9, link.argument),),
    )


def test_formatting_that_spans_a_cut_goes_on_in_both_parts() -> None:
    text = "aaaa bbbb cccc dddd eeee ffff"
    first, second = split(FormattedText(text, (Entity(EntityKind.BOLD, 2, 24),)), 16)
    assert (first.text, first.entities) == ("aaaa bbbb cccc", (Entity(EntityKind.BOLD, 2, 12),))
    assert (second.text, second.entities) == ("dddd eeee ffff", (Entity(EntityKind.BOLD, 0, 11),))


def test_a_word_in_long_formatting_is_not_torn_to_spare_the_formatting() -> None:
    text = "bbbb bbbb xyz bbbb bbbb bbbb"
    bold = (Entity(EntityKind.BOLD, 0, 10), Entity(EntityKind.ITALIC, 12, 16))
    assert split(FormattedText(text, bold), 16)[0].text in {"bbbb bbbb", "bbbb bbbb xyz"}


def test_a_long_text_is_cut_quickly_whatever_it_is_made_of() -> None:
    for text in ("x" * 100_000, " \u0301" * 50_000, "a" + " " * 3000 + "\u0301" * 60_000, WAVE * 50_000):
        parts = split(FormattedText(text), 4096)
        assert all(code_units(part.text) <= 4096 for part in parts)


def test_more_formatting_than_one_message_may_have_takes_several() -> None:
    whole = FormattedText("ab " * 250, tuple(Entity(EntityKind.CODE, 3 * n, 2) for n in range(250)))
    parts = split(whole, 4096)
    assert [len(part.entities) for part in parts] == [100, 100, 50]
    assert all(part.text[entity.offset : entity.end] == "ab" for part in parts for entity in part.entities)
    assert "".join(part.text for part in parts).replace(" ", "") == "ab" * 250
    heap = FormattedText("\U0001f44b" * 20, tuple(Entity(EntityKind.BOLD, 0, 2) for _ in range(150)))
    parts = split(heap, 4096)
    assert max(len(part.entities) for part in parts) == 100
    assert "".join(part.text for part in parts) == heap.text


@pytest.mark.parametrize(
    ("text", "mode", "may"),
    [
        ("x" * 4096, None, False),
        ("x" * 4097, None, True),
        ("x" * 301, "html", True),
        ("x" * 300, "markdown", False),
    ],
)
def test_whether_a_text_may_be_cut_is_told_without_reading_it(text: str, mode: str | None, may: bool) -> None:
    assert may_be_cut(text, mode, 4096) is may


def test_a_limit_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        split(FormattedText("hello"), 1)


@given(st.text())
def test_code_units_are_what_utf_16_has(text: str) -> None:
    assert narrow(wide(text)) == text
    assert code_units(text) == len(wide(text)) == len(text.encode("utf-16-le")) // 2
