"""What a line works with once it is connected."""

from dataclasses import dataclass

from tgworker.messaging.models import Position
from tgworker.telegram.batches import position_of
from tgworker.telegram.client import AccountClient
from tgworker.telegram.comparing import Comparison
from tgworker.telegram.history import Histories
from tgworker.telegram.media_line import MediaLine
from tgworker.telegram.message_jobs import JobLine
from tgworker.telegram.resolving import Resolver
from tgworker.telegram.sending import Sender
from tgworker.telegram.takeouts import Takeouts


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """One connected client, and who asks Telegram for what with it.

    Attributes:
        client: The client.
        sender: Sends texts, and learns what became of them.
        media: Sends and fetches files.
        resolver: Finds people.
        comparison: Finds chats that Telegram has stopped to tell of.
        jobs: Does message jobs.
        histories: Reads histories.
        takeouts: Exports whole accounts.
    """

    client: AccountClient
    sender: Sender
    media: MediaLine
    resolver: Resolver
    comparison: Comparison
    jobs: JobLine
    histories: Histories
    takeouts: Takeouts

    def log_at(self) -> Position:
        """How far the update log has been read."""
        return position_of(self.client._message_box.session_state())
