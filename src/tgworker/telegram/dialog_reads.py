"""How far channels and supergroups were read, as the list of chats has it.

Reads in them move no log, so no difference tells later of those that nobody heard. Private chats and basic
groups are left out: their reads stand in the account's own log.

Source: https://core.telegram.org/constructor/dialog (``read_inbox_max_id``, ``read_outbox_max_id``)
"""

from collections.abc import Iterable, Mapping
from typing import Any

from telethon.tl import types


class DialogReads:
    """Makes updates of what dialogs say, each once, and none before the messages that it is about.

    It holds a few numbers for each channel that the account is in.
    """

    def __init__(self) -> None:
        self._told: dict[int, tuple[int, int, int]] = {}
        self._waiting: dict[int, Any] = {}

    def note(self, dialogs: Iterable[Any]) -> None:
        """Take dialogs of channels as Telegram has them now."""
        for dialog in dialogs:
            if self._told.get(dialog.peer.channel_id) != _read(dialog):
                self._waiting[dialog.peer.channel_id] = dialog

    def due(self, stands: Mapping[int, int]) -> list[Any]:
        """The updates that may be told: those of channels whose log was heard as far as the dialog knows it.

        Args:
            stands: The ``pts`` of each log, channels by their bare ids.
        """
        heard = [id_ for id_, dialog in self._waiting.items() if stands.get(id_, -1) >= dialog.pts]
        updates: list[Any] = []
        for channel_id in heard:
            dialog = self._waiting.pop(channel_id)
            read_in, read_out, unread = self._told[channel_id] = _read(dialog)
            if read_in:
                updates.append(types.UpdateReadChannelInbox(channel_id, read_in, unread, dialog.pts))
            if read_out:
                updates.append(types.UpdateReadChannelOutbox(channel_id, read_out))
        return updates


def _read(dialog: Any) -> tuple[int, int, int]:
    return dialog.read_inbox_max_id, dialog.read_outbox_max_id, dialog.unread_count
