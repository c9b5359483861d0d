"""The language of the control connection: one JSON object for each line, in both directions.

A command has a ``cmd``, its arguments, and an ``id`` if the asker wants it back with the answer, which is
``{"ok": true, "result": …}`` or ``{"ok": false, "error": "one line"}``.
"""

from dataclasses import fields
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from tgworker.sandbox.behaviour import Behaviour
from tgworker.sandbox.control_acts import ActCommand
from tgworker.sandbox.control_command import Command
from tgworker.sandbox.control_files import FileCommand
from tgworker.sandbox.control_limits import Limit, SetSlowmode
from tgworker.sandbox.control_login import LoginCommand
from tgworker.sandbox.control_phone import PhoneCommand
from tgworker.sandbox.control_proxies import ProxyCommand
from tgworker.sandbox.control_rooms import RoomCommand
from tgworker.sandbox.control_things import SendOther
from tgworker.sandbox.faults import ANY, Action, ActiveFault, Fault, Heals
from tgworker.sandbox.values import ChatLine, ChatSummary, Revocation

MAX_LINE_BYTES = 64 * 1024
"""Longer commands are refused; the longest text, escaped, takes 48 KiB."""

MAX_PAGE = 500
MAX_PAGE_BYTES = 512 * 1024
"""A page of a chat ends with the message that reaches either."""


class SetFault(Command, tag="set_fault"):
    """Set a fault: the arguments are those of `Fault`. Result: ``{"fault": id}``."""

    action: Action
    method: str = ANY
    user: int | None = None
    peer: int | None = None
    seconds: float = 0
    code: int = 400
    message: str = ""
    count: int | None = None
    after: int = 0
    heals: Heals = "never"

    def fault(self) -> Fault:
        """The fault. Raises ValueError if it makes no sense."""
        return Fault(**{each.name: getattr(self, each.name) for each in fields(Fault)})


class ClearFaults(Command, tag="clear_faults"):
    """Clear one fault, or all. Result: ``{"cleared": how many}``."""

    fault: int | None = None


class ListFaults(Command, tag="list_faults"):
    """Result: ``{"faults": [{"id", "hits", "fault": {…}}, …]}``."""


class ReadChat(Command, tag="chat"):
    """What a user's account holds of a chat.

    Result: ``{"lines": [{"id", "outgoing", "text", "date", "author", "entities"}, …], "more"}``.

    Attributes:
        user: Whose account.
        peer: The chat; the marked id of a group or channel.
        after: Only messages with a higher id: the last one's id gives the next page while ``more`` is true.
        limit: How many at most, up to `MAX_PAGE`.
    """

    user: int
    peer: int
    after: int = 0
    limit: int = MAX_PAGE


class ReadChats(Command, tag="chats"):
    """A user's chats. Result: ``{"chats": [{"peer", "messages", "unread", "last_id"}, …], "more"}``.

    Attributes:
        user: Whose.
        after: Only chats with a higher ``peer``; ``null``: all.
        limit: How many at most, up to `MAX_PAGE`.
    """

    user: int
    after: int | None = None
    limit: int = MAX_PAGE


class AddUser(Command, tag="add_user"):
    """A new user. Result: ``{"id", "phone", "username", "session", "login_code", "password"}``.

    Attributes:
        stranger: Whether he is nobody's contact; others are everybody's.
        premium: Whether he pays.
    """

    stranger: bool = False
    premium: bool = False


class Befriend(Command, tag="befriend"):
    """Let two users have each other among their contacts. Result: ``{}``."""

    user: int
    other: int


class Part(Command, tag="part"):
    """Let two users not have each other among their contacts any more. Result: ``{}``."""

    user: int
    other: int


class Block(Command, tag="block"):
    """Let a user block another, or a bot, or (``blocked`` false) unblock him. Result: ``{}``."""

    user: int
    other: int
    blocked: bool = True


class NewSession(Command, tag="new_session"):
    """Log a user in on another device. Result: ``{"session"}``."""

    user: int


class DropConnections(Command, tag="drop_connections"):
    """Cut the connections of a user, or all. Result: ``{"cut": how many}``."""

    user: int | None = None


class ForgetSessions(Command, tag="forget_sessions"):
    """Forget the MTProto sessions of a user, or all. Result: ``{"forgotten": how many}``."""

    user: int | None = None


class MoveUser(Command, tag="move_user"):
    """Let a user live in another data centre. Result: ``{}``."""

    user: int
    dc: int


class Revoke(Command, tag="revoke"):
    """Kill a user's keys. Result: ``{"revoked": how many}``."""

    user: int
    reason: Revocation = "SESSION_REVOKED"


class Behave(Command, tag="behave"):
    """Turn switches of `Behaviour`; those not named stay. Result: all of them."""

    repeats: Literal["original", "error"] | UnsetType = UNSET
    random_id_window_s: float | UnsetType | None = UNSET
    answers: Literal["short", "full"] | UnsetType = UNSET
    pushes: Literal["full", "short"] | UnsetType = UNSET
    channel_pushes: Literal["full", "too_long"] | UnsetType = UNSET
    imports: Literal["accept", "retry"] | UnsetType = UNSET
    duplicates: Literal["die", "live"] | UnsetType = UNSET
    nearest_dc: int | UnsetType | None = UNSET
    login_code: str | UnsetType = UNSET
    login_code_lives_s: float | UnsetType = UNSET
    login_token_lives_s: float | UnsetType = UNSET
    difference_limit: int | UnsetType = UNSET
    channel_difference_limit: int | UnsetType = UNSET
    difference_remembers: int | UnsetType = UNSET
    channel_difference_remembers: int | UnsetType = UNSET
    channel_hints: bool | UnsetType = UNSET
    message_length_max: int | UnsetType = UNSET
    caption_length_limit_default: int | UnsetType = UNSET
    caption_length_limit_premium: int | UnsetType = UNSET
    media_dc: int | UnsetType | None = UNSET
    reactions: Literal["update", "edit"] | UnsetType = UNSET
    takeout_delay_s: float | UnsetType = UNSET
    takeout_range: int | UnsetType = UNSET
    finds_links: bool | UnsetType = UNSET

    def switches(self) -> dict[str, Any]:
        """Those that are named."""
        named = {each.name: getattr(self, each.name) for each in fields(Behaviour)}
        return {name: value for name, value in named.items() if value is not UNSET}


class ReadStatistics(Command, tag="statistics"):
    """Result: `tgworker.sandbox.Statistics` as an object."""


class Stop(Command, tag="stop"):
    """End the sandbox, after this answer. Result: ``{}``."""


AnyCommand = (
    SetFault
    | ClearFaults
    | ListFaults
    | PhoneCommand
    | ActCommand
    | FileCommand
    | SendOther
    | ReadChat
    | ReadChats
    | AddUser
    | Befriend
    | Part
    | Block
    | NewSession
    | LoginCommand
    | ProxyCommand
    | DropConnections
    | ForgetSessions
    | MoveUser
    | Revoke
    | RoomCommand
    | Limit
    | SetSlowmode
    | Behave
    | ReadStatistics
    | Stop
)


class FaultList(msgspec.Struct, frozen=True):
    """The result of ``list_faults``."""

    faults: tuple[ActiveFault, ...]


class ChatPage(msgspec.Struct, frozen=True):
    """The result of ``chat``."""

    lines: tuple[ChatLine, ...]
    more: bool


class ChatsPage(msgspec.Struct, frozen=True):
    """The result of ``chats``."""

    chats: tuple[ChatSummary, ...]
    more: bool


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer.

    Attributes:
        ok: Whether the command was carried out.
        result: What came of it.
        error: Why it was not, in one line.
        id: The command's.
    """

    ok: bool
    result: msgspec.Raw | UnsetType = UNSET
    error: str | UnsetType = UNSET
    id: int | None = None
