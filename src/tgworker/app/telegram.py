"""The Telegram adapter as settings describe it."""

from collections.abc import Callable

from tgworker.messaging.models import AccountId
from tgworker.settings import TelegramLoop
from tgworker.settings import TelegramSettings as Wanted
from tgworker.telegram import (
    Observer,
    ServerOverride,
    TelegramSettings,
    TelethonTelegram,
    check_host,
    check_telethon,
    install_wait_for,
)
from tgworker.telegram.events import ignore


def make_telegram(
    wanted: Wanted,
    observer: Observer = ignore,
    *,
    may_write: Callable[[AccountId], bool] = lambda _account_id: True,
) -> TelethonTelegram:
    """The adapter, ready to open lines.

    Args:
        wanted: The application and the server, as the environment names them.
        observer: Hears what concerns no single call.
        may_write: Whether an account's line may still be written to; asked before every write.

    Raises:
        TelethonMoved: The installed Telethon is not one that the adapter knows.
        HostMoved: The installed trio-asyncio is not one that our loop is made for.
    """
    check_telethon()
    stock_loop = wanted.loop is TelegramLoop.TRIO_ASYNCIO
    if not stock_loop:
        check_host()
    install_wait_for()
    server = None
    if wanted.server is not None:
        server = ServerOverride(
            host=wanted.server.host,
            port=wanted.server.port,
            dc=wanted.server.dc,
            public_key_pem=wanted.server.public_key,
        )
    return TelethonTelegram(
        TelegramSettings(
            api_id=wanted.api_id, api_hash=wanted.api_hash.value, server=server, stock_loop=stock_loop
        ),
        observer,
        may_write=may_write,
    )
