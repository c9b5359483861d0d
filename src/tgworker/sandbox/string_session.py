"""Sessions as Telethon writes them down."""

import base64
import ipaddress
import struct
from random import Random

from tgworker.sandbox.handshake import KEY_BYTES


def new_key(rng: Random) -> bytes:
    """An authorization key without a handshake. Telethon and its sessions forget leading zero bytes."""
    return bytes([rng.randrange(1, 256)]) + rng.randbytes(KEY_BYTES - 1)


def string_session(dc_id: int, host: str, port: int, key: bytes) -> str:
    """Telethon's ``StringSession``: version 1, then data centre, address, port and key in base 64."""
    address = ipaddress.ip_address(host).packed
    return "1" + base64.urlsafe_b64encode(struct.pack(">B4sH256s", dc_id, address, port, key)).decode()
