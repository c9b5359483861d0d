"""What users do without a client, as if on a telephone of theirs: clients hear of it as of another device."""

from collections.abc import Iterable

from tgworker.sandbox import post
from tgworker.sandbox.accounts import Account
from tgworker.sandbox.addressing import check_may_write, history_of
from tgworker.sandbox.channel_post import delete_posts, edit_post, publish, read_channel
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import RequestRefused, SandboxError
from tgworker.sandbox.formatting import Formatting, entity_of
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.room import Room
from tgworker.sandbox.values import SentText


def send_text(
    cloud: Cloud, sender: Account, room: Room, text: str, entities: Iterable[Formatting]
) -> SentText:
    """Send a text. Raises SandboxError if it cannot be sent; nobody is too fast here."""
    content = _content(cloud, text, entities)
    try:
        check_may_write(sender, room)
    except RequestRefused as refusal:
        raise SandboxError(f"this text cannot be sent: {refusal.message}") from None
    if isinstance(room, Channel):
        number = publish(cloud, sender, room, content.text, entities=content.entities).id
        return SentText(number, number)
    letter = post.deliver(cloud, sender, room, content.text, entities=content.entities)
    theirs = letter.copies.get(room.id, 0) if isinstance(room, Account) else 0
    return SentText(letter.id, theirs)


def edit_text(
    cloud: Cloud, editor: Account, room: Room, message_id: int, text: str, entities: Iterable[Formatting]
) -> None:
    """Give a message another text. Raises SandboxError if it is not there, or another's."""
    letter, content = _letter(editor, room, message_id), _content(cloud, text, entities)
    if letter.author_id != editor.id:
        raise SandboxError(f"message {message_id} is another's")
    if isinstance(room, Channel):
        edit_post(cloud, room, letter, content.text, content.entities)
    else:
        post.edit(cloud, editor, letter, content.text, content.entities)


def delete_messages(cloud: Cloud, user: Account, room: Room, ids: Iterable[int], *, revoke: bool) -> int:
    """Delete messages of one chat; returns how many were there."""
    here = [each for each in dict.fromkeys(ids) if _is_in(user, room, each)]
    if isinstance(room, Channel):
        delete_posts(cloud, room, here)
    else:
        post.delete(cloud, user, here, revoke=revoke)
    return len(here)


def read_chat(cloud: Cloud, reader: Account, room: Room, max_id: int) -> bool:
    """Mark a chat as read up to a message (0: all); returns whether anything was unread."""
    if not isinstance(room, Channel):
        return post.read(cloud, reader, room, max_id) is not None
    if reader.id not in room.members:
        raise SandboxError(f"user {reader.id} is not in {room.peer}")
    return read_channel(cloud, reader, room, max_id)


def _content(cloud: Cloud, text: str, entities: Iterable[Formatting]) -> post.Content:
    try:
        text.encode()
        return post.checked_content(cloud, text, [entity_of(each) for each in entities])
    except RequestRefused as refusal:
        raise SandboxError(f"this text cannot be sent: {refusal.message}") from None
    except UnicodeEncodeError:
        raise SandboxError("this text cannot be sent: half a surrogate pair is no character") from None
    except ValueError as error:
        raise SandboxError(f"this text cannot be sent: {error}") from None


def _is_in(user: Account, room: Room, message_id: int) -> bool:
    letter = history_of(user, room).letters.get(message_id)
    return letter is not None and letter.peer_id == room.peer


def _letter(user: Account, room: Room, message_id: int) -> Letter:
    if not _is_in(user, room, message_id):
        raise SandboxError(f"user {user.id} has no message {message_id} in the chat with {room.peer}")
    return history_of(user, room).letters[message_id]
