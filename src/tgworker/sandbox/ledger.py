"""What the sandbox holds, without Telegram's types: for comparing it with what a client says."""

from bisect import bisect_right
from itertools import islice

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.addressing import history_of
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.formatting import shown
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.room import Room
from tgworker.sandbox.values import ChatLine, ChatSummary


def chat_lines(account: Account, room: Room, *, after: int, limit: int | None) -> tuple[ChatLine, ...]:
    """The texts of a chat as an account holds or sees them, oldest first.

    Args:
        account: Whose side.
        room: The chat.
        after: Only messages with a higher id.
        limit: How many at most; ``None``: all.
    """
    history = history_of(account, room)
    letters = (history.letters[each] for each in history.ids[bisect_right(history.ids, after) :])
    texts = islice((each for each in letters if each.action is None), limit)
    return tuple(_line(account, each) for each in texts)


def chat_summaries(cloud: Cloud, account: Account) -> tuple[ChatSummary, ...]:
    """The chats of an account that hold messages, by their marked ids."""
    held = [
        ChatSummary(peer_id, len(chat.ids), len(chat.unread), chat.ids[-1])
        for peer_id, chat in account.mailbox.chats.items()
        if chat.ids
    ]
    held += [
        ChatSummary(channel.peer, len(channel.ids), channel.unread(account.id), channel.ids[-1])
        for channel in cloud.channels.of_user(account.id)
        if channel.ids
    ]
    return tuple(sorted(held, key=lambda chat: chat.peer))


def _line(account: Account, letter: Letter) -> ChatLine:
    return ChatLine(
        letter.id,
        letter.author_id == account.id,
        letter.text,
        letter.date,
        letter.author_id,
        tuple(map(shown, letter.entities)),
        () if letter.reactions is None else letter.reactions.chosen(),
        letter.pinned,
        None if letter.forward is None else letter.forward.origin,
    )
