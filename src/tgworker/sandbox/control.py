"""The control connection's server side: commands in, answers out, one after the other."""

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import msgspec
import trio

from tgworker.sandbox.control_acts import (
    ForwardMessages,
    SendReaction,
    SetTyping,
    UnpinAllMessages,
    UpdatePinnedMessage,
    UpdateProfile,
    UpdateStatus,
    UpdateUsername,
    obey_act_command,
)
from tgworker.sandbox.control_files import (
    ExpireReferences,
    ForgetParts,
    ReadFile,
    SendFiles,
    SetPhoto,
    obey_file_command,
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
    obey_login_command,
)
from tgworker.sandbox.control_messages import (
    MAX_LINE_BYTES,
    MAX_PAGE,
    MAX_PAGE_BYTES,
    AddUser,
    Answer,
    AnyCommand,
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
from tgworker.sandbox.control_phone import (
    DeleteMessages,
    EditText,
    MarkRead,
    SendText,
    obey_phone_command,
)
from tgworker.sandbox.control_proxies import (
    ListProxies,
    OpenMtproxy,
    OpenSocks5,
    TroubleProxy,
    obey_proxy_command,
)
from tgworker.sandbox.control_rooms import (
    AddMember,
    CreateChannel,
    CreateGroup,
    EditBanned,
    EditPhoto,
    EditTitle,
    ExportChatInvite,
    ImportChatInvite,
    ListRooms,
    MigrateGroup,
    RemoveMember,
    ToggleNoForwards,
    obey_room_command,
)
from tgworker.sandbox.control_things import SendOther, obey_thing_command
from tgworker.sandbox.errors import SandboxError
from tgworker.sandbox.lines import LineReader, LineTooLong

if TYPE_CHECKING:
    from tgworker.sandbox.sandbox import Sandbox

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)


async def serve_control(sandbox: "Sandbox", stream: trio.SocketStream) -> None:
    """Carry out what comes over one control connection, until it ends or says ``stop``.

    Args:
        sandbox: What is controlled.
        stream: The connection; it is closed when this returns.

    Cancellation: a command is carried out as a whole or not at all; its answer may be lost.
    """
    lines = LineReader(stream, MAX_LINE_BYTES)
    async with stream:
        try:
            while (line := await lines.read()) is not None:
                if isinstance(line, LineTooLong):
                    answer, stops = _error(f"a line longer than {MAX_LINE_BYTES} bytes"), False
                elif not line.strip():
                    continue
                else:
                    answer, stops = _obey(sandbox, line)
                await stream.send_all(_ENCODER.encode(answer) + b"\n")
                if stops:
                    sandbox.stop()
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # whoever controlled us is gone


def _obey(sandbox: "Sandbox", line: bytes) -> tuple[Answer, bool]:
    """Carry out a line; returns the answer, and whether the sandbox is to stop."""
    try:
        command = _DECODER.decode(line)
    except msgspec.MsgspecError as error:
        return _error(str(error), _id_of(line)), False
    except (UnicodeDecodeError, RecursionError) as error:
        return _error(f"not JSON: {type(error).__name__}"), False
    try:
        raw = msgspec.Raw(_ENCODER.encode(_result(sandbox, command)))
    except (SandboxError, ValueError) as error:
        return _error(str(error), command.id), False
    except Exception as error:  # noqa: BLE001 # a bug of ours: told to the asker, who keeps the rest
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return _error(f"the sandbox has a bug: {type(error).__name__} in {where}", command.id), False
    return Answer(ok=True, result=raw, id=command.id), isinstance(command, Stop)


def _result(sandbox: "Sandbox", command: AnyCommand) -> Any:
    match command:
        case SetFault():
            sandbox.check_users(command.user)
            sandbox.check_peer(command.peer)
            return {"fault": sandbox.faults.set(command.fault())}
        case ClearFaults():
            return {"cleared": sandbox.faults.clear(command.fault)}
        case ListFaults():
            return FaultList(sandbox.faults.listing())
        case SendText() | EditText() | DeleteMessages() | MarkRead():
            return obey_phone_command(sandbox, command)
        case (
            SendReaction()
            | UpdatePinnedMessage()
            | UnpinAllMessages()
            | ForwardMessages()
            | UpdateStatus()
            | SetTyping()
            | UpdateProfile()
            | UpdateUsername()
        ):
            return obey_act_command(sandbox.phone, command)
        case SendFiles() | SetPhoto() | ReadFile() | ExpireReferences() | ForgetParts():
            return obey_file_command(sandbox, command)
        case SendOther():
            return obey_thing_command(sandbox, command)
        case ReadChat():
            return _chat_page(sandbox, command)
        case ReadChats():
            chats = [
                each
                for each in sandbox.chats(command.user)
                if command.after is None or each.peer > command.after
            ]
            limit = _limit(command.limit)
            return ChatsPage(tuple(chats[:limit]), len(chats) > limit)
        case AddUser():
            return sandbox.add_user(stranger=command.stranger, premium=command.premium)
        case Befriend():
            sandbox.befriend(command.user, command.other)
            return {}
        case Part():
            sandbox.part(command.user, command.other)
            return {}
        case Block():
            sandbox.block(command.user, command.other, blocked=command.blocked)
            return {}
        case (
            SetPassword() | Scan() | AllowTakeout() | ReadTakeouts() | CountLogins() | AddBot() | RenewToken()
        ):
            return obey_login_command(sandbox, command)
        case OpenSocks5() | OpenMtproxy() | TroubleProxy() | ListProxies():
            return obey_proxy_command(sandbox, command)
        case NewSession():
            return {"session": sandbox.new_session(command.user)}
        case DropConnections():
            return {"cut": sandbox.drop_connections(command.user)}
        case ForgetSessions():
            return {"forgotten": sandbox.forget_sessions(command.user)}
        case MoveUser():
            sandbox.move_user(command.user, command.dc)
            return {}
        case Revoke():
            return {"revoked": sandbox.revoke(command.user, command.reason)}
        case (
            CreateGroup()
            | CreateChannel()
            | MigrateGroup()
            | AddMember()
            | RemoveMember()
            | EditBanned()
            | EditTitle()
            | EditPhoto()
            | ExportChatInvite()
            | ImportChatInvite()
            | ToggleNoForwards()
            | ListRooms()
        ):
            return obey_room_command(sandbox.rooms, command)
        case Limit():
            sandbox.limit(command.limits())
            return shown_limits(sandbox.limits)
        case SetSlowmode():
            return sandbox.rooms.set_slowmode(command.peer, command.seconds)
        case Behave():
            sandbox.behave(**command.switches())
            return sandbox.behaviour
        case ReadStatistics():
            return sandbox.statistics()
        case Stop():
            return {}
        case _:
            assert_never(command)


def _chat_page(sandbox: "Sandbox", command: ReadChat) -> ChatPage:
    lines = sandbox.chat(command.user, command.peer, after=command.after, limit=_limit(command.limit) + 1)
    page_bytes = 0
    for number, line in enumerate(lines[: _limit(command.limit)], 1):
        page_bytes += len(line.text)
        if page_bytes >= MAX_PAGE_BYTES:
            return ChatPage(lines[:number], number < len(lines))
    return ChatPage(lines[: _limit(command.limit)], len(lines) > _limit(command.limit))


def _limit(asked: int) -> int:
    if asked < 1:
        raise ValueError("limit must be 1 or more")
    return min(asked, MAX_PAGE)


def _id_of(line: bytes) -> int | None:
    """The id of a command that cannot be carried out, if that much can be read."""

    class Numbered(msgspec.Struct):
        id: int | None = None

    try:
        return msgspec.json.decode(line, type=Numbered).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _error(text: str, command_id: int | None = None) -> Answer:
    return Answer(ok=False, error=" ".join(text.split()), id=command_id)
