"""Messages of which nobody knows whether Telegram has them: when they are looked for, and what is found.

Within the window a doubtful attempt is simply repeated, under the same ``random_id``: Telegram answers with
what it has. Beyond it nobody knows whether Telegram still remembers the id, and a repeat might be a second
message. Then the chat's history says what happened, under a strict rule: a message that the account itself
wrote, newer than what was known of the chat when the first doubtful attempt was made, with the same text and
formatting, that stands for no other row, and that is the only one. Without it the row is `Unsure`, for a
person.
"""

from collections.abc import Awaitable, Callable

from tgworker.messaging.bounded import within
from tgworker.messaging.errors import StoreAway, TelegramAway
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import Attempt, Doubt, Look, Owned, Peer
from tgworker.messaging.outcomes import Deferred, Refused, Released, Sent, Unknown, Unsure
from tgworker.messaging.ports import Pulse
from tgworker.messaging.store_ports import DoubtStore

Ask = Callable[[int], Awaitable[Look | Deferred | Refused]]

EXPIRED = "its time ran out while nobody knew whether Telegram has it"


def must_look(doubt: Doubt | None, window_s: float) -> bool:
    """Whether a message may not be repeated any more, but only be looked for.

    Args:
        doubt: What earlier attempts left open.
        window_s: For how long Telegram is trusted to remember a ``random_id``.
    """
    # A doubt from the future is one of unknown age: the store's clock was set back.
    return doubt is not None and (doubt.expired or not 0 <= doubt.age_s <= window_s)


def why_looked(doubt: Doubt) -> str:
    """Why a message was looked for and not repeated, in words for people."""
    if doubt.expired:
        return EXPIRED
    if doubt.age_s < 0:
        return "nobody knows for how long it was in doubt: the store's clock was set back"
    return f"it was in doubt for {doubt.age_s / 60:.0f} min, too long to repeat it"


def unsendable(attempt: Attempt, refused: Refused) -> Refused | Unsure:
    """What a final no before the send means: it says nothing about attempts before that are in doubt."""
    if attempt.doubt is None:
        return refused
    return Unsure(f"nobody knows whether Telegram has it, and it cannot be sent any more: {refused.reason}")


def found(look: Look, owned: Owned, why: str, missing: Refused | None = None) -> Sent | Unsure | Refused:
    """What a look has shown, under the strict rule.

    Args:
        look: What stands in the history.
        owned: What the store knows about that.
        why: Why it was looked for.
        missing: What it is if nothing like it stands there: where Telegram has refused it, no repeat can
            double it any more.
    """
    copies = [copy for copy in look.copies if copy.telegram_id not in owned.ids]
    if not look.whole:
        return Unsure(f"{why}, and too much was written in the chat since then to look for it")
    if missing is not None and not look.copies:
        return missing
    if not copies:
        return Unsure(f"{why}, and the chat's history does not show it")
    if len(copies) > 1:
        return Unsure(f"{why}, and the chat's history shows {len(copies)} that it could be")
    if owned.rivals:
        return Unsure(f"{why}, and what the chat's history shows could be another message with that text")
    return Sent(copies[0].telegram_id, copies[0].sent_at, copies[0].more)


async def look_for(
    pulse: Pulse,
    attempt: Attempt,
    peer: Peer,
    ask: Ask,
    why: str,
    *,
    store: DoubtStore,
    limits: Limits,
    missing: Refused | None = None,
) -> Sent | Unsure | Unknown | Deferred | Refused | Released:
    """Look for what earlier attempts may have made, and say what became of them.

    Args:
        pulse: The caller's pulse.
        attempt: With its doubt.
        peer: The chat.
        ask: Asks Telegram for what those attempts would have made, under ids above the one it is given.
        why: Why it is looked for.
        store: Knows what other messages are.
        limits: The deadlines: ``send_s`` for the look as a whole, and the database's.
        missing: See `found`.

    Returns:
        `Unknown`, `Deferred` or `Released` while nobody could look: it is done again.
    """
    top_id = 0 if attempt.doubt is None else attempt.doubt.top_id
    look: Look | Deferred | Refused | None = None
    try:
        with pulse.deadline("telegram.history", limits.send_s):
            look = await ask(top_id)
        match look:
            case None:
                return Unknown(f"no answer within {limits.send_s:g} s to what the chat's history shows")
            case Deferred():
                return look
            case Refused():
                return Unsure(f"{why}, and Telegram does not show the chat's history: {look.reason}")
            case Look():
                ids = [copy.telegram_id for copy in look.copies]
        owned = await within(
            pulse,
            "database.owned",
            limits.database_s,
            lambda: store.owned(attempt, peer.chat_id, ids),
        )
    except TelegramAway as away:
        return Released(str(away))
    except StoreAway as away:
        return Released(f"the store is away: {away}")
    return found(look, owned, why, missing)
