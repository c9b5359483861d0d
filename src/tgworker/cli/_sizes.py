"""How much of something was done, in words."""

from typing import Final

_UNITS: Final = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def done_of(done: int | None, total: int | None) -> str | None:
    """Bytes as people read them, ``1.2 of 3.4 MB``; ``None`` where nothing is known."""
    if done is None or total is None:
        return None
    for size, unit in _UNITS:
        if total >= size:
            # (What is not whole does not look so.)
            tenths = done * 10 // size
            return f"{tenths / 10:.1f} of {total / size:.1f} {unit}"
    return f"{done} of {total} bytes"
