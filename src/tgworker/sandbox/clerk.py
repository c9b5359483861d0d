"""Answers the requests of one connection, under the faults that are set."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, assert_never

from telethon.tl import TLRequest, functions, types

from tgworker.sandbox.accounts import Line
from tgworker.sandbox.auth_keys import KeyRecord
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.faults import Fault
from tgworker.sandbox.methods import method_name
from tgworker.sandbox.packing import Outgoing, rpc_result, serialised, service
from tgworker.sandbox.peers import group_peer, input_peer_of
from tgworker.sandbox.requests.bots import ONLY_USERS
from tgworker.sandbox.requests.call import Call, Caller
from tgworker.sandbox.requests.table import RequestTable
from tgworker.sandbox.requests.updates import DIFFERENCES, nothing_new

_WRAPPERS = (
    functions.InvokeWithLayerRequest,
    functions.InitConnectionRequest,
    functions.InvokeWithoutUpdatesRequest,
    functions.InvokeAfterMsgRequest,
    functions.InvokeAfterMsgsRequest,
    functions.InvokeWithTakeoutRequest,
    functions.InvokeWithMessagesRangeRequest,
)
"""Requests around a request (https://core.telegram.org/api/invoking). Order holds anyway."""

_OF_GUESTS = (
    functions.auth.ExportAuthorizationRequest,
    functions.upload.GetFileRequest,
)
"""What is answered to a user whose home is another data centre; all else sends him there."""

_OF_GROUPS = (
    functions.messages.AddChatUserRequest,
    functions.messages.DeleteChatUserRequest,
    functions.messages.EditChatPhotoRequest,
    functions.messages.EditChatTitleRequest,
    functions.messages.GetFullChatRequest,
    functions.messages.MigrateChatRequest,
)
"""Requests that name a basic group by its bare id."""


IN_TAKEOUT = method_name(functions.InvokeWithTakeoutRequest)
"""Under this name what belongs to an export can meet a fault, too, and is counted."""


class Asked(NamedTuple):
    """A request out of its wrappers, and what they say of it."""

    request: Any
    takeout_id: int | None = None
    within: range | None = None


class ClerkLine(Line, Protocol):
    """The connection that a clerk works for.

    Attributes:
        dc_id: The data centre that it leads to.
        wants_updates: Whether it is told of its account's updates.
    """

    dc_id: int
    wants_updates: bool

    def send(self, message: Outgoing) -> None:
        """Queue a message for the client."""
        ...

    def introduce(self) -> None:
        """Note that the client has begun anew, with ``initConnection``."""
        ...

    def ask_difference(self) -> bool:
        """Note that a difference was asked for; returns whether it may be told."""
        ...

    def cut(self, reason: str) -> None:
        """End the connection, whatever is queued."""
        ...

    def half_close(self) -> None:
        """Send nothing any more."""
        ...

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Do something after a while, if the connection still stands."""
        ...


class Clerk:
    """Executes requests.

    Args:
        cloud: What they act on.
        table: Which there are.
        line: Where their answers go.
    """

    def __init__(self, cloud: Cloud, table: RequestTable, line: ClerkLine) -> None:
        self._cloud = cloud
        self._table = table
        self._line = line

    def handle(self, record: KeyRecord, msg_id: int, body: Any) -> None:
        """Answer a request, or let a fault happen to it.

        Args:
            record: The authorization key that it came under.
            msg_id: Its message id.
            body: The request, in its wrappers; ``None`` if it is of a type that nobody knows.
        """
        asked = self._unwrapped(body)
        if asked is None:
            self._line.send(_refusal(msg_id, RequestRefused(400, "INPUT_METHOD_INVALID")))
            return
        peer = peer_of(asked.request, record.user_id)
        methods = [method_name(type(asked.request))]
        if asked.takeout_id is not None:
            methods.append(IN_TAKEOUT)
        fault = None
        for method in methods:
            self._cloud.counts.requests[method] += 1
            fault = fault or self._cloud.faults.on_request(method, record.user_id, peer)
        if fault is None:
            self._line.send(self._execute(record, msg_id, asked))
        else:
            self._go_wrong(fault, record, msg_id, asked)

    def _unwrapped(self, body: Any) -> Asked | None:
        takeout_id: int | None = None
        within: range | None = None
        while isinstance(body, _WRAPPERS):
            if isinstance(body, functions.InvokeWithoutUpdatesRequest):
                self._line.wants_updates = False
            elif isinstance(body, functions.InitConnectionRequest):
                self._line.introduce()
            elif isinstance(body, functions.InvokeWithTakeoutRequest):
                takeout_id = body.takeout_id
            elif isinstance(body, functions.InvokeWithMessagesRangeRequest):
                within = range(body.range.min_id, body.range.max_id + 1)
            body = body.query
        return Asked(body, takeout_id, within) if isinstance(body, TLRequest) else None

    def _go_wrong(self, fault: Fault, record: KeyRecord, msg_id: int, asked: Asked) -> None:
        match fault.action:
            case "blackhole":
                pass
            case "drop":
                self._line.cut("fault: drop")
            case "delay":
                self._line.send(service(types.MsgsAck([msg_id])))
                self._line.later(fault.seconds, lambda: self._line.send(self._execute(record, msg_id, asked)))
            case "rpc_error":
                self._line.send(_refusal(msg_id, RequestRefused(fault.code, fault.message)))
            case "flood_wait":
                wait_s = -int(-fault.seconds // 1)  # rounded up: Telegram counts whole seconds
                self._line.send(_refusal(msg_id, RequestRefused(420, f"FLOOD_WAIT_{wait_s}")))
            case "accept_mute":
                self._execute(record, msg_id, asked)
            case "accept_drop":
                self._execute(record, msg_id, asked)
                self._line.cut("fault: accept_drop")
            case "half_close":
                self._line.half_close()
                self._execute(record, msg_id, asked)
            case "deaf" | "transport_error":
                raise AssertionError("a fault for pushes, or for packets")
            case _:
                assert_never(fault.action)

    def _execute(self, record: KeyRecord, msg_id: int, asked: Asked) -> Outgoing:
        """Let a request take effect; returns its answer."""
        try:
            return rpc_result(msg_id, serialised(self._answer(record, asked)))
        except RequestRefused as refusal:
            return _refusal(msg_id, refusal)

    def _answer(self, record: KeyRecord, asked: Asked) -> Any:
        request = asked.request
        if record.refusal is not None:
            raise record.refusal
        if type(request) in ONLY_USERS and self._is_bot(record):
            raise RequestRefused(400, "BOT_METHOD_INVALID")
        public = self._table.public.get(type(request))
        if public is not None:
            return public(Caller(self._cloud, record, dc_id=self._line.dc_id), request)
        handler = self._table.members.get(type(request))
        if record.user_id is None:
            raise RequestRefused(401, "AUTH_KEY_UNREGISTERED")
        if handler is None:
            raise RequestRefused(400, "METHOD_INVALID")
        me = self._cloud.directory.get(record.user_id)
        if me.dc_id != self._line.dc_id and not isinstance(request, _OF_GUESTS):
            raise RequestRefused(303, f"USER_MIGRATE_{me.dc_id}")
        takeout = None
        if asked.takeout_id is not None:
            takeout = self._cloud.takeouts.enter(asked.takeout_id, me.id, record.id)
        method = method_name(type(request))
        self._cloud.throttle.check_method(me, method, in_takeout=takeout is not None)
        call = Call(
            self._cloud,
            record,
            me,
            self._line,
            dc_id=self._line.dc_id,
            takeout=takeout,
            within=asked.within,
        )
        if isinstance(request, DIFFERENCES) and not self._line.ask_difference():
            return nothing_new(call, request)
        return handler(call, request)

    def _is_bot(self, record: KeyRecord) -> bool:
        return record.user_id is not None and self._cloud.directory.get(record.user_id).bot is not None


def peer_of(request: Any, user_id: int | None) -> int | None:
    """Whom a request is about, as a marked id, if it names one peer.

    Args:
        request: The request.
        user_id: Who asks: that is whom ``inputPeerSelf`` means.
    """
    if isinstance(request, _OF_GROUPS):
        return group_peer(request.chat_id)
    peer = getattr(request, "peer", None) or getattr(request, "channel", None)
    peer = peer or getattr(request, "to_peer", None)
    return user_id if isinstance(peer, types.InputPeerSelf) else input_peer_of(peer)


def _refusal(msg_id: int, refusal: RequestRefused) -> Outgoing:
    return rpc_result(msg_id, bytes(types.RpcError(refusal.code, refusal.message)))
