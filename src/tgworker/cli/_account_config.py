"""What an account is to run with, from a file: an argument would show a proxy's password to others."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tgworker.cli._errors import Usage
from tgworker.telegram import Appearance, ConfigUnusable

MOST_BYTES = 100_000


def read_config(path: Path) -> Mapping[str, Any]:
    """Read a file with an account's config.

    Raises:
        Usage: It cannot be read, holds no JSON object, or asks for what cannot be done.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no path"
        raise Usage(f"--config {path} cannot be read ({why}): give a file with a JSON object") from None
    try:
        config = json.loads(content) if len(content) <= MOST_BYTES else None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise Usage(f'--config {path} holds no JSON object: write one, such as {{"device_model": "Desk"}}')
    if unknown := Appearance.unknown_in(config):
        raise Usage(
            f"--config {path}: nobody reads {', '.join(unknown)}: see how it is spelled, or leave it out"
        )
    try:
        Appearance.of(config)
    except ConfigUnusable as unusable:
        raise Usage(f"--config {path}: {unusable}") from None
    return config
