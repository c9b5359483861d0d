"""What the sandbox holds, as TL objects: users and messages as an account sees them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from telethon.tl import types

from tgworker.sandbox.accounts import Account, Directory
from tgworker.sandbox.bots import BOT_INFO_VERSION
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.peers import peer_view, unmarked
from tgworker.sandbox.update_log import Entry


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
    """A user as another sees him.

    Most of what a sandbox says is who is talking: without its memory that is a quarter of its work.
    """
    directory.lapse(account)
    body = directory.looks.get(viewer.id, account.id)
    if body is None:
        body = bytes(_user(directory, viewer, account))
        directory.looks.keep(viewer.id, account.id, body)
    return Serialised(body)


def min_user_view(directory: Directory, viewer: Account, account: Account) -> Any:
    """A stranger whose message came in a chat of many: the access hash in it is of no use to address him.

    Source: https://core.telegram.org/api/min
    """
    useless = directory.access_hash(viewer, account.id) ^ 2
    return types.User(
        id=account.id,
        min=True,
        access_hash=useless,
        first_name=account.first_name,
        last_name=account.last_name or None,
        username=account.username or None,
        status=None if account.bot else types.UserStatusRecently(),
        photo=user_photo(account),
        premium=account.premium or None,
        **_as_bot(account),
    )


def user_photo(account: Account) -> Any:
    """What a user looks like; ``None``: nobody knows."""
    return None if account.photo is None else types.UserProfilePhoto(account.photo.id, account.photo.dc_id)


def _user(directory: Directory, viewer: Account, account: Account) -> Any:
    myself = viewer is account
    has = directory.contacts.has(viewer.id, account.id)
    mutual = has and directory.contacts.has(account.id, viewer.id)
    return types.User(
        id=account.id,
        is_self=myself or None,
        contact=has or None,
        mutual_contact=mutual or None,
        access_hash=directory.access_hash(viewer, account.id),
        first_name=account.first_name,
        last_name=account.last_name or None,
        username=account.username or None,
        phone=(account.phone or None) if myself or has else None,
        status=None if account.bot else status_view(account),
        photo=user_photo(account),
        premium=account.premium or None,
        **_as_bot(account),
    )


def _as_bot(account: Account) -> dict[str, Any]:
    """What is said of bots alone. Those of the sandbox hear all that is said in groups (privacy mode off)."""
    if account.bot is None:
        return {}
    return {"bot": True, "bot_chat_history": True, "bot_info_version": BOT_INFO_VERSION}


def status_view(account: Account) -> Any:
    """Whether a user is there, or when he was."""
    if account.online_until is not None:
        return types.UserStatusOnline(account.online_until)
    if account.was_online is not None:
        return types.UserStatusOffline(account.was_online)
    return types.UserStatusRecently()


def user_views(directory: Directory, viewer: Account, ids: Iterable[int]) -> list[Any]:
    """Some users as another sees them, each once."""
    return [user_view(directory, viewer, directory.get(each)) for each in sorted(set(ids))]


def message_view(viewer: Account, letter: Letter, *, post: bool = False) -> Any:
    """A message as somebody who holds it sees it.

    In private chats Telegram leaves out who wrote an incoming message: it can only be the other side.

    Args:
        viewer: Who sees it.
        letter: The message.
        post: Whether it stands in a channel, in whose name it speaks.
    """
    own = letter.author_id == viewer.id
    named = not post and (own or unmarked(letter.peer_id).kind != "user")
    common: dict[str, Any] = {
        "id": letter.id,
        "peer_id": peer_view(letter.peer_id),
        "date": letter.date,
        "out": own or None,
        "post": post or None,
        "silent": letter.silent or None,
        "reply_to": None
        if letter.reply_to is None
        else types.MessageReplyHeader(reply_to_msg_id=letter.reply_to),
        "from_id": types.PeerUser(letter.author_id) if named else None,
    }
    if letter.action is not None:
        return types.MessageService(**common, action=letter.action)
    return types.Message(
        **common,
        message=letter.text,
        pinned=letter.pinned or None,
        fwd_from=None if letter.forward is None else letter.forward.view(),
        entities=list(letter.entities) or None,
        edit_date=letter.edited or letter.touched,
        edit_hide=(letter.touched is not None and letter.edited is None) or None,
        media=None if letter.media is None else letter.media.view(),
        grouped_id=letter.group,
        reactions=None if letter.reactions is None else letter.reactions.view(viewer.id, listed=not post),
    )


def short_message_view(viewer: Account, letter: Letter, entry: Entry) -> Any:
    """A new message of a mailbox in its shortest form; service messages have none."""
    kind, number = unmarked(letter.peer_id)
    common: dict[str, Any] = {
        "id": letter.id,
        "message": letter.text,
        "pts": entry.pts,
        "pts_count": entry.pts_count,
        "date": letter.date,
        "out": letter.author_id == viewer.id or None,
        "entities": list(letter.entities) or None,
    }
    if kind == "group":
        return types.UpdateShortChatMessage(**common, from_id=letter.author_id, chat_id=number)
    return types.UpdateShortMessage(**common, user_id=number)
