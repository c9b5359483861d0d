"""Values that are made or cleaned alike everywhere: times, ids of new rows, texts that a database keeps."""

import os
import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """The calendar's time, aware, UTC."""
    return datetime.now(UTC)


def storable(text: str) -> str:
    """A text without what no database keeps: NUL, and lone surrogates (bytes that were no UTF-8)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode(errors="replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def phone_digits(text: str) -> str | None:
    """The digits of a phone number as people write it; ``None`` if it is none."""
    digits = text.strip().lstrip("+").translate(str.maketrans("", "", " -()."))
    return digits if digits.isascii() and digits.isdigit() and 5 <= len(digits) <= 15 else None


def new_id() -> str:
    """A fresh id for a row: a UUID of version 7 (RFC 9562); it grows with time, and indexes at one end."""
    milliseconds = time.time_ns() // 1_000_000
    noise = int.from_bytes(os.urandom(10), "big")
    number = (milliseconds & (1 << 48) - 1) << 80 | noise
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
