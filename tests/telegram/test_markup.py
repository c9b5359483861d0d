"""Markup as Telethon reads it, broken markup included; entities as Telegram's objects."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.tl import types

from tgworker.messaging.formatted import Entity, EntityKind, FormattedText, code_units
from tgworker.messaging.outcomes import Refused
from tgworker.telegram.markup import entities_for, format_text

K = EntityKind


def read(text: str, mode: str) -> tuple[str, list[tuple[EntityKind, int, int, str | None]]]:
    found = format_text(text, mode)
    assert isinstance(found, FormattedText), found
    return found.text, [(e.kind, e.offset, e.length, e.argument) for e in found.entities]


@pytest.mark.parametrize(
    ("text", "plain", "entities"),
    [
        ("hi **you** `x`", "hi you x", [(K.BOLD, 3, 3, None), (K.CODE, 7, 1, None)]),
        ("__it__ ~~no~~", "it no", [(K.ITALIC, 0, 2, None), (K.STRIKE, 3, 2, None)]),
        ("\U0001f44b **b**", "\U0001f44b b", [(K.BOLD, 3, 1, None)]),
        ("[a](https://e.org)", "a", [(K.TEXT_URL, 0, 1, "https://e.org")]),
        ("[Ada](tg://user?id=77)", "Ada", [(K.MENTION, 0, 3, "77")]),
        ("```x = 1```", "x = 1", [(K.PRE, 0, 5, "")]),
        ("**a __b__ c**", "a b c", [(K.BOLD, 0, 5, None), (K.ITALIC, 2, 1, None)]),
        # Broken: it stands there as it was written.
        ("**open", "**open", []),
        ("a ** b", "a ** b", []),
        ("[a](", "[a](", []),
        ("`a **b` c**", "a **b c**", [(K.CODE, 0, 5, None)]),
        ("[](https://e.org) x", "x", []),
    ],
)
def test_markdown(text: str, plain: str, entities: list[object]) -> None:
    assert read(text, "markdown") == (plain, entities)


@pytest.mark.parametrize(
    ("text", "plain", "entities"),
    [
        ("hi <b>you</b>", "hi you", [(K.BOLD, 3, 3, None)]),
        ("<b>a <i>b</i></b>", "a b", [(K.BOLD, 0, 3, None), (K.ITALIC, 2, 1, None)]),
        (
            "<u>a</u><s>b</s><code>c</code>",
            "abc",
            [(K.UNDERLINE, 0, 1, None), (K.STRIKE, 1, 1, None), (K.CODE, 2, 1, None)],
        ),
        ("<pre><code class='language-py'>x</code></pre>", "x", [(K.PRE, 0, 1, "py")]),
        ("<blockquote expandable>q</blockquote>", "q", [(K.BLOCKQUOTE, 0, 1, "collapsed")]),
        ("<a href='https://e.org?a=1&amp;b=2'>x</a>", "x", [(K.TEXT_URL, 0, 1, "https://e.org?a=1&b=2")]),
        ("<a href='tg://user?id=77'>Ada</a>", "Ada", [(K.MENTION, 0, 3, "77")]),
        ("<tg-emoji emoji-id='5'>\U0001f44d</tg-emoji>", "\U0001f44d", [(K.CUSTOM_EMOJI, 0, 2, "5")]),
        (
            "<tg-spoiler>s</tg-spoiler> <span class='tg-spoiler'>t</span>",
            "s t",
            [(K.SPOILER, 0, 1, None), (K.SPOILER, 2, 1, None)],
        ),
        ("1 &lt; 2 &amp; 3", "1 < 2 & 3", []),
        # Broken. Telethon's own `html.parse` loses the text behind the last of these signs.
        ("<b>open", "open", [(K.BOLD, 0, 4, None)]),
        ("Tom &Jerry", "Tom &Jerry", []),
        ("fish & chips &", "fish & chips &", []),
        ("1 < 2", "1 < 2", []),
        ("a <", "a <", []),
        ("<a href>x</a>", "x", []),
        ("<pre><code class>x</code></pre>", "x", [(K.PRE, 0, 1, "")]),
        ("</b>x</i>", "x", []),
        ("<b>a<i>b</b>c</i>", "abc", [(K.BOLD, 0, 2, None), (K.ITALIC, 1, 2, None)]),
        ("<tg-emoji emoji-id='none'>x</tg-emoji>", "x", []),
    ],
)
def test_html(text: str, plain: str, entities: list[object]) -> None:
    assert read(text, "HTML") == (plain, entities)


def test_an_unknown_mode_is_refused_in_one_line() -> None:
    refused = format_text("hi", "MarkdownV3\n")
    assert refused == Refused("parse_mode is 'MarkdownV3\\n': it must be markdown or html, or be left out")


MARKS = (
    "**",
    "__",
    "~~",
    "`",
    "```",
    "[",
    "](",
    ")",
    "https://e.org",
    "word ",
    "\U0001f44b",
    "\n",
    "tg://user?id=1",
)
TAGS = (
    "b",
    "i",
    "u",
    "s",
    "code",
    "pre",
    "a",
    "a href='x'",
    "a href",
    "blockquote",
    "tg-emoji emoji-id='9'",
    "script",
)


@given(st.lists(st.sampled_from(MARKS) | st.text(max_size=4), max_size=30).map("".join))
def test_no_markdown_is_an_error(text: str) -> None:
    check(format_text(text, "markdown"))


@given(
    st.lists(
        st.sampled_from(TAGS).map(lambda tag: f"<{tag}>")
        | st.sampled_from(TAGS).map(lambda tag: f"</{tag.split()[0]}>")
        | st.sampled_from(("<", "&", "&amp", "&#x1f44b;", "<!--", "-->", "<![", "<?", "&#99999999;"))
        | st.text(max_size=4),
        max_size=30,
    ).map("".join)
)
def test_no_html_is_an_error(text: str) -> None:
    check(format_text(text, "html"))


def test_what_pythons_parser_gives_up_on_is_refused_with_the_remedy() -> None:
    reason = "its html cannot be read (AssertionError): write < as &lt; and & as &amp;"
    assert format_text("<![<b>", "html") == Refused(reason)


def check(found: FormattedText | Refused) -> None:
    if isinstance(found, Refused):
        assert "cannot be read" in found.reason
        return
    for entity in found.entities:
        assert 0 <= entity.offset < entity.end <= code_units(found.text)
    assert len(entities_for(found.entities, lambda user: types.InputUser(user, 1))) == len(found.entities)


@given(
    st.lists(
        st.tuples(st.sampled_from(("b", "i", "u", "code")), st.text(st.characters(exclude_categories=["Cs"])))
    )
)
def test_html_that_is_well_formed_keeps_every_character(pieces: list[tuple[str, str]]) -> None:
    text = "".join(f"<{tag}>{html.escape(words)}</{tag}>" for tag, words in pieces)
    found = format_text(text, "html")
    assert isinstance(found, FormattedText)
    plain = "".join(words for _, words in pieces)
    # (What HTML itself changes or leaves out in data: line ends, and nothing else.)
    assert re.sub(r"\s", "", found.text) == re.sub(r"\s", "", plain)


def test_entities_become_telegrams_objects() -> None:
    made = entities_for(
        [
            Entity(K.BOLD, 0, 1),
            Entity(K.PRE, 1, 2, "py"),
            Entity(K.MENTION, 2, 3, "77"),
            Entity(K.MENTION, 3, 4, "78"),
            Entity(K.BLOCKQUOTE, 4, 5, "collapsed"),
        ],
        lambda user: types.InputUser(user, 9) if user == 77 else None,
    )
    assert [type(each).__name__ for each in made] == [
        "MessageEntityBold",
        "MessageEntityPre",
        "InputMessageEntityMentionName",
        "MessageEntityBlockquote",
    ]
