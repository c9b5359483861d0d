"""Sessions as Telethon writes them down."""

import base64
import ipaddress
import struct


def string_session(dc_id: int, host: str, port: int, key: bytes) -> str:
    """Telethon's ``StringSession``: version 1, then data centre, address, port and key in base 64."""
    address = ipaddress.ip_address(host).packed
    return "1" + base64.urlsafe_b64encode(struct.pack(">B4sH256s", dc_id, address, port, key)).decode()
