"""What message jobs ask of an account's line."""

from collections.abc import Sequence
from typing import Protocol

from tgworker.messaging.formatted import FormattedText
from tgworker.messaging.job_outcomes import JobAnswer
from tgworker.messaging.models import Peer


class JobConnection(Protocol):
    """The part of `tgworker.messaging.ports.Connection` that does something about messages.

    Every method is one attempt of one request (a delete: one for every hundred messages), raises
    `TelegramAway` where there is no line or it breaks, and may be repeated: what is done already is `Done`
    again. If it is cancelled, Telegram may or may not have done it.
    """

    async def edit(self, peer: Peer, telegram_id: int, text: FormattedText) -> JobAnswer:
        """Give a message of the account's own another text, or its file another caption."""
        ...

    async def delete(self, peer: Peer, telegram_ids: Sequence[int], *, for_both: bool) -> JobAnswer:
        """Delete messages, ``for_both`` sides or only for this account; what is gone already is done."""
        ...

    async def mark_read(self, peer: Peer, *, up_to: int) -> JobAnswer:
        """Say that the account has read a chat, up to a message; 0: all of it."""
        ...

    async def set_typing(self, peer: Peer) -> JobAnswer:
        """Show for some seconds that the account types (https://core.telegram.org/method/messages.setTyping)."""
        ...

    async def react(self, peer: Peer, telegram_id: int, emoji: str | None) -> JobAnswer:
        """Give this reaction and no other: an emoji, ``custom:`` and a document id, or ``None``."""
        ...

    async def pin(
        self, peer: Peer, telegram_id: int, *, pinned: bool, notify: bool, for_both: bool
    ) -> JobAnswer:
        """Pin a message, or no longer; ``for_both`` sides of a private chat or only here."""
        ...

    async def forward(
        self, peer: Peer, telegram_ids: Sequence[int], to: Peer, random_ids: Sequence[int]
    ) -> JobAnswer:
        """Send messages on. The same ``random_ids`` again make no others."""
        ...
