"""Naming the proxy in why a connection through it came to nothing."""

from collections.abc import Generator
from contextlib import contextmanager

from tgworker.messaging.errors import TelegramAway, TelegramFloods
from tgworker.telegram.loss import CLOSED, KEY_DOUBTED
from tgworker.telegram.proxies import Proxy


@contextmanager
def blaming(proxy: Proxy) -> Generator[None]:
    """Add the proxy to the reason: it, or what is behind it, is at fault, and nobody can see which.

    Telegram's own words are left as they are, and so is what names the proxy already.
    """
    try:
        yield
    except TelegramFloods:
        raise
    except TelegramAway as away:
        reason = str(away)
        if reason in {CLOSED, KEY_DOUBTED} or str(proxy) in reason:
            raise
        raise TelegramAway(f"{reason}, through {proxy}") from None
