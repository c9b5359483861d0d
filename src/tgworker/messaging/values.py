"""Values that are made or cleaned alike everywhere: times, ids of new rows, texts that a database keeps."""

import os
import time
from datetime import UTC, datetime
from typing import Final

_NOISE_BYTES: Final = 10
"""What an id is made of beside the time."""

_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The digit of an id whose first two bits are always 10 (RFC 9562, section 4.1), by two random ones."""


def utc_now() -> datetime:
    """The calendar's time, aware, UTC."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """A time as the application's columns hold it: ISO 8601, UTC, milliseconds; sorts as text."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
    return new_ids(1)[0]


def new_ids(count: int) -> list[str]:
    """So many fresh ids at a third of what each costs alone; among themselves they are in no order."""
    milliseconds = f"{time.time_ns() // 1_000_000:012x}"
    begin = f"{milliseconds[:8]}-{milliseconds[8:]}-7"
    noise = os.urandom(_NOISE_BYTES * count).hex()
    some = (noise[at : at + 2 * _NOISE_BYTES] for at in range(0, len(noise), 2 * _NOISE_BYTES))
    return [f"{begin}{each[:3]}-{_VARIANT[each[3]]}{each[4:7]}-{each[7:19]}" for each in some]
