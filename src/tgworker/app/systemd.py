"""What systemd told this process."""

from collections.abc import Mapping

from tgworker.supervision.systemd import Systemd, from_environ


def systemd_of(environ: Mapping[str, str]) -> Systemd:
    """What the environment says of systemd.

    Args:
        environ: The process's environment.

    Raises:
        ValueError: A variable has a value that systemd would not give.
    """
    return from_environ(environ)
