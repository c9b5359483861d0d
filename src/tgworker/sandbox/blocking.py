"""Who has blocked whom: whom one has blocked writes no more, and a bot is stopped by it, and told.

Source: https://core.telegram.org/constructor/updateBotStopped
"""

from telethon.tl import types

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.telling import push, updates_view


def block(cloud: Cloud, user: Account, other: Account, *, blocked: bool) -> None:
    """Let a user block another, or a bot, or unblock him; a bot hears of it."""
    if (other.id in user.blocks) is blocked:
        return
    (user.blocks.add if blocked else user.blocks.discard)(other.id)
    if other.bot is not None:
        update = types.UpdateBotStopped(user.id, cloud.now(), stopped=blocked, qts=other.bot.qts + 1)
        other.bot.events.append(update)
        push(other, lambda: updates_view(cloud, other, [update], [user.id]))
