"""Moving accounts between the application's old worker and this one, step by step."""

from collections.abc import Sequence

from tgworker.messaging.books import HandoverStep, StoredSession
from tgworker.messaging.models import AccountId
from tgworker.supabase.raised import raised_for
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import Row


class _Step(Row):
    state: str
    for_s: float = 0.0
    held: int = 0
    unsure: int = 0
    renewed: bool = False


class _Session(Row):
    application: str
    ours: str | None


class _Finished(Row):
    finished: list[AccountId]


class Adoption:
    """Fills `tgworker.messaging.books.AdoptionBook`. Every method raises as `Rest`.

    Args:
        rest: The project's REST API.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def session(self, account_id: AccountId) -> StoredSession:
        """See the book.

        Raises:
            AccountGone: There is no such account.
        """
        with raised_for(None, None):
            found = await self._rest.call("tgworker_stored_session", {"p_account": account_id}, _Session)
        return StoredSession(application=found.application, ours=found.ours)

    async def adopt(
        self, account_id: AccountId, *, read: str | None = None, sealed: str | None = None
    ) -> HandoverStep:
        """See the book.

        Raises:
            AccountGone: There is no such account.
            StoreFault: The database had no worker before: there is nothing to adopt.
        """
        return await self._step("tgworker_adopt_account", account_id, p_read=read, p_session=sealed)

    async def release(self, account_id: AccountId) -> HandoverStep:
        """See the book.

        Raises:
            StoreFault: The account was not adopted.
        """
        return await self._step("tgworker_release_account", account_id)

    async def finish(self) -> Sequence[AccountId]:
        """See the book."""
        with raised_for(None, None):
            return (await self._rest.call("tgworker_finish_adoption", {}, _Finished)).finished

    async def _step(self, function: str, account_id: AccountId, **more: str | None) -> HandoverStep:
        with raised_for(None, None):
            step = await self._rest.call(function, {"p_account": account_id, **more}, _Step)
        return HandoverStep(
            wait_s=max(step.for_s, 0.0) if step.state == "waiting" else None,
            messages=step.held + step.unsure,
            renewed=step.renewed,
        )
