"""The part of the control connection's language that is about what users do with messages that are there."""

from typing import TYPE_CHECKING, Any, assert_never

from tgworker.sandbox.control_command import Command

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


ActCommand = SendReaction


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
        case _:
            assert_never(command)
