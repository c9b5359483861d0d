"""Files that messages carry, either way: what the loops that move them ask of the database."""

from collections.abc import Mapping, Sequence
from typing import assert_never

from tgworker.messaging.incoming_files import (
    Fetched,
    FetchLater,
    FetchOutcome,
    IncomingFile,
    NotFetched,
    WantedAvatar,
)
from tgworker.messaging.media import FileFacts
from tgworker.messaging.models import AccountId, Attempt, MessageId
from tgworker.messaging.values import storable
from tgworker.supabase.leases import SupabaseLeases
from tgworker.supabase.raised import raised_for
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import Row


class _File(Row):
    message_id: MessageId
    owner_id: str
    chat_id: int
    telegram_id: int
    facts: FileFacts
    tries: int

    def file(self) -> IncomingFile:
        return IncomingFile(
            self.message_id, self.owner_id, self.chat_id, self.telegram_id, self.facts, self.tries
        )


class _Avatar(Row):
    chat_id: int
    photo_id: int
    owner_id: str
    tries: int

    def avatar(self) -> WantedAvatar:
        return WantedAvatar(self.chat_id, self.photo_id, self.owner_id, self.tries)


class OutgoingMedia:
    """Fills `tgworker.messaging.media_ports.OutgoingMediaStore`. Every method raises as `Rest`.

    Args:
        rest: The project's REST API.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def record_progress(self, attempt: Attempt, done: int, total: int) -> None:
        """See the port."""
        arguments = {
            "p_message": attempt.message_id,
            "p_claim": attempt.fence,
            "p_done": done,
            "p_total": total,
        }
        await self._rest.do("tgworker_record_progress", arguments)


class IncomingMedia:
    """Fills `tgworker.messaging.media_ports.MediaStore`. Every method raises as `Rest`.

    What is finished also raises `LeaseLost` where the account is no more ours.

    Args:
        rest: The project's REST API.
        leases: Whose tokens are written with.
    """

    def __init__(self, rest: Rest, leases: SupabaseLeases) -> None:
        self._rest = rest
        self._leases = leases

    async def wanted_files(self, account_id: AccountId, *, limit: int = 100) -> Sequence[IncomingFile]:
        """See the port."""
        asked = {"p_account": account_id, "p_limit": limit}
        return [row.file() for row in await self._rest.call("tgworker_wanted_files", asked, list[_File])]

    async def finish_file(self, account_id: AccountId, file: IncomingFile, outcome: FetchOutcome) -> None:
        """See the port."""
        arguments = {
            "p_account": account_id,
            "p_fence": self._leases.fence(account_id),
            "p_message": file.message_id,
            "p_outcome": outcome_json(outcome, file.tries),
        }
        with raised_for(self._leases, account_id):
            await self._rest.do("tgworker_finish_file", arguments)

    async def wanted_avatars(self, account_id: AccountId, *, limit: int = 100) -> Sequence[WantedAvatar]:
        """See the port."""
        asked = {"p_account": account_id, "p_limit": limit}
        rows = await self._rest.call("tgworker_wanted_avatars", asked, list[_Avatar])
        return [row.avatar() for row in rows]

    async def finish_avatar(
        self, account_id: AccountId, avatar: WantedAvatar, outcome: FetchOutcome, *, url: str | None = None
    ) -> None:
        """See the port.

        Raises:
            AccountGone: There is no such account any more.
        """
        told: Mapping[str, object] = {"outcome": "fetched", "url": url}
        if not isinstance(outcome, Fetched):
            told = outcome_json(outcome, avatar.tries)
        arguments = {
            "p_account": account_id,
            "p_fence": self._leases.fence(account_id),
            "p_chat": avatar.chat_id,
            "p_photo": avatar.photo_id,
            "p_outcome": {**told, "outcome": "failed"} if told["outcome"] == "unwanted" else told,
        }
        with raised_for(self._leases, account_id):
            await self._rest.do("tgworker_finish_avatar", arguments)


def outcome_json(outcome: FetchOutcome, tries: int) -> Mapping[str, object]:
    """The ``p_outcome`` of ``tgworker_finish_file``.

    Args:
        outcome: What became of a file.
        tries: So many attempts to fetch it had failed before.
    """
    match outcome:
        case Fetched():
            return {
                "outcome": "fetched",
                "bucket": outcome.bucket,
                "path": outcome.path,
                "file_name": storable(outcome.file_name),
                "mime_type": storable(outcome.mime_type),
                "byte_size": outcome.byte_size,
            }
        case NotFetched():
            state = "unwanted" if outcome.unwanted else "failed"
            return {"outcome": state, "reason": storable(outcome.reason)}
        case FetchLater():
            return {
                "outcome": "later",
                "retry_after_s": outcome.retry_after_s,
                "tries": tries + outcome.counts,
                "reason": storable(outcome.reason),
            }
        case _:
            assert_never(outcome)
