"""An account's chats as Telegram lists them, page by page: the one with the newest message first."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from telethon import utils
from telethon.tl import functions, types

from tgworker.telegram.client import AccountClient
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.peers import input_peer, marked_id, peers_of

if TYPE_CHECKING:
    from tgworker.messaging.models import Peer

DIALOGS_PER_PAGE = 100
DIALOG_PAGES = 20
"""At most 2,000 chats are looked through: Telegram answers with flood waits to those who read much more."""


ARCHIVE = 1
"""Its folder (https://core.telegram.org/api/folders); where it is listed as one entry, it is read apart."""

_BEGIN: tuple[Any, int, Any] = (None, 0, types.InputPeerEmpty())


class DialogPages:
    """Reads on from page to page (https://core.telegram.org/api/offsets).

    Args:
        client: Whom to ask.
        book: Where everybody goes who is found.
        patient: Whether Telegram is asked again until it answers, whatever it says meanwhile.
        most: How many pages are read; ``None``: all.
        begin: Where to go on, as `cursor` had it; ``None`` (or what is no such place): with the first page.
        wrap: What each request is put into.

    Attributes:
        changed: Who of the last page was known otherwise before: by another name, for example.
    """

    def __init__(
        self,
        client: AccountClient,
        book: PeerBook,
        *,
        patient: bool = False,
        most: int | None = DIALOG_PAGES,
        begin: str | None = None,
        wrap: Callable[[Any], Any] = lambda request: request,
    ) -> None:
        self._ask_aio = client.ask_patiently_aio if patient else client.ask_aio
        self._book = book
        self._most = most
        self._pages = 0
        self._offset: tuple[Any, int, Any] | None = _BEGIN
        self._folder: int | None = None
        self._has_archive = False
        self.changed: tuple[Peer, ...] = ()
        self._wrap = wrap
        if begin is not None:
            self._go_on(begin)

    @property
    def cursor(self) -> str | None:
        """Where the next page begins, to be stored; ``None``: there is none."""
        if self._offset is None:
            return None
        date, message_id, peer = self._offset
        chat_id = None if isinstance(peer, types.InputPeerEmpty) else int(utils.get_peer_id(peer))
        date_s = None if date is None else int(date.timestamp())
        return json.dumps([date_s, message_id, chat_id, self._folder, self._has_archive])

    def _go_on(self, cursor: str) -> None:
        try:
            date_s, message_id, chat_id, folder, has_archive = json.loads(cursor)
            date = None if date_s is None else datetime.fromtimestamp(date_s, UTC)
        except (ValueError, TypeError, OverflowError):
            return
        known = None if chat_id is None else self._book.get(chat_id)
        peer = types.InputPeerEmpty() if known is None else input_peer(known)
        self._offset = (date, message_id, peer)
        self._folder, self._has_archive = folder, has_archive

    async def read_aio(self) -> Any:
        """The next page, ``messages.dialogs`` or a slice of them; ``None`` after the last one.

        Raises:
            LineLost: The line broke.
            RPCError: Telegram refused it. The next call asks for the same page.
        """
        if self._offset is None:
            return None
        date, message_id, peer = self._offset
        request = functions.messages.GetDialogsRequest(
            offset_date=date,
            offset_id=message_id,
            offset_peer=peer,
            limit=DIALOGS_PER_PAGE,
            hash=0,
            folder_id=self._folder,
        )
        page = await self._ask_aio(self._wrap(request))
        self._pages += 1
        self.changed = self._book.learn(peers_of([*getattr(page, "users", ()), *getattr(page, "chats", ())]))
        self._has_archive |= any(isinstance(each, types.DialogFolder) for each in page.dialogs)
        self._offset = self._after(page, message_id)
        if self._offset is None:
            self.enough()
        if self._most is not None and self._pages >= self._most:
            self._offset = None
        return page

    def enough(self) -> None:
        """No more of this folder: the archive comes next, if there is one that was not read."""
        self._offset = _BEGIN if self._has_archive and self._folder is None else None
        self._folder = ARCHIVE

    def _after(self, page: Any, message_id: int) -> tuple[Any, int, Any] | None:
        if not isinstance(page, types.messages.DialogsSlice):
            return None
        last = next((top for top in map(tops(page).get, map(key_of, reversed(page.dialogs))) if top), None)
        if last is None or last.id == message_id:
            return None
        known = self._book.get(marked_id(last.peer_id))
        return (last.date, last.id, types.InputPeerEmpty() if known is None else input_peer(known))


def tops(page: Any) -> dict[tuple[int, int], Any]:
    """The messages that came with a page, by chat and id."""
    return {(marked_id(m.peer_id), m.id): m for m in page.messages if getattr(m, "date", None) is not None}


def key_of(dialog: Any) -> tuple[int, int]:
    """Chat and id of a dialog's newest message."""
    return marked_id(dialog.peer), dialog.top_message
