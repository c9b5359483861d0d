"""What Telegram says of where its update logs stand, asked for in small pieces."""

from typing import TYPE_CHECKING, Any

from telethon.errors import RPCError
from telethon.tl import functions, types

from tgworker.messaging.hearing import Heard, Told
from tgworker.messaging.update_batches import UpdateBatch
from tgworker.telegram.client import AccountClient
from tgworker.telegram.dialog_reads import DialogReads
from tgworker.telegram.dialogs import DialogPages
from tgworker.telegram.inbox import Inbox
from tgworker.telegram.missed_reactions import MissedReactions
from tgworker.telegram.peer_book import PeerBook
from tgworker.telegram.rpc_errors import account_refusal
from tgworker.telegram.update_box import ACCOUNT

if TYPE_CHECKING:
    from tgworker.messaging.models import Peer

CHANNELS_EVERY = 4
"""Once all dialogs were seen, the first page of them is asked for every so many times: there stand those in
which something has happened. A page costs a hundred times as much as the account's own state."""


class Comparison:
    """Asks where the logs stand: the account's own each time, channels page by page of the dialogs.

    The first time through all pages it goes on each time: what happened in a channel while no line was
    held is found so, also where Telegram does not say by itself that there is something. Channels that the
    update log has not met are followed from then on. How far channels were read is put among the updates,
    and so is who is called otherwise now than he was: no log has it.

    Args:
        client: Whom to ask.
        book: Where everybody goes who is found.
        inbox: Where updates wait for the store.
        missed: Asks about reactions that the list of chats counts, of each line's first reading.
        can_list: Whether the account may ask for its dialogs. Of one that may not, only its own log is
            compared.
    """

    def __init__(
        self,
        client: AccountClient,
        book: PeerBook,
        inbox: Inbox,
        missed: MissedReactions,
        *,
        can_list: bool = True,
    ) -> None:
        self._client = client
        self._book = book
        self._inbox = inbox
        self._missed = missed
        self._pages = DialogPages(client, book)
        self._reads = DialogReads()
        self._changed: list[Peer] = []
        self._can_list = self._is_first_time = can_list
        self._times = 0

    async def ask_aio(self) -> Told:
        """One time: one request or two. What Telegram refuses to say is left out.

        Raises:
            LineLost: The line broke.
        """
        self._times += 1
        logs: dict[int, int] = {}
        try:
            state: Any = await self._client.ask_aio(functions.updates.GetStateRequest())
            logs[ACCOUNT] = state.pts
            if self._is_first_time or (self._times % CHANNELS_EVERY == 0 and self._follows_channels()):
                logs.update(await self._channels_aio())
        except RPCError as error:
            if account_refusal(error) is not None:
                raise
        # Those that wait for a log, too, which may be there by now.
        self._client.tell_nowait(self._reads.due(self._client.box.stands()))
        if self._changed and not self._inbox.is_full:
            changed, self._changed = tuple(self._changed), []
            await self._inbox.put_aio(UpdateBatch((), changed, (), None))
        return Told(logs, more=self._is_first_time)

    def heard(self, now: float) -> Heard:
        """How far the logs were read.

        Args:
            now: The loop's clock.
        """
        box = self._client.box
        is_excused = self._inbox.is_full or box.waits_until() > now
        return Heard(box.stands(), box.answered, is_excused)

    def _follows_channels(self) -> bool:
        return self._can_list and len(self._client.box.stands()) > 1

    async def _channels_aio(self) -> dict[int, int]:
        if not self._is_first_time:
            self._pages = DialogPages(self._client, self._book)
        page = await self._pages.read_aio()
        if page is None:
            self._is_first_time = False
            return {}
        if self._is_first_time:  # later ones are heard
            self._missed.want(page.dialogs)
        dialogs: list[Any] = [
            dialog
            for dialog in page.dialogs
            if isinstance(dialog, types.Dialog) and isinstance(dialog.peer, types.PeerChannel) and dialog.pts
        ]
        found: dict[int, int] = {dialog.peer.channel_id: dialog.pts for dialog in dialogs}
        for channel_id, pts in found.items():
            self._client.box.try_set_channel_state(channel_id, pts)
        self._reads.note(dialogs)
        self._changed += self._pages.changed
        return found
