"""What the sandbox holds, as TL objects: each account sees it from its own side."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, assert_never

from telethon.tl import types

from tgworker.sandbox.accounts import Account, Directory
from tgworker.sandbox.mailbox import Chat, Letter
from tgworker.sandbox.update_log import (
    DeletedMessages,
    EditedMessage,
    Entry,
    NewMessage,
    NumberedMessage,
    ReadInbox,
    ReadOutbox,
)

LOOKS_KEPT = 20_000
"""How many looks of users are remembered; a look is some 100 bytes."""


@dataclass(frozen=True, slots=True)
class Serialised:
    """A TL object that never changes, as the bytes that it becomes.

    Attributes:
        body: The bytes.
    """

    body: bytes

    def _bytes(self) -> bytes:
        """What Telethon's serialiser asks for."""
        return self.body

    __bytes__ = _bytes


def user_view(directory: Directory, viewer: Account, account: Account) -> Any:
    """A user as another sees him. All users of a sandbox are in each other's contacts.

    Most of what a sandbox says is who is talking: without its memory that is a quarter of its work.
    """
    body = directory.looks.get((viewer.id, account.id))
    if body is None:
        if len(directory.looks) >= LOOKS_KEPT:
            directory.looks.clear()
        body = directory.looks[viewer.id, account.id] = bytes(_user(directory, viewer, account))
    return Serialised(body)


def _user(directory: Directory, viewer: Account, account: Account) -> Any:
    myself = viewer is account
    return types.User(
        id=account.id,
        is_self=myself or None,
        contact=not myself or None,
        mutual_contact=not myself or None,
        access_hash=directory.access_hash(viewer, account),
        first_name=account.first_name,
        username=account.username,
        phone=account.phone,
        status=types.UserStatusRecently(),
    )


def user_views(directory: Directory, viewer: Account, ids: Iterable[int]) -> list[Any]:
    """Some users as another sees them, each once."""
    return [user_view(directory, viewer, directory.get(each)) for each in sorted(set(ids))]


def message_view(owner: Account, letter: Letter) -> Any:
    """A message as its mailbox's owner sees it.

    In private chats Telegram leaves out who wrote an incoming message: it can only be the other side.
    """
    return types.Message(
        id=letter.id,
        peer_id=types.PeerUser(letter.peer_id),
        date=letter.date,
        message=letter.text,
        out=letter.outgoing or None,
        from_id=types.PeerUser(owner.id) if letter.outgoing else None,
        entities=list(letter.entities) or None,
        edit_date=letter.edited,
    )


def short_message_view(letter: Letter, entry: Entry) -> Any:
    """A new message in its shortest form."""
    return types.UpdateShortMessage(
        id=letter.id,
        user_id=letter.peer_id,
        message=letter.text,
        pts=entry.pts,
        pts_count=entry.pts_count,
        date=letter.date,
        out=letter.outgoing or None,
        entities=list(letter.entities) or None,
    )


def update_view(owner: Account, entry: Entry) -> Any:
    """A line of the log as an update; ``None`` if the message that it is about is gone."""
    event = entry.event
    match event:
        case NewMessage() | EditedMessage():
            letter = owner.mailbox.letters.get(event.message_id)
            if letter is None:
                return None
            kind = types.UpdateNewMessage if isinstance(event, NewMessage) else types.UpdateEditMessage
            return kind(message_view(owner, letter), entry.pts, entry.pts_count)
        case NumberedMessage():
            return types.UpdateMessageID(event.message_id, event.random_id)
        case DeletedMessages():
            return types.UpdateDeleteMessages(list(event.message_ids), entry.pts, entry.pts_count)
        case ReadInbox():
            return types.UpdateReadHistoryInbox(
                peer=types.PeerUser(event.peer_id),
                max_id=event.max_id,
                still_unread_count=event.still_unread,
                pts=entry.pts,
                pts_count=entry.pts_count,
            )
        case ReadOutbox():
            return types.UpdateReadHistoryOutbox(
                types.PeerUser(event.peer_id), event.max_id, entry.pts, entry.pts_count
            )
        case _:
            assert_never(event)


def dialog_view(peer_id: int, chat: Chat) -> Any:
    """A chat in the list of chats."""
    return types.Dialog(
        peer=types.PeerUser(peer_id),
        top_message=chat.ids[-1],
        read_inbox_max_id=chat.read_inbox_max_id,
        read_outbox_max_id=chat.read_outbox_max_id,
        unread_count=len(chat.unread),
        unread_mentions_count=0,
        unread_reactions_count=0,
        unread_poll_votes_count=0,
        notify_settings=types.PeerNotifySettings(),
    )
