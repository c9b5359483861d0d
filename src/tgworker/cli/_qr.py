"""A QR code on a terminal, with the seconds that are left of it."""

import io
import math
import shutil
import sys

import segno
import trio

from tgworker.messaging.logging_in import QrCode

HOW = "scan it with the Telegram app: Settings, Devices, Link Desktop Device"


def drawn(url: str) -> str:
    """The picture, as lines of half blocks: dark on light whatever the terminal's colours are not."""
    out = io.StringIO()
    segno.make(url, error="l", micro=False).terminal(out=out, border=2, compact=True)
    return out.getvalue().rstrip("\n")


class QrPainter:
    """Shows one code in place of the one before, on standard error: who scans it is a person in any case.

    Where that is no terminal, or too small a one, each is drawn once below the other.
    """

    def __init__(self) -> None:
        self._lines = 0
        self._scope = trio.CancelScope()
        self._in_place = sys.stderr.isatty()

    def show(self, nursery: trio.Nursery, qr: QrCode) -> None:
        """Draw a code, and count its seconds down in a task of the nursery."""
        self.stop()
        picture = drawn(qr.url)
        height = picture.count("\n") + 1
        size = shutil.get_terminal_size()
        in_place = (
            self._in_place and size.lines > height + 3 and size.columns > len(picture.partition("\n")[0])
        )
        if in_place and self._lines:
            _put(f"\x1b[{self._lines}A\r\x1b[J")
        _put(f"{picture}\n{HOW},\nor open {qr.url} there\n")
        self._lines = height + 2
        self._scope = trio.CancelScope()
        if in_place:
            nursery.start_soon(self._count_down, self._scope, trio.current_time() + qr.lives_s)
        else:
            _put(f"({math.ceil(qr.lives_s)} s)\n")

    def stop(self) -> None:
        """Something else is shown from now on, below."""
        self._scope.cancel(reason="another code, or none, is shown")
        if self._in_place:
            _put("\r\x1b[K")

    async def _count_down(self, scope: trio.CancelScope, until_s: float) -> None:
        with scope:
            while (left_s := until_s - trio.current_time()) > 0:
                _put(f"\r\x1b[K({math.ceil(left_s)} s left)")
                await trio.sleep(min(1.0, left_s))


def _put(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)
