"""A worker in the measuring process, on the embedded store, with Telegram in another."""

import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, final

import trio

from benchmarks.cloud import Cloud, CloudUser
from tgworker.app.parts import RESTART_BACKOFF, Parts
from tgworker.app.telegram import make_telegram
from tgworker.app.worker import Worker
from tgworker.embedded import DataFolder, EmbeddedFiles, EmbeddedStore, HeartbeatFile, open_store
from tgworker.messaging.events import AccountChanged
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId, AccountState, Secret
from tgworker.messaging.pacing import UNPACED
from tgworker.settings import TelegramServer, TelegramSettings
from tgworker.supervision import Backoff, ChildSpec, RestartScheduled
from tgworker.vault import FernetVault, new_key

OWNER = "00000000-0000-4000-8000-000000000001"
WITHIN_S = 100.0


@final
class Watch:
    """Hears what a worker says, and when.

    Attributes:
        states: Which account was in which state since when.
        delays_s: Between two incarnations of a child.
    """

    def __init__(self) -> None:
        self.states: list[tuple[float, AccountId, AccountState]] = []
        self.delays_s: list[float] = []
        self._news = trio.Event()

    def __call__(self, event: object) -> None:
        """Take note."""
        match event:
            case AccountChanged():
                self.states.append((perf_counter(), event.account, event.state))
            case RestartScheduled():
                self.delays_s.append(event.delay_s)
            case _:
                return
        self._news.set()
        self._news = trio.Event()

    async def when(self, account: AccountId, state: AccountState, *, since_s: float) -> float:
        """Wait until an account is in a state that it was not in before; returns when."""
        with trio.fail_after(WITHIN_S):
            while True:
                for at_s, who, what in self.states:
                    if at_s >= since_s and (who, what) == (account, state):
                        return at_s
                await self._news.wait()


@final
@dataclass(frozen=True, slots=True)
class Inside:
    """A worker that runs.

    Attributes:
        store: Its store.
        data: Its data folder.
        accounts: The accounts' ids.
    """

    store: EmbeddedStore
    data: DataFolder
    accounts: tuple[AccountId, ...]


def _as_it_is(store: EmbeddedStore) -> Any:
    return store


@asynccontextmanager
async def open_inside(
    cloud: Cloud,
    users: Sequence[CloudUser],
    watch: Watch,
    *,
    limits: Limits | None = None,
    adjust: Callable[[ChildSpec], ChildSpec] = lambda spec: spec,
    restart_backoff: Backoff = RESTART_BACKOFF,
    before: Callable[[EmbeddedStore], Any] = _as_it_is,
) -> AsyncGenerator[Inside]:
    """An account for each user, in a store of its own, all of them online.

    Args:
        cloud: The sandbox.
        users: Whose accounts.
        watch: Hears what the worker says.
        limits: The deadlines; the default ones if nothing is said.
        adjust: The last word on every child's spec.
        restart_backoff: Between two incarnations of a child.
        before: What stands before the store for the worker, with the store's methods.
    """
    vault = FernetVault([new_key()])
    with TemporaryDirectory() as name:
        data = DataFolder(Path(name))
        with (
            data.hold(),
            open_store(data, as_worker=True) as store,
            closing(HeartbeatFile(data.heartbeats)) as own,
        ):
            accounts = [
                await store.add_account(f"{number}", OWNER, vault.encrypt(user.session), user_id=user.id)
                for number, user in enumerate(users)
            ]
            host, _, port = cloud.server.partition(":")
            server = TelegramServer(host=host, port=int(port), dc=cloud.dc, public_key=cloud.key)
            parts = Parts(
                worker_id="bench",
                incarnation=store.incarnation,
                data_dir=data.path,
                limits=Limits() if limits is None else limits,
                stall_after_s=60,
                store=before(store),
                files=EmbeddedFiles(data.files),
                telegram=make_telegram(
                    TelegramSettings(api_id=1, api_hash=Secret("sandbox"), server=server), watch
                ),
                vault=vault,
                heartbeats=(own,),
                rng=random.Random(1),
                report=watch,
                observers=(watch,),
                adjust=adjust,
                rates=UNPACED,
                restart_backoff=restart_backoff,
            )
            async with Worker(parts).open():
                for account in accounts:
                    await watch.when(account, AccountState.ONLINE, since_s=0)
                yield Inside(store, data, tuple(accounts))
