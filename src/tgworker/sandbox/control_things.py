"""The part of the control connection's language that is about what has no file: contacts, places, polls."""

from typing import TYPE_CHECKING, Annotated, Any, assert_never

import msgspec
from telethon.tl import types

from tgworker.sandbox.control_command import Command

if TYPE_CHECKING:
    from tgworker.sandbox.sandbox import Sandbox

Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]
Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]
Question = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
Option = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Options = Annotated[tuple[Option, ...], msgspec.Meta(min_length=2, max_length=12)]
"""All as https://core.telegram.org/bots/api#sendpoll has them."""


class Thing(msgspec.Struct, tag_field="kind", forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What a message carries that is no file."""


class Contact(Thing, tag="contact", frozen=True):
    """Somebody's card.

    Attributes:
        phone: His number.
        first_name: Of his names.
        last_name: Of his names.
        vcard: What else is on it, as a vCard.
        user: His id; 0: he is not said to be on Telegram.
    """

    phone: str
    first_name: str
    last_name: str = ""
    vcard: str = ""
    user: int = 0


class Place(Thing, tag="place", frozen=True):
    """A point on Earth, in degrees."""

    latitude: Latitude
    longitude: Longitude


class Venue(Thing, tag="venue", frozen=True):
    """A point on Earth, in degrees, with what is there."""

    latitude: Latitude
    longitude: Longitude
    title: str
    address: str


class Poll(Thing, tag="poll", frozen=True):
    """A question with its answers.

    Attributes:
        question: It.
        answers: From which one may choose.
        quiz: Whether one of them is right.
        multiple: Whether one may choose several.
    """

    question: Question
    answers: Options
    quiz: bool = False
    multiple: bool = False


AnyThing = Contact | Place | Venue | Poll


class SendOther(Command, tag="send_other"):
    """Send a contact, place, venue or poll as a user. Result: as of ``send_text``."""

    sender: int
    recipient: int
    what: AnyThing


def obey_thing_command(sandbox: "Sandbox", command: SendOther) -> Any:
    """Send a thing.

    Raises:
        SandboxError: It cannot be sent; the text says why.
    """
    if isinstance(command.what, Contact) and command.what.user:
        sandbox.check_users(command.what.user)
    media = _media(command.what, sandbox.files.new_id())
    return sandbox.files.send_other(command.sender, command.recipient, media)


def _media(what: AnyThing, poll_id: int) -> Any:
    """A thing in Telegram's types."""
    match what:
        case Contact():
            return types.MessageMediaContact(
                what.phone, what.first_name, what.last_name, what.vcard, what.user
            )
        case Place():
            return types.MessageMediaGeo(types.GeoPoint(what.longitude, what.latitude, 0))
        case Venue():
            point = types.GeoPoint(what.longitude, what.latitude, 0)
            return types.MessageMediaVenue(point, what.title, what.address, "", "", "")
        case Poll():
            poll = types.Poll(
                id=poll_id,
                question=types.TextWithEntities(what.question, []),
                answers=[
                    types.PollAnswer(types.TextWithEntities(answer, []), bytes([number]))
                    for number, answer in enumerate(what.answers)
                ],
                hash=0,
                quiz=what.quiz or None,
                multiple_choice=what.multiple or None,
            )
            return types.MessageMediaPoll(poll, types.PollResults(total_voters=0))
        case _:
            assert_never(what)
