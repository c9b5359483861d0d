"""Forwarding messages from one chat to another.

Source: https://core.telegram.org/method/messages.forwardMessages
"""

from dataclasses import replace

from tgworker.sandbox.accounts import Account, Line
from tgworker.sandbox.channel_post import publish
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.forwards import Forward
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.post import deliver
from tgworker.sandbox.room import Room


def check_may_forward(room: Room) -> None:
    """Make sure that messages may leave a chat. Raises RequestRefused."""
    if not isinstance(room, Account) and room.noforwards:
        raise RequestRefused(400, "CHAT_FORWARDS_RESTRICTED")


def forward(
    cloud: Cloud,
    sender: Account,
    source: Room,
    letter: Letter,
    to: Room,
    *,
    drop_author: bool = False,
    group: int | None = None,
    random_id: int | None = None,
    via: Line | None = None,
) -> Letter:
    """Send a message of one chat to another.

    Args:
        cloud: The sandbox.
        sender: Who does it.
        source: Where the message is.
        letter: The message, as he holds it.
        to: Where it goes; he may write there.
        drop_author: Whether it goes as one of his own.
        group: The album that it is to stand in.
        random_id: His name for it; it must be new.
        via: The connection that it came from, which is answered instead of told.

    Returns:
        His copy of what was sent.
    """
    origin = None if drop_author else _origin(source, letter)
    if origin is not None and to is sender:
        origin = replace(origin, saved_from=(source.peer, letter.id))
    if isinstance(to, Channel):
        return publish(
            cloud,
            sender,
            to,
            letter.text,
            entities=letter.entities,
            media=letter.media,
            group=group,
            forward=origin,
            random_id=random_id,
            via=via,
        )
    return deliver(
        cloud,
        sender,
        to,
        letter.text,
        entities=letter.entities,
        media=letter.media,
        group=group,
        forward=origin,
        random_id=random_id,
        via=via,
    )


def _origin(source: Room, letter: Letter) -> Forward:
    """What stands above a message once it is forwarded: what stood above it before, or whose it is."""
    if letter.forward is not None:
        return replace(letter.forward, saved_from=None)
    if isinstance(source, Channel) and not source.megagroup:
        return Forward(source.peer, letter.date, letter.id)
    return Forward(letter.author_id, letter.date)
