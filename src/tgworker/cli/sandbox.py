"""``tgworker sandbox``: a loopback Telegram server."""

from pathlib import Path

from tgworker.cli._options import Json


def sandbox(
    *,
    users: int = 2,
    port: int = 0,
    control_port: int = 0,
    key_file: Path | None = None,
    json: Json = False,
) -> int:
    """Run a Telegram server on 127.0.0.1 that speaks the real protocol, until SIGTERM or Ctrl-C.

    One JSON line says where it listens, where its public key and its control connection are, and who its users
    are, each with a ready session for 'tgworker login --session -'.

    Args:
        users: How many users there are.
        port: TCP port; 0 for any.
        control_port: TCP port of the control connection (JSON lines); 0 for any.
        key_file: Where to write the public key; by default a temporary file.
        json: One JSON line, which is what is printed in any case.
    """
