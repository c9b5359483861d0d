"""Whose the messages are that a look into a chat's history has shown."""

from collections.abc import Collection, Sequence

from tgworker.messaging.models import AccountId, Attempt, ConversationId, Copy, Doubt, MessageId, Owned
from tgworker.supabase.leases import SupabaseLeases
from tgworker.supabase.raised import raised_for
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import FileRow, PeerRow, Row


class _Owned(Row):
    ids: list[int]
    rivals: bool


class _Unnamed(Row):
    message_id: MessageId
    conversation_id: ConversationId
    peer: PeerRow
    text: str
    parse_mode: str | None
    text_limit: int
    random_id: int
    number: int
    claim: int
    top_id: int
    message_type: str | None
    files: list[FileRow]
    caption_limit: int

    def attempt(self, account_id: AccountId) -> Attempt:
        return Attempt(
            message_id=self.message_id,
            account_id=account_id,
            conversation_id=self.conversation_id,
            to=str(self.peer.chat_id),
            peer=self.peer.peer(),
            text=self.text,
            part=0,
            random_id=self.random_id,
            number=self.number,
            fence=self.claim,
            parse_mode=self.parse_mode,
            text_limit=self.text_limit,
            parts=1,
            doubt=Doubt(0, self.top_id),
            message_type=self.message_type,
            files=tuple(file.file() for file in self.files),
            caption_limit=self.caption_limit,
        )


class Doubts:
    """Fills `tgworker.messaging.store_ports.DoubtStore`. Every method raises as `Rest`.

    Args:
        rest: The project's REST API.
        leases: Whose tokens are written with.
    """

    def __init__(self, rest: Rest, leases: SupabaseLeases) -> None:
        self._rest = rest
        self._leases = leases

    async def owned(self, attempt: Attempt, chat_id: int, telegram_ids: Collection[int]) -> Owned:
        """See the port."""
        answer = await self._rest.call(
            "tgworker_owned",
            {
                "p_account": attempt.account_id,
                "p_message": attempt.message_id,
                "p_chat": chat_id,
                "p_telegram_ids": sorted(telegram_ids),
            },
            _Owned,
        )
        return Owned(frozenset(answer.ids), answer.rivals)

    async def unnamed(self, account_id: AccountId) -> Sequence[Attempt]:
        """See the port.

        Raises:
            LeaseLost: The account is no more ours.
        """
        fence = self._leases.fence(account_id)
        with raised_for(self._leases, account_id):
            rows = await self._rest.call(
                "tgworker_unnamed", {"p_account": account_id, "p_fence": fence}, list[_Unnamed]
            )
        return [row.attempt(account_id) for row in rows]

    async def name(self, attempt: Attempt, chat_id: int, copy: Copy) -> None:
        """See the port.

        Raises:
            LeaseLost: The account is no more ours.
        """
        arguments = {
            "p_account": attempt.account_id,
            "p_fence": self._leases.fence(attempt.account_id),
            "p_message": attempt.message_id,
            "p_chat": chat_id,
            "p_telegram_id": copy.telegram_id,
            "p_sent_at": copy.sent_at,
        }
        with raised_for(self._leases, attempt.account_id):
            await self._rest.do("tgworker_name", arguments)
