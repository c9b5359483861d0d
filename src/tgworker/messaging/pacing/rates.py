"""The numbers that pacing begins with.

Telegram publishes limits for bots only: about one message a second in one chat, with short bursts; 20
messages a minute in one group; about 30 messages a second in all (https://core.telegram.org/bots/faq, "My bot
is hitting limits, how do I avoid this?"). For user accounts they are where we begin; the rest is learned
(`Tempo`).

A bucket lets its burst through *and* what it fills by meanwhile, so the seconds between two tokens are chosen
so that both together stay within the number: 5 at once and one every 4 s are 20 in the worst minute, 5 at
once and one every 40 ms are 30 in the worst second.
"""

from dataclasses import dataclass

from tgworker.messaging.pacing.bucket import Rate

NAMES = Rate(every_s=600.0, burst=30)
"""Usernames, and phone numbers, that Telegram is asked about: see `Rates`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How fast an account may send.

    Attributes:
        chat: Into one private chat.
        group: Into one group, supergroup or channel.
        account: In all.
        method: By one method; a flood wait slows it down.
        names: How many usernames, and how many phone numbers, it may ask Telegram about. Nothing is
            published: accounts were flooded for a day after some 200, and this lets 174 through in the
            first day.
    """

    chat: Rate
    group: Rate
    account: Rate
    method: Rate
    names: Rate = NAMES


PUBLISHED = Rates(
    chat=Rate(every_s=1.0, burst=5),
    group=Rate(every_s=4.0, burst=5),
    account=Rate(every_s=0.04, burst=5),
    method=Rate(every_s=0.04, burst=5),
)
"""Telegram's own numbers."""

_AT_ONCE = Rate(every_s=0.0, burst=5)

UNPACED = Rates(chat=_AT_ONCE, group=_AT_ONCE, account=_AT_ONCE, method=_AT_ONCE, names=_AT_ONCE)
"""As fast as it goes, for a test server. What Telegram asks for is waited for all the same."""
