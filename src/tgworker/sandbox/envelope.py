"""MTProto 2.0 encryption of messages, seen from the server. Pure functions.

Source: https://core.telegram.org/mtproto/description
"""

import os
import struct
from dataclasses import dataclass
from hashlib import sha256

from telethon.crypto import AES

from tgworker.sandbox.errors import LineBroken

HEADER = struct.Struct("<qqqii")  # salt, session id, message id, sequence number, length
TO_SERVER = 0
TO_CLIENT = 8


@dataclass(frozen=True, slots=True, repr=False)
class Envelope:
    """One decrypted packet.

    Attributes:
        salt: The server salt that the client believes in.
        session_id: The client's MTProto session.
        msg_id: The message's id: its time, in units of 2**-32 s.
        seq_no: The message's sequence number.
        body: The serialised TL object, or a container of messages.
    """

    salt: int
    session_id: int
    msg_id: int
    seq_no: int
    body: bytes


def open_envelope(key: bytes, packet: bytes) -> Envelope:
    """Decrypt what a client sent.

    Args:
        key: The authorization key, 256 bytes.
        packet: Key id, message key and cipher text; up to 15 bytes of transport padding may follow.

    Raises:
        LineBroken: It was not encrypted with this key, or its lengths are wrong.
    """
    msg_key = packet[8:24]
    cipher = packet[24 : 24 + (len(packet) - 24) // 16 * 16]
    if len(cipher) < HEADER.size:
        raise LineBroken("too short for a message")
    plain = AES.decrypt_ige(cipher, *_aes_key(key, msg_key, TO_SERVER))
    if _msg_key(key, plain, TO_SERVER) != msg_key:
        raise LineBroken("wrong message key")
    salt, session_id, msg_id, seq_no, length = HEADER.unpack_from(plain)
    padding = len(plain) - HEADER.size - length
    if length < 0 or length % 4 or not 12 <= padding <= 1024:
        raise LineBroken("wrong message length")
    return Envelope(salt, session_id, msg_id, seq_no, plain[HEADER.size : HEADER.size + length])


def seal(key: bytes, key_id: int, salt: int, session_id: int, message: bytes) -> bytes:
    """Encrypt a message for a client.

    Args:
        key: The authorization key, 256 bytes.
        key_id: Its id.
        salt: The server salt.
        session_id: The client's MTProto session.
        message: Message id, sequence number, length and body.
    """
    plain = struct.pack("<qq", salt, session_id) + message
    plain += os.urandom(-(len(plain) + 12) % 16 + 12)  # padding: nobody ever looks at it
    msg_key = _msg_key(key, plain, TO_CLIENT)
    cipher: bytes = AES.encrypt_ige(plain, *_aes_key(key, msg_key, TO_CLIENT))
    return struct.pack("<Q", key_id) + msg_key + cipher


def _msg_key(key: bytes, plain: bytes, x: int) -> bytes:
    return sha256(key[88 + x : 120 + x] + plain).digest()[8:24]


def _aes_key(key: bytes, msg_key: bytes, x: int) -> tuple[bytes, bytes]:
    a = sha256(msg_key + key[x : x + 36]).digest()
    b = sha256(key[40 + x : 76 + x] + msg_key).digest()
    return a[:8] + b[8:24] + a[24:], b[:8] + a[8:24] + b[24:]
