"""One step of Telegram's update log as a value."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from telethon.tl import types

from tgworker.messaging.models import ChatMessage, Peer, Position, latest_peers
from tgworker.messaging.update_batches import UpdateBatch
from tgworker.telegram.changes import changes_of, reactions_in
from tgworker.telegram.messages import message_of, short_message_of
from tgworker.telegram.peers import told_of

if TYPE_CHECKING:
    from tgworker.messaging.changes import Change


def position_of(session_state: tuple[dict[str, Any], dict[int, int]]) -> Position:
    """What Telethon's message box calls its session state, as a position."""
    account, channels = session_state
    return Position(
        pts=account["pts"],
        qts=account["qts"],
        date=int(account["date"].timestamp()),
        seq=account["seq"],
        channels=dict(channels),
    )


def date_of(position: Position) -> datetime:
    """The position's date as Telethon's requests want it."""
    return datetime.fromtimestamp(position.date, UTC)


def batch_of(
    updates: Sequence[Any],
    users: Sequence[Any],
    chats: Sequence[Any],
    *,
    position: Position,
    self_id: int,
    more_peers: Iterable[Peer] = (),
) -> UpdateBatch:
    """Translate one batch of Telethon's. Updates that say nothing of messages only move the position.

    Args:
        updates: Updates, in order.
        users: The users they speak of.
        chats: The chats they speak of.
        position: Where the log stands after them.
        self_id: The account's own user id.
        more_peers: Peers found out otherwise.
    """
    messages: list[ChatMessage] = []
    sent_ids: list[tuple[int, int]] = []
    changes: list[Change] = []
    for update in updates:
        match update:
            case types.UpdateNewMessage() | types.UpdateNewChannelMessage():
                message = message_of(update.message, self_id)
                if message is not None:
                    messages.append(message)
                    changes.extend(reactions_in(update.message, message))
            case types.UpdateShortMessage() | types.UpdateShortChatMessage():
                messages.append(short_message_of(update, self_id))
            case types.UpdateMessageID():
                sent_ids.append((update.random_id, update.id))
            case _:
                changes.extend(changes_of(update, self_id))
    peers = latest_peers((*more_peers, *told_of(users), *told_of(chats)))
    return UpdateBatch(tuple(messages), peers, tuple(sent_ids), position, changes=tuple(changes))


def spoken_of(updates: Sequence[Any]) -> set[int]:
    """Ids of users whom short updates speak of: those bring no users with them.

    Where one of them is unknown, https://core.telegram.org/api/updates says to ask for the difference.
    """
    found: set[int] = set()
    for update in updates:
        match update:
            case types.UpdateShortMessage():
                found.add(int(update.user_id))
            case types.UpdateShortChatMessage():
                found.add(int(update.from_id))
            case _:
                pass
    return found
