"""``messages.raw_payload``: what the worker notes there of what became of a message.

A row that Telegram has as several messages (a long text, files) has notes for each of them under ``parts``;
the first one's reactions and pin are the row's own.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn


def raw_of(text: str | None) -> dict[str, Any] | None:
    """What stands in the column; ``None`` where nothing can be added, as it is something else."""
    if text is None:
        return {}
    try:
        # (Any number stays what it is, however large.)
        value = json.loads(text, parse_constant=_refused, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    if value is None:
        return {}
    return value if isinstance(value, dict) else None


def raw_text(raw: Mapping[str, Any]) -> str:
    """The column's text: ASCII, whatever characters stand in it."""
    return json.dumps(raw, separators=(",", ":"), allow_nan=False)


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError("a number that would not come back")
    return value


def noted(raw: Mapping[str, Any], part: int | None, more: Mapping[str, Any]) -> dict[str, Any]:
    """The payload with more keys: its own, or those of a part. What is ``None`` is taken away."""
    if part is None:
        return {
            key: value
            for key, value in (dict(raw) | dict(more)).items()
            if value is not None or key not in more
        }
    parts = raw.get("parts")
    parts = parts if isinstance(parts, dict) else {}
    own = parts.get(str(part))
    own = own if isinstance(own, dict) else {}
    return {**raw, "parts": {**parts, str(part): noted(own, None, more)}}


def note(raw: Mapping[str, Any], part: int | None, key: str) -> Any:
    """What stands under a key of the payload, or of a part in it."""
    if part is None:
        return raw.get(key)
    parts = raw.get("parts")
    own = parts.get(str(part)) if isinstance(parts, dict) else None
    return own.get(key) if isinstance(own, dict) else None


def with_all_gone(raw: Mapping[str, Any], parts: int, stamp: str) -> dict[str, Any]:
    """The payload once a part was deleted: with the last of them the message is."""
    own = raw.get("parts")
    values = own.values() if isinstance(own, dict) else ()
    gone = sum(isinstance(value, dict) and "deleted_at" in value for value in values)
    return noted(raw, None, {"deleted_at": stamp}) if gone >= parts else dict(raw)
