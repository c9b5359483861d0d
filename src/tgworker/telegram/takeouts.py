"""Takeout sessions: reading much with Telegram's leave (https://core.telegram.org/api/takeout).

Ranges of messages (``messages.getSplitRanges``) are not asked for: without one, a request within the session
is answered as outside of it, with everything.
"""

import re
from typing import Any

from telethon import errors
from telethon.errors import RPCError
from telethon.tl import functions, types

from tgworker.messaging.models import ChatList
from tgworker.messaging.outcomes import TAKEOUT_OVER, Deferred, NotYetAllowed, Refused
from tgworker.telegram.client import AccountClient
from tgworker.telegram.dialogs import DialogPages
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peers import marked_id, told_of
from tgworker.telegram.rpc_errors import error_name, question_outcome


def within(takeout: int | None, request: Any) -> Any:
    """A request as it is made within a takeout session; ``None``: outside of any."""
    return request if takeout is None else functions.InvokeWithTakeoutRequest(takeout, request)


class Takeouts:
    """Takeout sessions over one line, and what is read in them alone: the list of all chats.

    Args:
        client: A connected client.
        book: Where everybody goes who is found.
    """

    def __init__(self, client: AccountClient, book: PeerBook) -> None:
        self._client = client
        self._book = book

    async def open_aio(self) -> int | NotYetAllowed | Deferred | Refused:
        """Begin a session, for messages alone: files are fetched as those of any message.

        Raises:
            LineLost: The line broke.
            RPCError: The account itself was refused.

        Cancellation: Telegram may have begun one. The next takes its place.
        """
        request = functions.account.InitTakeoutSessionRequest(
            message_users=True, message_chats=True, message_megagroups=True, message_channels=True
        )
        try:
            return int((await self._client.ask_aio(request)).id)
        except RPCError as error:
            delay = delay_of(error)
            return question_outcome(error) if delay is None else NotYetAllowed(delay, error_name(error))

    async def close_aio(self, takeout: int, success: bool) -> Deferred | Refused | None:
        """End a session; raises as `open_aio`. One that is over already is no error."""
        request = functions.account.FinishTakeoutSessionRequest(success=success or None)
        try:
            await self._client.ask_aio(within(takeout, request))
        except RPCError as error:
            return None if error_name(error) in TAKEOUT_OVER else question_outcome(error)
        return None

    async def chats_aio(self, cursor: str | None, takeout: int | None) -> ChatList | Deferred | Refused:
        """A page of the list of chats, the archive behind the others; raises as `open_aio`."""
        pages = DialogPages(
            self._client, self._book, most=None, begin=cursor, wrap=lambda request: within(takeout, request)
        )
        try:
            page = await pages.read_aio()
        except RPCError as error:
            return question_outcome(error)
        if page is None:
            return ChatList((), (), None)
        return ChatList(
            tuple(marked_id(each.peer) for each in page.dialogs if isinstance(each, types.Dialog)),
            (*told_of(getattr(page, "users", ())), *told_of(getattr(page, "chats", ()))),
            pages.cursor,
        )


def delay_of(error: RPCError) -> float | None:
    """Seconds until a session may begin, if that is what an error says."""
    if isinstance(error, errors.TakeoutInitDelayError):
        return float(max(1, error.seconds))
    announced = re.fullmatch(r"TAKEOUT_INIT_DELAY_(\d+)", error_name(error))
    return float(max(1, int(announced[1]))) if announced else None
