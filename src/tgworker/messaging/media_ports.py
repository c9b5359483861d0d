"""What sending and fetching files asks of Telegram and of the stores, as small Protocols."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from tgworker.messaging.formatted import FormattedText
from tgworker.messaging.incoming_files import FetchOutcome, IncomingFile, WantedAvatar
from tgworker.messaging.media import FileFacts, PartialUpload
from tgworker.messaging.models import AccountId, Attempt, Look, Peer
from tgworker.messaging.outcomes import Deferred, Outcome, Refused


@dataclass(frozen=True, slots=True)
class MediaMessage:
    """One Telegram message with a file: alone, or one of an album.

    Attributes:
        file: What was uploaded, whole.
        facts: What it is sent as.
        caption: What stands under it.
        random_id: Telegram's idempotency key.
        waveform: Of a voice note, packed as Telegram wants it.
    """

    file: PartialUpload
    facts: FileFacts
    caption: FormattedText
    random_id: int
    waveform: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PartsForgotten:
    """Telegram has parts of these files no more (``FILE_PART_X_MISSING``): nothing was sent.

    Attributes:
        files: Which of the messages, and which part of its file, ``None``: all of it.
    """

    files: Mapping[int, int | None]


class Upload(Protocol):
    """A file on its way to Telegram over one line. Parts may be sent in any order, and again."""

    async def send(self, number: int, data: bytes) -> Deferred | Refused | None:
        """Hand over a part; several are on their way at a time, and it waits while there are too many.

        What it says may be about a part that was taken before. After `Deferred`, ``data`` was not taken:
        wait, and send the same part again; parts that were not acknowledged the upload repeats by itself.

        Raises:
            TelegramAway: The line is gone. What was acknowledged stands in the `PartialUpload`: another line
                goes on there.

        Cancellation: the part may be taken or not; sending it again is harmless.
        """
        ...

    async def finish(self) -> Deferred | Refused | None:
        """Wait until every part that was sent is acknowledged. After `Deferred`: wait, and call it again."""
        ...


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as one account may fetch it just now; the reference in it expires.

    Attributes:
        facts: What it is.
        handle: The adapter's own: where it is, and the right to it.
    """

    facts: FileFacts
    handle: object = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReferenceExpired:
    """The file must be looked up again (``FILE_REFERENCE_EXPIRED``)."""


class MediaConnection(Protocol):
    """The part of a connection that moves files. Every method may raise `TelegramAway`."""

    @property
    def caption_limit(self) -> int:
        """How long a caption may be, in UTF-16 code units, as the server says."""
        ...

    def upload(self, file: PartialUpload) -> Upload:
        """Go on with a file, or begin it; nothing is sent yet."""
        ...

    async def send_media(self, peer: Peer, messages: Sequence[MediaMessage]) -> Outcome | PartsForgotten:
        """One attempt to send one message, or an album of 2 to 10; as `Connection.send_text`.

        `Sent` names the first message; the others are in its ``more``. Telegram takes an album whole or not
        at all.
        """
        ...

    async def look_for_media(
        self, peer: Peer, messages: Sequence[MediaMessage], *, above: int
    ) -> Look | Deferred | Refused:
        """Look into a chat's history for what `send_media` would have made, under ids above ``above``.

        That is: the same caption, the same kind, and for all but photos the same size. Nothing needs to be
        uploaded for it.
        """
        ...

    async def find_files(
        self, peer: Peer, telegram_ids: Sequence[int]
    ) -> Mapping[int, RemoteFile | Refused] | Deferred | Refused:
        """Look messages up, at most 100 of one chat: the files they carry, each with a fresh reference.

        `Refused` for a message that is gone or carries no file any more.
        """
        ...

    async def find_avatar(self, peer: Peer, photo_id: int) -> RemoteFile | Deferred | Refused:
        """The photo of a person or group, as large as it comes."""
        ...

    def download(
        self, file: RemoteFile, *, begin: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes | Deferred | ReferenceExpired | Refused]]:
        """Read a file from a byte on, in order, in pieces of at most 1 MiB; ends at the file's end.

        After `Deferred` it waits for whoever iterates to have waited; the next piece goes on where it
        stopped. After `ReferenceExpired` and `Refused` it ends. Files of other data centres come over
        connections of their own.
        """
        ...


class OutgoingMediaStore(Protocol):
    """What sending files asks of the store."""

    async def record_progress(self, attempt: Attempt, done: int, total: int) -> None:
        """Show how many bytes of a message's files Telegram has; nothing if the claim is not the newest."""
        ...


class MediaStore(Protocol):
    """Which files of stored messages are not fetched yet. Rows are filed as messages are ingested."""

    async def wanted_files(self, account_id: AccountId, *, limit: int = 100) -> Sequence[IncomingFile]:
        """Files that may be fetched now: the newest messages first, and history after them."""
        ...

    async def finish_file(self, account_id: AccountId, file: IncomingFile, outcome: FetchOutcome) -> None:
        """Store what became of a file; after `Fetched` the message has its row of ``attachments``.

        Idempotent.
        """
        ...

    async def wanted_avatars(self, account_id: AccountId, *, limit: int = 100) -> Sequence[WantedAvatar]:
        """Photos of the account's contacts and groups that are to be fetched."""
        ...

    async def finish_avatar(
        self, account_id: AccountId, avatar: WantedAvatar, outcome: FetchOutcome, *, url: str | None = None
    ) -> None:
        """Store what became of a photo; ``url`` becomes ``avatar_url`` in the contact's metadata."""
        ...
