"""What the adapter is told: which application it is, which server it talks to, which device it seems."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tgworker.messaging.errors import AccountRefused
from tgworker.messaging.models import CONFIG_UNREADABLE, AccountState
from tgworker.telegram.proxies import Proxy, ProxyUnusable, read_proxy


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOverride:
    """A server that stands in for Telegram, for example ``python -m tgworker sandbox``.

    Attributes:
        host: An IP address or a name. Tests on a mock clock use an address: a name is looked up in a thread.
        port: TCP port.
        dc: The number of the data centre that the server claims to be.
        public_key_pem: The server's RSA public key, PKCS#1 PEM (``-----BEGIN RSA PUBLIC KEY-----``).
    """

    host: str
    port: int
    dc: int
    public_key_pem: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramSettings:
    """What does not differ from account to account.

    Attributes:
        api_id: The application's id, from https://my.telegram.org.
        api_hash: The application's secret, from the same place.
        server: Replaces the address in every session; ``None`` for Telegram itself.
        stock_loop: Whether lines run in trio-asyncio's own loop instead of ours.
    """

    api_id: int
    api_hash: str = field(repr=False)
    server: ServerOverride | None = None
    stock_loop: bool = False


class ConfigUnusable(AccountRefused):
    """An account's ``config`` asks for something that cannot be done. Remedy: correct the account's config.

    Args:
        reason: What is wrong with it, without any value from it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(AccountState.DISABLED, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """The device that an account claims to run on: its own, and stable across hosts and restarts.

    Telegram shows it to the account's owner under "Devices", and notices when it changes.
    """

    device_model: str = "tgworker"
    system_version: str = "Linux"
    app_version: str = "1.0"
    lang_code: str = "en"
    system_lang_code: str = "en"

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Device":
        """Read the device from an account's ``config``; what it does not name has a fixed default.

        Raises:
            ConfigUnusable: A field is not a text.
        """
        chosen: dict[str, str] = {}
        for name in cls.__dataclass_fields__:
            value = config.get(name)
            if value is None:
                continue
            if not isinstance(value, str) or not value.strip():
                raise ConfigUnusable(f"config.{name} must be a text: correct it or remove it")
            chosen[name] = value
        return cls(**chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """How an account shows itself to Telegram: as which device, and from where.

    Attributes:
        device: The device.
        proxy: Through what all of its lines go; ``None``: straight. A proxy is never ignored, and nothing
            goes past one that is away: Telegram would see the address that its owner wants to hide.
    """

    device: Device = Device()
    proxy: Proxy | None = None

    @staticmethod
    def unknown_in(config: Mapping[str, Any]) -> Collection[str]:
        """What an account's ``config`` says that nobody here reads; the application may."""
        return sorted(config.keys() - {"proxy", *Device.__dataclass_fields__})

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Appearance":
        """Read it from an account's ``config``.

        Raises:
            ConfigUnusable: It asks for something that cannot be done.
        """
        if CONFIG_UNREADABLE in config:
            raise ConfigUnusable('config holds no JSON object: write one, such as {"device_model": "Desk"}')
        try:
            proxy = read_proxy(config.get("proxy"))
        except ProxyUnusable as error:
            raise ConfigUnusable(f"config.proxy {error}") from None
        return cls(device=Device.of(config), proxy=proxy)
