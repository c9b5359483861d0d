"""MTProto's own messages: complaints about what a client sent, keep-alives, salts. Nothing of Telegram's API.

Source: https://core.telegram.org/mtproto/service_messages
"""

from datetime import timedelta
from typing import Any

from telethon.tl import functions, types

from tgworker.sandbox.auth_keys import Session
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.envelope import Envelope
from tgworker.sandbox.outbox import Seat
from tgworker.sandbox.packing import Outgoing, service

TOO_OLD_S = 300
TOO_NEW_S = 30
REMEMBERED_IDS = 2000

MSG_ID_TOO_LOW = 16
MSG_ID_TOO_HIGH = 17
MSG_ID_NOT_A_CLIENTS = 18
SEQ_NO_EVEN_FOR_A_REQUEST = 35
WRONG_SALT = 48
"""Codes of https://core.telegram.org/mtproto/service_messages_about_messages."""

PINGS = (functions.PingRequest, functions.PingDelayDisconnectRequest)
SERVICE_MESSAGES = (
    types.MsgsAck,
    types.MsgsStateReq,
    types.MsgsStateInfo,
    types.MsgsAllInfo,
    functions.GetFutureSaltsRequest,
    functions.DestroySessionRequest,
    functions.DestroyAuthKeyRequest,
)
"""Neither requests of the API nor keep-alives."""


def complaint(cloud: Cloud, envelope: Envelope) -> Outgoing | None:
    """What is wrong with a message as a whole, if anything is: it is not executed then."""
    if envelope.salt != cloud.salt:
        return service(types.BadServerSalt(envelope.msg_id, envelope.seq_no, WRONG_SALT, cloud.salt))
    age_s = cloud.calendar() - envelope.msg_id / 2**32
    code = None
    if envelope.msg_id & 3:
        code = MSG_ID_NOT_A_CLIENTS
    elif age_s > TOO_OLD_S:
        code = MSG_ID_TOO_LOW
    elif age_s < -TOO_NEW_S:
        code = MSG_ID_TOO_HIGH
    return None if code is None else service(types.BadMsgNotification(envelope.msg_id, envelope.seq_no, code))


def is_news(session: Session, msg_id: int) -> bool:
    """Whether a message did not come before; from now on it did."""
    if msg_id in session.seen:
        return False
    session.seen[msg_id] = None
    if len(session.seen) > REMEMBERED_IDS:
        session.seen.popitem(last=False)
    return True


def new_session(cloud: Cloud, first_msg_id: int) -> Outgoing:
    """What a client gets to know once about each of its sessions."""
    return service(types.NewSessionCreated(first_msg_id, cloud.rng.getrandbits(63), cloud.salt))


def not_for_a_request(msg_id: int, seq_no: int) -> Outgoing:
    """The complaint about a request with an even sequence number."""
    return service(types.BadMsgNotification(msg_id, seq_no, SEQ_NO_EVEN_FOR_A_REQUEST))


def pong(msg_id: int, ping: Any) -> Outgoing:
    """The answer to a keep-alive."""
    return service(types.Pong(msg_id, ping.ping_id))


def service_answer(cloud: Cloud, seat: Seat, msg_id: int, body: Any) -> Outgoing | None:
    """Answer one of `SERVICE_MESSAGES`; ``None`` if no answer is due."""
    match body:
        case types.MsgsStateReq():
            states = "".join(chr(4 if each in seat.session.seen else 1) for each in body.msg_ids)
            return service(types.MsgsStateInfo(msg_id, states))
        case functions.GetFutureSaltsRequest():
            now = cloud.now()
            salts: list[Any] = [types.FutureSalt(now, now + timedelta(hours=1), cloud.salt)]
            return service(types.FutureSalts(msg_id, int(now.timestamp()), salts))
        case functions.DestroySessionRequest():
            known = seat.record.sessions.pop(body.session_id, None)
            kind = types.DestroySessionNone if known is None else types.DestroySessionOk
            return service(kind(body.session_id))
        case functions.DestroyAuthKeyRequest():
            cloud.keys.forget(seat.record.id)
            return service(types.DestroyAuthKeyOk())
        case _:
            return None  # acknowledgements and the like
