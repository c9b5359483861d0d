"""How the demo shows itself: a live view on a terminal, plain lines otherwise."""

from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

REFRESH_S = 0.2
KEPT_LINES = 14


@dataclass(slots=True)
class Scene:
    """What there is to see now; the story writes it, the view draws it.

    Attributes:
        act: What is being shown.
        given: Messages given so far, both ways.
        sent: Of those from the accounts, acknowledged by Telegram.
        received: Of those to the accounts, committed to the store.
        heartbeats: Heartbeats written so far.
        loops: Each loop and what it does, for people.
        accounts: Each account and its state.
    """

    act: str = "starting"
    given: int = 0
    sent: int = 0
    received: int = 0
    heartbeats: int = 0
    loops: dict[str, str] = field(default_factory=dict[str, str])
    accounts: dict[str, str] = field(default_factory=dict[str, str])


Tell = Callable[[str], None]


class PlainView:
    """One line for each thing that happens, with the seconds since the start.

    Args:
        write: Where a line goes.
    """

    def __init__(self, write: Tell) -> None:
        self._write = write
        self._started_at = trio.current_time()

    def tell(self, text: str) -> None:
        """Something happened."""
        self._write(f"{trio.current_time() - self._started_at:6.2f} s  {text}")

    async def draw(self, look: Callable[[], Scene]) -> None:  # noqa: ARG002 - the live view's signature
        """Nothing to draw between two lines; returns never."""
        await trio.sleep_forever()


class LiveView:
    """The scene and the last lines, drawn anew five times a second by a task of ours (no thread).

    Args:
        live: A live display with ``auto_refresh=False``.
    """

    def __init__(self, live: Live) -> None:
        self._live = live
        self._started_at = trio.current_time()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)

    def tell(self, text: str) -> None:
        """Something happened."""
        self._lines.append(f"{trio.current_time() - self._started_at:6.2f} s  {text}")

    async def draw(self, look: Callable[[], Scene]) -> None:
        """Draw the scene until cancelled; returns never.

        Args:
            look: Brings the scene up to date.
        """
        while True:
            self._live.update(self._picture(look()), refresh=True)
            await trio.sleep(REFRESH_S)

    def _picture(self, scene: Scene) -> Group:
        table = Table(title=f"tgworker demo: {scene.act}", title_justify="left", expand=True)
        table.add_column("loop")
        table.add_column("state")
        table.add_column("account")
        table.add_column("line")
        loops, accounts = list(scene.loops.items()), list(scene.accounts.items())
        for row in range(max(len(loops), len(accounts))):
            loop = loops[row] if row < len(loops) else ("", "")
            account = accounts[row] if row < len(accounts) else ("", "")
            table.add_row(*loop, *account)
        sums = Text(
            f"{scene.given} messages given, {scene.sent} sent, {scene.received} received;"
            f" {scene.heartbeats} heartbeats",
            style="bold",
        )
        return Group(table, sums, Text("\n".join(self._lines)))


@contextmanager
def open_view(*, json: bool, write: Tell) -> Generator[PlainView | LiveView]:
    """The right view for where the output goes.

    Args:
        json: For machines: lines go to ``write`` as well, which then writes to standard error.
        write: Where plain lines go.
    """
    console = Console()
    if json or not console.is_terminal:
        yield PlainView(write)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield LiveView(live)
