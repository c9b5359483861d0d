"""Files that are to be fetched from Telegram, and what became of them, as values."""

from dataclasses import dataclass, field

from tgworker.messaging.media import FileFacts
from tgworker.messaging.models import MessageId


@dataclass(frozen=True, slots=True)
class IncomingFile:
    """A file that is to be fetched from Telegram, of a message that is stored.

    Attributes:
        message_id: The row of ``messages``.
        owner_id: Whose row it is.
        chat_id: Where Telegram has the message.
        telegram_id: Its id there.
        facts: What was said of the file when the message came.
        tries: So many attempts to fetch it have failed.
    """

    message_id: MessageId
    owner_id: str
    chat_id: int
    telegram_id: int
    facts: FileFacts
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Fetched:
    """The file lies in the file store: a row of ``attachments`` says where.

    Attributes:
        bucket: Where.
        path: The same.
        file_name: What people call it, made harmless.
        mime_type: What its bytes are.
        byte_size: How long it is.
    """

    bucket: str
    path: str = field(repr=False)
    file_name: str = field(repr=False)
    mime_type: str
    byte_size: int


@dataclass(frozen=True, slots=True)
class NotFetched:
    """The file will not be fetched: it is too large, of an unwanted kind, or Telegram has it no more.

    Attributes:
        reason: For people.
        unwanted: Whether it is not wanted here: its size, its kind.
    """

    reason: str
    unwanted: bool = False


@dataclass(frozen=True, slots=True)
class FetchLater:
    """It did not work now.

    Attributes:
        retry_after_s: Not before so many seconds.
        reason: For people.
        counts: Whether it was the file's fault: after `tgworker.messaging.fetching.MOST_TRIES` it is given
            up.
    """

    retry_after_s: float
    reason: str
    counts: bool = True


FetchOutcome = Fetched | NotFetched | FetchLater


@dataclass(frozen=True, slots=True)
class WantedAvatar:
    """A photo of a person or group that the file store does not have.

    Attributes:
        chat_id: Whose.
        photo_id: Telegram's id of the photo.
        owner_id: Whose contact it is.
        tries: So many attempts to fetch it have failed.
    """

    chat_id: int
    photo_id: int
    owner_id: str
    tries: int = 0
