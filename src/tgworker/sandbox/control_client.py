"""The control connection's client side, for tests, demos and whoever drives a sandbox from outside."""

import base64
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import trio

from tgworker.sandbox.behaviour import Behaviour
from tgworker.sandbox.control_act_client import ActControl
from tgworker.sandbox.control_files import (
    ExpireReferences,
    FileDigest,
    ForgetParts,
    ReadFile,
    SendFiles,
    SentFile,
    SetPhoto,
)
from tgworker.sandbox.control_limits import Limit, SetSlowmode, shown_limits
from tgworker.sandbox.control_login import (
    AddBot,
    AllowTakeout,
    CountLogins,
    ReadTakeouts,
    RenewToken,
    Scan,
    SetPassword,
)
from tgworker.sandbox.control_messages import (
    AddUser,
    Befriend,
    Behave,
    Block,
    ChatPage,
    ChatsPage,
    ClearFaults,
    DropConnections,
    FaultList,
    ForgetSessions,
    ListFaults,
    MoveUser,
    NewSession,
    Part,
    ReadChat,
    ReadChats,
    ReadStatistics,
    Revoke,
    SetFault,
    Stop,
)
from tgworker.sandbox.control_phone import DeleteMessages, EditText, MarkRead, SendText
from tgworker.sandbox.control_proxy_client import ProxyControl
from tgworker.sandbox.control_room_client import RoomControl
from tgworker.sandbox.control_things import AnyThing, SendOther
from tgworker.sandbox.errors import ControlLost
from tgworker.sandbox.faults import ActiveFault, Fault
from tgworker.sandbox.formatting import Formatting
from tgworker.sandbox.limits import Limits
from tgworker.sandbox.statistics import Statistics
from tgworker.sandbox.values import (
    ChatLine,
    ChatSummary,
    Revocation,
    SandboxBot,
    SandboxRoom,
    SandboxUser,
    SentText,
    TakeoutSession,
)


class SandboxControl(RoomControl, ActControl, ProxyControl):
    """A sandbox in another process. `open_control` makes them.

    Every method raises `ControlRefused` if the sandbox says no, and `ControlLost` if it is gone. Calls of
    several tasks wait for each other. A cancelled call may have been carried out; later calls work all
    the same, unless it was cut off in the middle of its line: then they raise `ControlLost`.

    Args:
        stream: The connection.
    """

    async def set_fault(self, fault: Fault) -> int:
        """Set a fault; returns its id."""
        return (await self._ask(SetFault(**asdict(fault)), dict[str, int]))["fault"]

    async def clear_faults(self, fault_id: int | None = None) -> int:
        """Clear one fault, or all; returns how many were cleared."""
        return (await self._ask(ClearFaults(fault=fault_id), dict[str, int]))["cleared"]

    async def list_faults(self) -> tuple[ActiveFault, ...]:
        """The faults that are set."""
        return (await self._ask(ListFaults(), FaultList)).faults

    async def send_text(
        self, sender_id: int, recipient_id: int, text: str, entities: Sequence[Formatting] = ()
    ) -> SentText:
        """Send a text as a user."""
        command = SendText(sender=sender_id, recipient=recipient_id, text=text, entities=tuple(entities))
        return await self._ask(command, SentText)

    async def edit_text(
        self, user_id: int, peer_id: int, message_id: int, text: str, entities: Sequence[Formatting] = ()
    ) -> None:
        """Give a message of a user's another text."""
        await self._ask(
            EditText(user=user_id, peer=peer_id, message=message_id, text=text, entities=tuple(entities)),
            dict[str, int],
        )

    async def delete_messages(
        self, user_id: int, peer_id: int, ids: Sequence[int], *, revoke: bool = True
    ) -> int:
        """Delete messages of a chat, by a user's numbers; returns how many were there."""
        command = DeleteMessages(user=user_id, peer=peer_id, ids=tuple(ids), revoke=revoke)
        return (await self._ask(command, dict[str, int]))["deleted"]

    async def read_chat(self, user_id: int, peer_id: int, max_id: int = 0) -> bool:
        """Mark a chat as read up to a message (0: all); returns whether anything was unread."""
        command = MarkRead(user=user_id, peer=peer_id, max_id=max_id)
        return (await self._ask(command, dict[str, bool]))["news"]

    async def send_files(self, sender_id: int, recipient_id: int, *files: SentFile) -> list[SentText]:
        """Send a file as a user, or several as an album."""
        command = SendFiles(sender=sender_id, recipient=recipient_id, files=files)
        return (await self._ask(command, dict[str, list[SentText]]))["sent"]

    async def send_other(self, sender_id: int, recipient_id: int, what: AnyThing) -> SentText:
        """Send a contact, place, venue or poll as a user."""
        return await self._ask(SendOther(sender=sender_id, recipient=recipient_id, what=what), SentText)

    async def set_photo(self, peer: int, data: bytes) -> int:
        """Give a user, group or channel a photo; returns its id."""
        command = SetPhoto(peer=peer, data=base64.b64encode(data).decode())
        return (await self._ask(command, dict[str, int]))["photo"]

    async def file_of(self, user_id: int, peer_id: int, message_id: int) -> FileDigest:
        """The file of a message, as a user holds it."""
        return await self._ask(ReadFile(user=user_id, peer=peer_id, message=message_id), FileDigest)

    async def expire_references(self) -> None:
        """Let all file references expire that were given out so far."""
        await self._ask(ExpireReferences(), dict[str, int])

    async def forget_parts(self, numbers: Sequence[int] | None = None) -> None:
        """Lose parts of files that no message carries yet: those of each, or all."""
        await self._ask(ForgetParts(numbers=None if numbers is None else tuple(numbers)), dict[str, int])

    async def chat(self, user_id: int, peer_id: int, *, after: int = 0) -> tuple[ChatLine, ...]:
        """What a user's account holds of a chat, oldest first, read page by page."""
        lines: list[ChatLine] = []
        more = True
        while more:
            page = await self._ask(ReadChat(user=user_id, peer=peer_id, after=after), ChatPage)
            lines += page.lines
            more = page.more
            after = lines[-1].id if lines else after
        return tuple(lines)

    async def chats(self, user_id: int) -> tuple[ChatSummary, ...]:
        """A user's chats, read page by page."""
        chats: list[ChatSummary] = []
        more, after = True, None
        while more:
            page = await self._ask(ReadChats(user=user_id, after=after), ChatsPage)
            chats += page.chats
            more = page.more
            after = chats[-1].peer if chats else after
        return tuple(chats)

    async def add_user(self, *, stranger: bool = False, premium: bool = False) -> SandboxUser:
        """A new user: everybody's contact, or nobody's if he is a ``stranger``."""
        return await self._ask(AddUser(stranger=stranger, premium=premium), SandboxUser)

    async def add_bot(self) -> SandboxBot:
        """A new bot."""
        return await self._ask(AddBot(), SandboxBot)

    async def renew_token(self, bot_id: int) -> str:
        """Give a bot another token; its sessions are ended."""
        return (await self._ask(RenewToken(bot=bot_id), dict[str, str]))["token"]

    async def block(self, user_id: int, other_id: int, *, blocked: bool = True) -> None:
        """Let a user block another, or a bot, or unblock him."""
        await self._ask(Block(user=user_id, other=other_id, blocked=blocked), dict[str, int])

    async def befriend(self, user_id: int, other_id: int) -> None:
        """Let two users have each other among their contacts."""
        await self._ask(Befriend(user=user_id, other=other_id), dict[str, int])

    async def part(self, user_id: int, other_id: int) -> None:
        """Let two users not have each other among their contacts any more."""
        await self._ask(Part(user=user_id, other=other_id), dict[str, int])

    async def new_session(self, user_id: int) -> str:
        """Log a user in on another device; returns the ``StringSession``."""
        return (await self._ask(NewSession(user=user_id), dict[str, str]))["session"]

    async def set_password(self, user_id: int, password: str | None, *, hint: str = "") -> None:
        """Give a user a two-step password, or none."""
        await self._ask(SetPassword(user=user_id, password=password, hint=hint), dict[str, int])

    async def scan(self, user_id: int, url: str) -> None:
        """Let a user scan a QR code."""
        await self._ask(Scan(user=user_id, url=url), dict[str, int])

    async def allow_takeout(self, user_id: int) -> int:
        """Let a user's exports wait no more, as on another device; returns how many were waiting."""
        return (await self._ask(AllowTakeout(user=user_id), dict[str, int]))["allowed"]

    async def takeouts(self, user_id: int) -> tuple[TakeoutSession, ...]:
        """The exports of what a user's account holds, oldest first."""
        answer = await self._ask(ReadTakeouts(user=user_id), dict[str, tuple[TakeoutSession, ...]])
        return answer["takeouts"]

    async def logins(self, user_id: int) -> int:
        """How many keys are logged in as a user, half-finished logins included."""
        return (await self._ask(CountLogins(user=user_id), dict[str, int]))["logins"]

    async def limit(self, limits: Limits) -> None:
        """Hold accounts to other limits than before."""
        await self._ask(Limit(**shown_limits(limits)), dict[str, Any])

    async def set_slowmode(self, peer: int, seconds: int) -> SandboxRoom:
        """Let members of a supergroup wait after each of their messages; 0: not at all."""
        return await self._ask(SetSlowmode(peer=peer, seconds=seconds), SandboxRoom)

    async def drop_connections(self, user_id: int | None = None) -> int:
        """Cut the connections of a user, or all; returns how many."""
        return (await self._ask(DropConnections(user=user_id), dict[str, int]))["cut"]

    async def forget_sessions(self, user_id: int | None = None) -> int:
        """Forget the MTProto sessions of a user, or all; returns how many clients had one."""
        return (await self._ask(ForgetSessions(user=user_id), dict[str, int]))["forgotten"]

    async def move_user(self, user_id: int, dc_id: int) -> None:
        """Let a user live in another data centre."""
        await self._ask(MoveUser(user=user_id, dc=dc_id), dict[str, int])

    async def revoke(self, user_id: int, reason: Revocation = "SESSION_REVOKED") -> int:
        """Kill a user's keys; returns how many died."""
        return (await self._ask(Revoke(user=user_id, reason=reason), dict[str, int]))["revoked"]

    async def behave(self, **switches: Any) -> Behaviour:
        """Turn switches of `Behaviour` by name; returns all of them."""
        return await self._ask(Behave(**switches), Behaviour)

    async def statistics(self) -> Statistics:
        """What happened so far."""
        return await self._ask(ReadStatistics(), Statistics)

    async def stop(self) -> None:
        """End the sandbox."""
        await self._ask(Stop(), dict[str, int])


@asynccontextmanager
async def open_control(address: str) -> AsyncGenerator[SandboxControl]:
    """Connect to a sandbox's control connection.

    Args:
        address: ``host:port``, as the sandbox prints it.

    Raises:
        ControlLost: Nobody listens there.
        ValueError: The address is none.

    Cancellation: the connection is closed.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        raise ValueError(f"{address} is not host:port")
    try:
        stream = await trio.open_tcp_stream(host, int(port))
    except OSError:
        raise ControlLost(f"nobody listens on {address}") from None
    async with stream:
        yield SandboxControl(stream)
