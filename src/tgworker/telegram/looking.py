"""A look into a chat's history: whether a message stands there of which nobody knows whether it was sent."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from telethon.tl import types

from tgworker.messaging.media import FileFacts, FileKind
from tgworker.messaging.media_ports import MediaMessage
from tgworker.messaging.models import Copy, Look, Peer
from tgworker.messaging.outcomes import Deferred, HoldsUp, Refused
from tgworker.telegram.client import AccountClient
from tgworker.telegram.file_facts import facts_of
from tgworker.telegram.history import raw_page_aio
from tgworker.telegram.messages import utc

PAGE = 100
"""Messages in one answer: Telegram gives no more."""

PAGES = 10
"""How far back a look goes. In a chat in which more has happened since, nothing is certain."""

_DETECTED = (
    types.MessageEntityUrl,
    types.MessageEntityEmail,
    types.MessageEntityMention,
    types.MessageEntityHashtag,
    types.MessageEntityCashtag,
    types.MessageEntityBotCommand,
    types.MessageEntityPhone,
    types.MessageEntityBankCard,
    types.MessageEntityUnknown,
)
"""What the server adds by itself where a text looks like it: it says nothing about who wrote the text."""

Formatting = frozenset[tuple[str, int, int, object]]
"""Kind, offset, length, argument."""


async def look_aio(
    client: AccountClient, peer: Peer, text: str, entities: Sequence[Any], above: int
) -> Look | Deferred | Refused:
    """Read a history from its newest message down to ``above``. See `tgworker.messaging.ports.Connection`.

    Args:
        client: A connected client.
        peer: The chat.
        text: As it was sent.
        entities: Its formatting, as it was sent, as Telegram's objects.
        above: The newest message that is certainly another one.

    Raises:
        LineLost: The line broke.
        RPCError: The account itself was refused.
    """
    wanted = comparable(text, entities)
    copies: list[Copy] = []
    below = 0
    for _ in range(PAGES):
        answer = await _page_aio(client, peer, below)
        if isinstance(answer, Deferred | Refused):
            return answer
        messages: list[Any] = list(getattr(answer, "messages", ()))
        copies += [
            Copy(each.id, utc(each.date))
            for each in messages
            if each.id > above and _is_own(each) and comparable(each.message, each.entities or ()) == wanted
        ]
        if not messages or min(each.id for each in messages) <= above:
            return Look(tuple(copies), whole=True)
        below = min(each.id for each in messages)
    return Look(tuple(copies), whole=False)


async def _page_aio(client: AccountClient, peer: Peer, below: int) -> Any:
    """A page. A wait holds up nothing else: to a sender it is an outcome, but of no send."""
    said = await raw_page_aio(client, peer, below, PAGE)
    return replace(said, holds_up=HoldsUp.ROW) if isinstance(said, Deferred) else said


async def look_for_media_aio(
    client: AccountClient,
    peer: Peer,
    messages: Sequence[MediaMessage],
    entities: Sequence[Sequence[Any]],
    above: int,
) -> Look | Deferred | Refused:
    """The same for messages with files: one, or an album, which is found as a whole or not at all.

    Args:
        client: A connected client.
        peer: The chat.
        messages: As they were sent.
        entities: The formatting of each caption, as Telegram's objects.
        above: The newest message that is certainly another one.

    Raises:
        LineLost: The line broke.
        RPCError: The account itself was refused.
    """
    wanted = [
        (each.facts, comparable(each.caption.text, its)) for each, its in zip(messages, entities, strict=True)
    ]
    own: list[Any] = []
    below = 0
    for _ in range(PAGES):
        answer = await _page_aio(client, peer, below)
        if isinstance(answer, Deferred | Refused):
            return answer
        found: list[Any] = list(getattr(answer, "messages", ()))
        own += [each for each in found if each.id > above and _is_own_file(each)]
        if not found or min(each.id for each in found) <= above:
            return Look(_albums(own, wanted, messages), whole=True)
        below = min(each.id for each in found)
    return Look(_albums(own, wanted, messages), whole=False)


def _albums(
    own: Sequence[Any], wanted: Sequence[tuple[FileFacts, object]], messages: Sequence[MediaMessage]
) -> tuple[Copy, ...]:
    """Those of one's own messages, newest first, that are what was sent, each album by its first."""
    groups: dict[object, list[Any]] = {}
    for each in reversed(own):
        groups.setdefault(each.grouped_id or ("alone", each.id), []).append(each)
    copies = [
        Copy(
            group[0].id,
            utc(group[0].date),
            tuple((its.random_id, each.id) for its, each in zip(messages[1:], group[1:], strict=True)),
        )
        for group in groups.values()
        if len(group) == len(wanted) and all(map(_is_like, group, wanted))
    ]
    return tuple(reversed(copies))


def _is_like(message: Any, wanted: tuple[FileFacts, object]) -> bool:
    facts, caption = wanted
    there = facts_of(message.media)
    return (
        there is not None
        and there.kind is facts.kind
        and (facts.kind is FileKind.PHOTO or there.size == facts.size)
        and comparable(message.message or "", message.entities or ()) == caption
    )


def comparable(text: str, entities: Iterable[Any]) -> tuple[str, Formatting]:
    """A text and its formatting as the server keeps them, without the space around it and what it adds."""
    kept = text.strip()
    begin = len(text) - len(text.lstrip())  # spaces are one code unit each
    end = begin + len(kept.encode("utf-16-le", "surrogatepass")) // 2
    found: set[tuple[str, int, int, object]] = set()
    for entity in entities:
        first, last = max(begin, entity.offset), min(end, entity.offset + entity.length)
        if not isinstance(entity, _DETECTED) and first < last:
            kind, argument = _kind(entity)
            found.add((kind, first - begin, last - first, argument))
    return kept, frozenset(found)


def _kind(entity: Any) -> tuple[str, object]:
    """What an entity is, and what belongs to it, whether it goes to Telegram or comes from there."""
    match entity:
        case types.InputMessageEntityMentionName():
            return "MentionName", getattr(entity.user_id, "user_id", None)
        case types.MessageEntityMentionName():
            return "MentionName", entity.user_id
        case types.MessageEntityTextUrl():
            # The server completes addresses.
            return "TextUrl", entity.url.rpartition("://")[2].rstrip("/").casefold()
        case types.MessageEntityPre():
            return "Pre", entity.language
        case types.MessageEntityCustomEmoji():
            return "CustomEmoji", entity.document_id
        case types.MessageEntityBlockquote():
            return "Blockquote", bool(entity.collapsed)
        case _:
            return type(entity).__name__.removeprefix("MessageEntity"), None


def _is_own_file(message: Any) -> bool:
    return (
        isinstance(message, types.Message)
        and bool(message.out)
        and message.fwd_from is None
        and facts_of(message.media) is not None
    )


def _is_own(message: Any) -> bool:
    """Whether the account itself wrote it, here or elsewhere, as a text and not as somebody else's words."""
    return (
        isinstance(message, types.Message)
        and bool(message.out)
        and message.fwd_from is None
        and (message.media is None or isinstance(message.media, types.MessageMediaWebPage))
    )
