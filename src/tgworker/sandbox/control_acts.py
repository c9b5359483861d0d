"""The part of the control connection's language that is about what users do with messages that are there."""

from typing import TYPE_CHECKING, Any, assert_never

from tgworker.sandbox.control_command import Command
from tgworker.sandbox.phone_acts import Action
from tgworker.sandbox.presence import ONLINE_S

if TYPE_CHECKING:
    from tgworker.sandbox.phone_acts import PhoneActs


class SendReaction(Command, tag="send_reaction"):
    """React to a message as ``user``; without ``reactions`` take it back. Result: ``{}``.

    Attributes:
        user: Who.
        peer: The chat.
        message: The message, by his number.
        reactions: Emoji, and custom ones by their numbers.
        big: Whether it is shown large.
    """

    user: int
    peer: int
    message: int
    reactions: tuple[str | int, ...] = ()
    big: bool = False


class UpdatePinnedMessage(Command, tag="update_pinned_message"):
    """Pin a message as ``user``, or take its pin off. Result: ``{"news": was it otherwise before}``.

    Attributes:
        user: Who.
        peer: The chat.
        message: The message, by his number.
        unpin: Whether its pin is taken off.
        silent: Whether the chat is told without a sound.
        pm_oneside: Whether for himself alone, in a private chat.
    """

    user: int
    peer: int
    message: int
    unpin: bool = False
    silent: bool = False
    pm_oneside: bool = False


class UnpinAllMessages(Command, tag="unpin_all_messages"):
    """Take all pins of a chat off, as ``user`` does. Result: ``{"unpinned": how many}``."""

    user: int
    peer: int


class ForwardMessages(Command, tag="forward_messages"):
    """Forward messages as ``user``. Result: ``{"sent": [as of send_text, …]}``.

    Attributes:
        user: Who.
        from_peer: The chat that they are in.
        ids: They, by his numbers.
        to_peer: The chat that they go to.
        drop_author: Whether they go as his own.
    """

    user: int
    from_peer: int
    ids: tuple[int, ...]
    to_peer: int
    drop_author: bool = False


class UpdateStatus(Command, tag="update_status"):
    """Let ``user`` be online, for so many ``seconds``, or ``offline``. Result: ``{}``."""

    user: int
    offline: bool = False
    seconds: float = ONLINE_S


class SetTyping(Command, tag="set_typing"):
    """Show those in the chat with ``peer`` that ``user`` types, or does something else. Result: ``{}``."""

    user: int
    peer: int
    action: Action = "typing"


class UpdateProfile(Command, tag="update_profile"):
    """Give ``user`` other names; ``null``: it stays. Result: ``{}``."""

    user: int
    first_name: str | None = None
    last_name: str | None = None


class UpdateUsername(Command, tag="update_username"):
    """Give ``user`` another username, or, if it is empty, none. Result: ``{}``."""

    user: int
    username: str


ActCommand = (
    SendReaction
    | UpdatePinnedMessage
    | UnpinAllMessages
    | ForwardMessages
    | UpdateStatus
    | SetTyping
    | UpdateProfile
    | UpdateUsername
)


def obey_act_command(phone: "PhoneActs", command: ActCommand) -> Any:
    """Carry out a command about what a user does.

    Raises:
        SandboxError: It cannot be carried out; the text says why.
    """
    match command:
        case SendReaction():
            phone.send_reaction(
                command.user, command.peer, command.message, *command.reactions, big=command.big
            )
            return {}
        case UpdatePinnedMessage():
            news = phone.update_pinned_message(
                command.user,
                command.peer,
                command.message,
                unpin=command.unpin,
                silent=command.silent,
                pm_oneside=command.pm_oneside,
            )
            return {"news": news}
        case UnpinAllMessages():
            return {"unpinned": phone.unpin_all_messages(command.user, command.peer)}
        case ForwardMessages():
            return {
                "sent": phone.forward_messages(
                    command.user,
                    command.from_peer,
                    command.ids,
                    command.to_peer,
                    drop_author=command.drop_author,
                )
            }
        case UpdateStatus():
            phone.update_status(command.user, offline=command.offline, seconds=command.seconds)
            return {}
        case UpdateProfile():
            phone.update_profile(command.user, first_name=command.first_name, last_name=command.last_name)
            return {}
        case UpdateUsername():
            phone.update_username(command.user, command.username)
            return {}
        case SetTyping():
            phone.set_typing(command.user, command.peer, command.action)
            return {}
        case _:
            assert_never(command)
