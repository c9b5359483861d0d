"""The part of the control connection's language that is about what users do without a client."""

from typing import TYPE_CHECKING, Any, assert_never

from tgworker.sandbox.control_command import Command
from tgworker.sandbox.formatting import Formatting

if TYPE_CHECKING:
    from tgworker.sandbox.sandbox import Sandbox


class SendText(Command, tag="send_text"):
    """Send a text as a user; ``recipient`` may be the marked id of a group or channel.

    Formatting is ``[{"kind": "bold", "offset": 0, "length": 4}, …]``, counted in UTF-16 code units.

    Result: ``{"sender_message_id", "recipient_message_id"}``.
    """

    sender: int
    recipient: int
    text: str
    entities: tuple[Formatting, ...] = ()


class EditText(Command, tag="edit_text"):
    """Give a message of ``user`` in the chat with ``peer`` another text. Result: ``{}``."""

    user: int
    peer: int
    message: int
    text: str
    entities: tuple[Formatting, ...] = ()


class DeleteMessages(Command, tag="delete_messages"):
    """Delete messages from the chat with ``peer`` as ``user`` does. Result: ``{"deleted": how many}``.

    Attributes:
        user: Who.
        peer: Where.
        ids: Which, by his numbers.
        revoke: Whether for all who have them; in a channel that is always so.
    """

    user: int
    peer: int
    ids: tuple[int, ...]
    revoke: bool = True


class MarkRead(Command, tag="read_chat"):
    """Mark the chat with ``peer`` as read, up to ``max_id`` (0: all). Result: ``{"news": was any new}``."""

    user: int
    peer: int
    max_id: int = 0


PhoneCommand = SendText | EditText | DeleteMessages | MarkRead


def obey_phone_command(sandbox: "Sandbox", command: PhoneCommand) -> Any:
    """Carry out a command about what a user does.

    Raises:
        SandboxError: It cannot be carried out; the text says why.
    """
    match command:
        case SendText():
            return sandbox.send_text(command.sender, command.recipient, command.text, command.entities)
        case EditText():
            sandbox.edit_text(command.user, command.peer, command.message, command.text, command.entities)
            return {}
        case DeleteMessages():
            ids, revoke = command.ids, command.revoke
            return {"deleted": sandbox.delete_messages(command.user, command.peer, ids, revoke=revoke)}
        case MarkRead():
            return {"news": sandbox.read_chat(command.user, command.peer, command.max_id)}
        case _:
            assert_never(command)
