"""A history job for a whole account: its takeout session, the list of its chats, and its end.

Their histories are read by jobs of their own, as any (`tgworker.messaging.history_reader`).
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from functools import partial

from tgworker.messaging.bounded import Outage
from tgworker.messaging.errors import SessionUnreadable
from tgworker.messaging.history_asking import HistoryAsking
from tgworker.messaging.history_words import allow_it, in_words
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import HistoryJob
from tgworker.messaging.outcomes import TAKEOUT_OVER, NotYetAllowed, Refused
from tgworker.messaging.ports import Connection, Vault
from tgworker.messaging.store_ports import HistoryStore

LIST_METHOD = "messages.getDialogs"
TAKEOUT_METHOD = "account.initTakeoutSession"

ASK_AGAIN_S = 300.0
"""So often Telegram is asked whether the export may begin: nobody tells when its owner has allowed it."""


class Advance(Enum):
    """What became of a job for a whole account."""

    LET_GO = "let go"
    """It is claimed again at its time, or once those of its chats have ended; or it had ended before."""

    DONE = "done"
    """Those of its chats have ended."""


class WholeAccount:
    """Goes through one account's jobs for all of its chats, as far as that needs its line.

    Args:
        asking: Puts the questions.
        connection: The line.
        store: Where the jobs of its chats are filed.
        vault: Seals the session's id.
        limits: The deadlines.
        outage: What is known of the store.
        now: The calendar, aware.
    """

    def __init__(
        self,
        asking: HistoryAsking,
        *,
        connection: Connection,
        store: HistoryStore,
        vault: Vault,
        limits: Limits,
        outage: Outage,
        now: Callable[[], datetime],
    ) -> None:
        self._asking = asking
        self._connection = connection
        self._store = store
        self._vault = vault
        self._limits = limits
        self._outage = outage
        self._now = now
        self._session: int | None = None  # of the job that is being advanced

    def takeout_of(self, job: HistoryJob) -> int | None:
        """The takeout session that a job is read in; ``None``: none, or one that opens under no key."""
        if job.takeout is None:
            return None
        try:
            return int(self._vault.decrypt(job.takeout).value)
        except (SessionUnreadable, ValueError):
            return None

    async def forget_takeout(self, job: HistoryJob) -> None:
        """Note that a job's takeout session is over: what is left of the account is read without one."""
        await self._outage.insist(
            "database.takeout", self._limits.database_s, partial(self._store.keep_takeout, job, None)
        )

    async def advance(self, job: HistoryJob) -> Advance | Refused:
        """Do what can be done now for a job for a whole account; `Refused`: it has failed.

        Cancellation: what was filed stays, and the next line goes on there. A session that was begun and not
        stored is replaced by the next.
        """
        assert job.whole is not None
        takeout = self._session = self.takeout_of(job)
        if job.whole.is_ended:
            await self.close(job, success=False)
            await self.forget_takeout(job)
            return Advance.LET_GO
        if job.whole.is_listed:
            await self.close(job, success=True)
            return Advance.DONE
        if takeout is None:
            opened = await self._open(job)
            if isinstance(opened, NotYetAllowed):
                return Advance.LET_GO
            takeout = self._session = opened
        refused = await self._list(job, takeout)
        if refused is None:
            return Advance.LET_GO
        await self.close(job, success=False)
        return refused

    async def close(self, job: HistoryJob, *, success: bool) -> None:
        """End a job's takeout session, if it has one."""
        takeout = self.takeout_of(job) if self._session is None else self._session
        self._session = None
        if takeout is not None:
            close = partial(self._connection.close_takeout, takeout, success=success)
            await self._asking.ask(TAKEOUT_METHOD, close)

    async def _open(self, job: HistoryJob) -> int | NotYetAllowed | None:
        """A session, where one is to be had; without one Telegram is only less patient."""
        opened: int | NotYetAllowed | Refused = await self._asking.ask(
            TAKEOUT_METHOD, self._connection.open_takeout
        )
        if isinstance(opened, NotYetAllowed):
            note = allow_it(opened.reason, self._now() + timedelta(seconds=opened.wait_s))
            seconds = min(opened.wait_s, ASK_AGAIN_S)
            await self._outage.insist(
                "database.takeout",
                self._limits.database_s,
                partial(self._store.put_history_off, job, seconds=seconds, note=note),
            )
            return opened
        if isinstance(opened, Refused):
            return None
        sealed = self._vault.encrypt(str(opened))
        await self._outage.insist(
            "database.takeout", self._limits.database_s, partial(self._store.keep_takeout, job, sealed)
        )
        return opened

    async def _list(self, job: HistoryJob, takeout: int | None) -> Refused | None:
        """File the jobs of all chats, page by page."""
        assert job.whole is not None
        cursor = job.whole.cursor
        while True:
            page = await self._asking.ask(
                LIST_METHOD, partial(self._connection.chats, cursor, takeout=takeout)
            )
            if isinstance(page, Refused):
                if takeout is None or page.reason not in TAKEOUT_OVER:
                    return Refused(in_words(page.reason))
                await self.forget_takeout(job)
                takeout = None
                continue
            cursor = page.cursor
            await self._outage.insist(
                "database.file_chats",
                self._limits.database_s,
                partial(self._store.file_chats, job, page.chat_ids, page.peers, cursor=cursor),
            )
            if cursor is None:
                return None
