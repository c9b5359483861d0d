"""Chats of which Telegram no longer tells what was missed: their history has to be read."""

from datetime import timedelta
from typing import Any

from tgworker.messaging.models import PeerKind, Position
from tgworker.messaging.update_batches import Gap
from tgworker.telegram.batches import date_of
from tgworker.telegram.client import AccountClient
from tgworker.telegram.dialogs import DialogPages, key_of, tops
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peers import CHANNEL_MARK, kind_of, marked_id
from tgworker.telegram.update_box import ACCOUNT

MARGIN = timedelta(days=1)
"""Chats whose newest message is older than the position by this much are not looked at: the position's date
also moves with what comes from channels while the account's own log stands still."""


async def gaps_aio(
    client: AccountClient, logs: list[int], position: Position, book: PeerBook
) -> tuple[Gap, ...]:
    """The chats that have a gap, since these logs were skipped.

    Args:
        client: Whom to ask; until it answers, however long that takes.
        logs: `ACCOUNT`, or the bare id of a channel.
        position: How far the log was read. (`DifferenceTooLong` moves its ``pts``, not its date.)
        book: Where everybody goes who is found.

    Raises:
        LineLost: The line broke.
        RPCError: Telegram's final no to the account.
    """
    gaps = [Gap(-log - CHANNEL_MARK, None) for log in logs if log != ACCOUNT]
    if ACCOUNT in logs:
        gaps += await _private_gaps_aio(client, position, book)
    return tuple(gaps)


async def _private_gaps_aio(client: AccountClient, position: Position, book: PeerBook) -> list[Gap]:
    """Private chats and basic groups in which anything may have happened since."""
    since = date_of(position) - MARGIN
    pages = DialogPages(client, book, patient=True, most=None)
    gaps: list[Gap] = []
    while True:
        page: Any = await pages.read_aio()
        if page is None:
            return gaps
        newest = tops(page)
        last = None
        for dialog in page.dialogs:
            top = newest.get(key_of(dialog))
            if top is None:
                continue
            is_pinned = bool(getattr(dialog, "pinned", False))
            last = last if is_pinned else top  # pinned ones stand first, however old they are
            chat_id = marked_id(dialog.peer)
            if top.date >= since and kind_of(chat_id) is not PeerKind.CHANNEL:
                gaps.append(Gap(chat_id, None if top.out else top.id))
        if last is not None and last.date < since:
            pages.enough()
