"""Texts and their formatting: how long, where the spans may lie, and that they come back as they went."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.tl import functions, types

from sandbox.mini_client import RpcFailure, open_mini, peer, send
from tgworker.sandbox import Formatting, Sandbox, SandboxError
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.formatting import checked_entities, entity_of, shown, utf16_length, with_found

THUMB = "\N{THUMBS UP SIGN}"  # two code units


def utf16(text: str) -> bytes:
    return text.encode("utf-16-le")


def cut(text: str, entity: Any) -> str:
    """The part of a text that a span names."""
    return utf16(text)[2 * entity.offset : 2 * (entity.offset + entity.length)].decode("utf-16-le")


@given(text=st.text(max_size=8), offset=st.integers(-2, 18), length=st.integers(-1, 18))
def test_a_span_is_taken_exactly_if_it_names_whole_characters(text: str, offset: int, length: int) -> None:
    bold = types.MessageEntityBold(offset, length)
    try:
        inside = offset >= 0 and length > 0 and offset + length <= len(utf16(text)) // 2
        whole = inside and cut(text, bold) in text
    except UnicodeDecodeError:
        whole = False
    if whole:
        assert checked_entities(text, [bold]) == (bold,)
    else:
        with pytest.raises(RequestRefused, match="ENTITY_BOUNDS_INVALID"):
            checked_entities(text, [bold])


def test_a_hundred_spans_are_enough() -> None:
    spans = [types.MessageEntityBold(0, 1)] * 101
    assert len(checked_entities("x", spans[1:])) == 100
    with pytest.raises(RequestRefused, match="ENTITIES_TOO_LONG"):
        checked_entities("x", spans)


def test_the_server_finds_addresses_names_and_hashtags() -> None:
    text = f"{THUMB} see https://example.org/a?b=1, ask @user1001 or a@b about #café; not #1 or x#y"
    code = types.MessageEntityCode(utf16_length(text[: text.index("#café")]), 5)
    found = with_found(text, ())
    assert [(type(each).__name__, cut(text, each)) for each in found] == [
        ("MessageEntityUrl", "https://example.org/a?b=1"),
        ("MessageEntityMention", "@user1001"),
        ("MessageEntityHashtag", "#café"),
    ]
    assert [type(each).__name__ for each in with_found(text, (code,))] == [
        "MessageEntityUrl",
        "MessageEntityMention",
        "MessageEntityCode",
    ]


@pytest.mark.parametrize(
    "entity",
    [
        types.MessageEntityBold(1, 2),
        types.MessageEntityTextUrl(0, 3, "https://example.org"),
        types.MessageEntityPre(0, 3, "python"),
        types.MessageEntityMentionName(0, 3, 1001),
        types.MessageEntityCustomEmoji(0, 2, 7),
        types.MessageEntitySpoiler(0, 1),
    ],
)
def test_a_span_without_telegrams_types_is_the_same_span(entity: Any) -> None:
    assert entity_of(shown(entity)) == entity


async def test_texts_are_as_long_as_the_switch_says_counted_in_utf_16(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    sandbox.behave(message_length_max=10)
    async with open_mini(sandbox, alice.session) as client:
        to = await peer(client, bob)
        await client.ask(send(to, THUMB * 5, 1))
        for text in (THUMB * 5 + "x", "x" * 11):
            with pytest.raises(RpcFailure, match="MESSAGE_TOO_LONG"):
                await client.ask(send(to, text, 2))
        with pytest.raises(RpcFailure, match="MESSAGE_EMPTY"):
            await client.ask(send(to, " \n", 3))
        assert (await client.ask(functions.help.GetConfigRequest())).message_length_max == 10
    with pytest.raises(SandboxError, match="MESSAGE_TOO_LONG"):
        sandbox.send_text(alice.id, bob.id, "x" * 11)


async def test_formatting_comes_back_in_answers_updates_history_and_ledger(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    text, spans = f"{THUMB} bold and #tag", [types.MessageEntityBold(3, 4)]
    sandbox.behave(finds_links=True)
    async with open_mini(sandbox, alice.session) as client, open_mini(sandbox, bob.session) as other:
        to = await peer(client, bob)
        answer = await client.ask(send(to, text, 1, entities=spans))
        both = [*spans, types.MessageEntityHashtag(12, 4)]
        assert answer.entities == both
        assert (await other.hear(types.UpdateNewMessage)).message.entities == both
        history = functions.messages.GetHistoryRequest(to, 0, None, 0, 1, 0, 0, 0)
        assert (await client.ask(history)).messages[0].entities == both
        difference = await other.ask(functions.updates.GetDifferenceRequest(1, None, 0))
        assert difference.new_messages[0].entities == both
        with pytest.raises(RpcFailure, match="ENTITY_BOUNDS_INVALID"):
            await client.ask(send(to, text, 2, entities=[types.MessageEntityBold(1, 4)]))
    (line,) = sandbox.chat(bob.id, alice.id)
    assert line.entities == (Formatting("bold", 3, 4), Formatting("hashtag", 12, 4))


async def test_formatted_texts_are_sent_without_a_client(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    link = Formatting("textUrl", 0, 4, "https://example.org")
    sandbox.send_text(alice.id, bob.id, "link", [link])
    assert sandbox.chat(bob.id, alice.id)[0].entities == (link,)
    for span, error in (
        (Formatting("huge", 0, 1), "no formatting huge"),
        (Formatting("bold", 0, 5), "ENTITY_BOUNDS_INVALID"),
        (Formatting("customEmoji", 0, 1, "x"), "invalid literal"),
    ):
        with pytest.raises(SandboxError, match=error):
            sandbox.send_text(alice.id, bob.id, "link", [span])


async def test_the_app_config_tells_what_captions_may_hold_once(sandbox: Sandbox) -> None:
    sandbox.behave(caption_length_limit_default=200)
    async with open_mini(sandbox, sandbox.add_user(premium=True).session) as client:
        config = await client.ask(functions.help.GetAppConfigRequest(0))
        said = {each.key: each.value.value for each in config.config.value}
        assert said == {"caption_length_limit_default": 200, "caption_length_limit_premium": 4096}
        again = await client.ask(functions.help.GetAppConfigRequest(config.hash))
        assert type(again) is types.help.AppConfigNotModified
        (me,) = await client.ask(functions.users.GetUsersRequest([types.InputUserSelf()]))
        assert me.premium
