"""Calls to the store a second that presence costs, when Telegram tells of it a thousand times a second."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from inspect import iscoroutinefunction
from time import perf_counter, process_time
from typing import Any, final

import trio

from benchmarks.cloud import LOOK_EVERY_S, open_cloud
from benchmarks.inside import WITHIN_S, Watch, open_inside
from benchmarks.line import Effort, Measured
from benchmarks.pairs import rounded
from tgworker.embedded import EmbeddedStore

PER_S = 1000
PUSHED = ("record_presence", "ingest")
"""The methods through which what Telegram pushes comes to the store. The others ask it, at their own pace."""
SETTLED_S = 2.0
"""So long the worker is left alone at first: the messages that made the conversations are behind it then."""

_KNOWN = "select count(*) from conversations"
_ROWS = """
select i.value, p.is_online, p.is_typing from presence_status p
join contact_identities i on i.id = p.contact_identity_id
"""


@final
@dataclass(slots=True)
class _Counting:
    """Stands before a store and notes which of its methods is called, and when."""

    store: EmbeddedStore
    calls: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    contacts: int = 0

    def __getattr__(self, name: str) -> Any:
        found: Any = getattr(self.store, name)
        return partial(self._noted, name, found) if iscoroutinefunction(found) else found

    async def _noted(self, name: str, method: Callable[..., Any], *args: Any, **named: Any) -> Any:
        self.calls.append((perf_counter(), name))
        return await method(*args, **named)

    async def record_presence(self, items: Any) -> None:
        """As the store's, and count of how many contacts is told."""
        self.contacts += sum(map(len, items.values()))
        await self._noted("record_presence", self.store.record_presence, items)

    def during(self, begin_s: float, seconds: float) -> Counter[str]:
        """How often each method was called in a time that has passed."""
        return Counter(name for at_s, name in self.calls if begin_s <= at_s < begin_s + seconds)


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure ``presence_calls_per_s``."""
    return trio.run(_measure, effort.pick(full=1050, short=130), effort.pick(full=10.0, short=2.0))


async def _measure(contacts: int, seconds: float) -> dict[str, Measured]:
    opened: list[_Counting] = []

    def before(store: EmbeddedStore) -> _Counting:
        opened.append(_Counting(store))
        return opened[-1]

    async with open_cloud(contacts + 1) as cloud:
        me, *others = cloud.users
        async with open_inside(cloud, [me], Watch(), before=before) as worker:
            (calls,) = opened
            for each in others:  # presence is kept of those whom the application knows
                await cloud.burst(each, me, 1)
            with closing(sqlite3.connect(worker.data.database)) as database:
                await _wait_for(lambda: database.execute(_KNOWN).fetchone()[0] == contacts)
                await trio.sleep(SETTLED_S)
                idle_s = perf_counter()
                await trio.sleep(seconds)
                began_s, used_s = perf_counter(), process_time()
                shown = await cloud.show_presence(me, per_s=PER_S, seconds=seconds)
                used_s = process_time() - used_s
                idle, busy = calls.during(idle_s, seconds), calls.during(began_s, seconds)
                # Who comes and goes faster than is written is written as he is at last: all of it was heard.
                await _wait_for(lambda: _as_stored(database) == (shown.online, shown.types))
                took_s = perf_counter() - began_s - shown.took_s
    caused = {name: busy[name] for name in PUSHED}
    return {
        "presence_calls_per_s": Measured(
            rounded(sum(caused.values()) / seconds),
            {
                "contacts": contacts,
                "updates_per_s": rounded(shown.updates / shown.took_s),
                "contacts_written_per_s": rounded(calls.contacts / (shown.took_s + took_s)),
                "stored_after_s": rounded(took_s),
                "window_s": seconds,
                **{f"{name}_calls": count for name, count in caused.items()},
                "other_calls_per_s": rounded((busy.total() - sum(caused.values())) / seconds),
                "calls_when_idle_per_s": rounded(idle.total() / seconds),
                "cpu_percent": rounded(100 * used_s / shown.took_s),
            },
        )
    }


def _as_stored(database: sqlite3.Connection) -> tuple[set[int], set[int]]:
    """Who is online, and who types, as the application reads it."""
    rows = database.execute(_ROWS).fetchall()
    return {int(who) for who, on, _ in rows if on}, {int(who) for who, _, types in rows if types}


async def _wait_for(condition: Callable[[], bool]) -> None:
    with trio.fail_after(WITHIN_S):
        is_so = False
        while not is_so:
            await trio.sleep(LOOK_EVERY_S)
            is_so = condition()
