"""What a conversation shows of its newest message."""

PREVIEW_CHARACTERS = 100
"""How much of a text ``conversations.last_message_preview`` shows."""


def preview_of(text: str | None, message_type: str) -> str:
    """What is shown of a message: the beginning of its text, else what it is."""
    return (text or "")[:PREVIEW_CHARACTERS] or f"[{message_type}]"
