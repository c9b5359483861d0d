"""What the guard tells systemd; without systemd nothing."""

import math
from contextlib import suppress
from typing import Final, final

from tgworker.supervision.systemd import Systemd, notify

_EXTEND_S: Final = 30.0  # asked for at a time while the worker starts or stops; asked again after half of it


@final
class Notices:
    """READY, STATUS, WATCHDOG, EXTEND_TIMEOUT and STOPPING (sd_notify(3)), for the guard and all below it.

    The watchdog is fed while the guard turns: whatever is wrong with the worker is the guard's to cure, and a
    second medicine at the same time would only restart the guard, too.

    Args:
        systemd: What systemd told the guard at its start.
    """

    def __init__(self, systemd: Systemd) -> None:
        self._address = systemd.notify_socket
        self._feed_every_s = systemd.watchdog_s / 2 if systemd.watchdog_s is not None else math.inf
        self._feed_at_s = self._extend_at_s = -math.inf
        self._ready = self._stopping = False
        self._said = ""

    @property
    def next_s(self) -> float:
        """When there is something to say even if nothing happens."""
        if self._address is None:
            return math.inf
        feed_at_s = self._feed_at_s if self._feed_every_s < math.inf else math.inf
        return min(feed_at_s, math.inf if self._ready and not self._stopping else self._extend_at_s)

    def turn(self, now_s: float, status: str) -> None:
        """Say what is due.

        Args:
            now_s: The guard's clock.
            status: For ``systemctl status``.
        """
        if self._address is None:
            return
        lines: list[str] = []
        if status != self._said:
            self._said = status
            lines.append(f"STATUS={status}")
        if now_s >= self._feed_at_s and self._feed_every_s < math.inf:
            self._feed_at_s = now_s + self._feed_every_s
            lines.append("WATCHDOG=1")
        if now_s >= self._extend_at_s and (self._stopping or not self._ready):
            self._extend_at_s = now_s + _EXTEND_S / 2
            lines.append(f"EXTEND_TIMEOUT_USEC={_EXTEND_S * 1e6:.0f}")
        self._say(*lines)

    def ready(self) -> None:
        """The service is up: the first worker has started."""
        if not self._ready:
            self._ready = True
            self._say("READY=1")

    def stopping(self) -> None:
        """The service begins to stop."""
        if not self._stopping:
            self._stopping = True
            self._extend_at_s = -math.inf
            self._say("STOPPING=1")

    def _say(self, *lines: str) -> None:
        if self._address is None or not lines:
            return
        with suppress(OSError):  # systemd restarts its manager now and then; the next line finds it
            notify(self._address, *lines)
