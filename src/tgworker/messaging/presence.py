"""Who is online and who types: told often, worth little, and never in the way of messages."""

from dataclasses import dataclass, replace
from datetime import datetime

TYPING_FOR_S = 5.0
"""So long somebody counts as typing after Telegram said so; clients repeat it every five seconds
(https://core.telegram.org/method/messages.setTyping says six)."""

ONLINE_FOR_S = 300.0
"""So long somebody counts as online where Telegram does not say; as a rule it says five minutes."""


@dataclass(frozen=True, slots=True)
class Presence:
    """What is known of a contact just now; ``None`` leaves what was known before.

    Attributes:
        chat_id: The contact.
        is_online: Whether he is online.
        last_seen_at: When he was seen last, aware, UTC, as exactly as he lets Telegram say.
        is_typing: Whether he types.
        typing_for_s: How long that counts, seconds from the write on.
        typing_in: The group that he types in; ``None``: he types to this account.
        online_for_s: How long online counts, seconds from when it was heard, unless it is said again.
    """

    chat_id: int
    is_online: bool | None = None
    last_seen_at: datetime | None = None
    is_typing: bool | None = None
    typing_for_s: float = TYPING_FOR_S
    typing_in: int | None = None
    online_for_s: float = ONLINE_FOR_S

    def followed_by(self, later: "Presence") -> "Presence":
        """What is known once ``later``, of the same contact, is known too."""
        typing = self if later.is_typing is None else later
        return replace(
            self,
            is_online=self.is_online if later.is_online is None else later.is_online,
            online_for_s=self.online_for_s if later.is_online is None else later.online_for_s,
            last_seen_at=self.last_seen_at if later.last_seen_at is None else later.last_seen_at,
            is_typing=typing.is_typing,
            typing_for_s=typing.typing_for_s,
            typing_in=typing.typing_in,
        )
