"""What the environment says, as frozen values that show no secret."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tgworker.messaging.limits import Limits
from tgworker.messaging.media_rules import MediaRules
from tgworker.messaging.models import Secret


class SettingsError(Exception):
    """The environment cannot be used. Remedy: each line of the message names a variable and what to do.

    Args:
        problems: One line each, all that were found; no line holds a value that may be secret.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Pacing(StrEnum):
    """How fast messages leave."""

    TELEGRAM = "telegram"
    OFF = "off"


class TelegramLoop(StrEnum):
    """Which asyncio loop hosts Telethon inside trio."""

    OWN = "own"
    TRIO_ASYNCIO = "trio-asyncio"


class LogFormat(StrEnum):
    """For whom log lines are written: people, or machines."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The least important line that is still written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramServer:
    """A test server instead of Telegram's own data centres.

    Attributes:
        host: Name or IP literal.
        port: TCP port.
        public_key: The server's RSA public key, PEM text.
        dc: The number under which the server serves.
    """

    host: str
    port: int
    public_key: str
    dc: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramSettings:
    """Who the worker is towards Telegram.

    Attributes:
        api_id: The application's number (https://my.telegram.org/apps).
        api_hash: The application's secret.
        server: A test server; ``None`` for Telegram itself.
        loop: Which asyncio loop hosts the lines.
    """

    api_id: int
    api_hash: Secret
    server: TelegramServer | None
    loop: TelegramLoop = TelegramLoop.OWN


@dataclass(frozen=True, slots=True, kw_only=True)
class SupabaseSettings:
    """Where the application's database is.

    Attributes:
        url: The project's URL, without a slash at the end.
        service_role_key: A JWT of the role ``service_role``, or an ``sb_secret_…`` key.
    """

    url: str
    service_role_key: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptionSettings:
    """How the application encrypted the sessions that are to be adopted.

    Attributes:
        form: ``fernet``, ``aes-256-gcm``, or ``module:function``.
        key: For ``fernet`` one key or more, comma-separated; for ``aes-256-gcm`` 32 bytes in URL-safe base64,
            whatever they were written in; else as it was given.
    """

    form: str
    key: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusBind:
    """Where the status server listens.

    Attributes:
        host: Address to listen on.
        port: TCP port; 0 lets the system choose.
        configured: Whether somebody asked for it: then a port that is taken is an error, else a warning.
    """

    host: str
    port: int
    configured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the environment says.

    Attributes:
        telegram: ``None`` only where `load_settings` was not told to require it.
        encryption_keys: The first encrypts, all decrypt; empty only where they were not required.
        supabase: ``None``: the embedded store serves.
        adoption: How sessions that ``accounts adopt`` meets are encrypted; ``None``: as our own.
        database_url: Where the project's PostgreSQL is, for ``migrate`` alone; ``None`` where it is not set.
        data_dir: Absolute; it need not exist.
        worker_id: The key of the heartbeat row.
        attachments_bucket: Where files that arrive are kept.
        avatars_bucket: Where photos of contacts and groups are kept.
        media: Which files that arrive are fetched.
        limits: The deadlines.
        stall_after_s: Silence after which a loop is taken for hung.
        freeze_after_s: Silence after which the interpreter is taken for frozen.
        pacing: How fast messages leave.
        give_up: Whether the guard exits once its budget is spent.
        memory_limit_mb: The worker is recycled above it, in MiB; ``None`` for never.
        status_bind: ``None`` for no status server.
        status_token: What the status server wants for more than probes; ``None`` for nothing.
        log_format: For whom log lines are written.
        log_level: The least important line that is still written.
    """

    telegram: TelegramSettings | None
    encryption_keys: tuple[Secret, ...]
    supabase: SupabaseSettings | None
    adoption: AdoptionSettings | None
    database_url: Secret | None
    data_dir: Path
    worker_id: str
    attachments_bucket: str
    avatars_bucket: str
    media: MediaRules
    limits: Limits
    stall_after_s: float
    freeze_after_s: float
    pacing: Pacing
    give_up: bool
    memory_limit_mb: int | None
    status_bind: StatusBind | None
    status_token: Secret | None
    log_format: LogFormat
    log_level: LogLevel
