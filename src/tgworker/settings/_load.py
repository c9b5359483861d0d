"""The environment, read as a whole: frozen values, or every problem at once."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from environs import ValidationError

from tgworker.messaging.limits import HistoryLimits, Limits, Retention
from tgworker.messaging.media import FileKind
from tgworker.messaging.media_rules import MediaRules
from tgworker.messaging.models import Secret
from tgworker.settings import _checks as checks
from tgworker.settings._dotenv import read_dotenv
from tgworker.settings._reader import Reader
from tgworker.settings._values import (
    AdoptionSettings,
    LogFormat,
    LogLevel,
    Pacing,
    Settings,
    SettingsError,
    StatusBind,
    SupabaseSettings,
    TelegramLoop,
    TelegramServer,
    TelegramSettings,
)

Requirement = Literal["telegram", "encryption"]
"""A part of the environment that a command cannot do without."""

EVERYTHING: frozenset[Requirement] = frozenset({"telegram", "encryption"})
"""What the worker needs."""

DEFAULT_STATUS_BIND = StatusBind(host="127.0.0.1", port=8787, configured=False)
MOST_DAYS = 36_500
"""A century: more is a slip of the keyboard, and beyond what calendars subtract."""
MOST_HISTORY = 1_000_000
"""At 100 a page that is an hour of asking, and Telegram stops who asks so much."""
MOST_WAIT_S = 600
"""As long as a message waits that says how many attachments it has."""

MOST_MEDIA_MB = 4000
"""As much as Telegram takes from those who pay."""
DEFAULT_DC = 2
"""The data centre that new Telegram clients begin with."""


def load_settings(
    environ: Mapping[str, str],
    dotenv: Path | None = None,
    *,
    require: Collection[Requirement] = EVERYTHING,
) -> Settings:
    """Read the environment.

    A variable that is set to nothing counts as unset.

    Args:
        environ: The real environment; it wins over the file.
        dotenv: A ``.env`` file; it need not exist.
        require: What the command cannot do without. What is not required is not read either, so that
            ``outbox list`` works where Telegram's settings are wrong.

    Raises:
        SettingsError: With every problem, one line each.
    """
    problems: list[str] = []
    from_file = read_dotenv(dotenv, problems) if dotenv else {}
    set_values = {name: value for name, value in environ.items() if value.strip()}
    reader = Reader(from_file | set_values, problems)
    limits = Limits()
    settings = Settings(
        telegram=_telegram(reader) if "telegram" in require else None,
        encryption_keys=_encryption_keys(reader) if "encryption" in require else (),
        supabase=_supabase(reader),
        adoption=_adoption(reader),
        database_url=_database_url(reader),
        data_dir=_data_dir(reader),
        worker_id=reader.text("TGWORKER_WORKER_ID", "telegram-main", checks.short_name),
        attachments_bucket=reader.text("TGWORKER_ATTACHMENTS_BUCKET", "attachments", checks.bucket),
        avatars_bucket=reader.text("TGWORKER_AVATARS_BUCKET", "avatars", checks.bucket),
        media=_media(reader),
        limits=replace(
            limits,
            repeat_window_s=reader.seconds("TGWORKER_REPEAT_WINDOW_S", limits.repeat_window_s),
            send_s=reader.seconds("TGWORKER_DEADLINE_SEND_S", limits.send_s),
            entity_s=reader.seconds("TGWORKER_DEADLINE_ENTITY_S", limits.entity_s),
            media_s=reader.seconds("TGWORKER_DEADLINE_MEDIA_S", limits.media_s),
            database_s=reader.seconds("TGWORKER_DEADLINE_DB_S", limits.database_s),
            cycle_s=reader.seconds("TGWORKER_DEADLINE_CYCLE_S", limits.cycle_s),
            heartbeat_every_s=reader.seconds("TGWORKER_HEARTBEAT_S", limits.heartbeat_every_s),
            attachments_wait_s=reader.wait(
                "TGWORKER_ATTACHMENTS_WAIT_S", limits.attachments_wait_s, MOST_WAIT_S
            ),
            history=HistoryLimits(
                most_messages=reader.whole(
                    "TGWORKER_HISTORY_MAX_MESSAGES", limits.history.most_messages, MOST_HISTORY
                ),
                days=reader.whole("TGWORKER_HISTORY_DAYS", limits.history.days, MOST_DAYS),
            ),
            retention=Retention(
                days=reader.whole("TGWORKER_RETENTION_DAYS", limits.retention.days, MOST_DAYS),
                failed_days=reader.whole(
                    "TGWORKER_RETENTION_FAILED_DAYS", limits.retention.failed_days, MOST_DAYS
                ),
            ),
        ),
        stall_after_s=reader.seconds("TGWORKER_STALL_AFTER_S", 60),
        freeze_after_s=reader.seconds("TGWORKER_FREEZE_AFTER_S", 10),
        pacing=_pacing(reader),
        give_up=reader.flag("TGWORKER_GIVE_UP"),
        memory_limit_mb=_memory_limit_mb(reader),
        status_bind=_status_bind(reader),
        status_token=_status_token(reader),
        log_format=reader.choice("TGWORKER_LOG_FORMAT", LogFormat.CONSOLE),
        log_level=reader.choice("TGWORKER_LOG_LEVEL", LogLevel.INFO),
    )
    if problems:
        raise SettingsError(tuple(problems))
    return settings


def _media(reader: Reader) -> MediaRules:
    kinds = reader.text("TGWORKER_MEDIA_KINDS", "all", checks.file_kinds)
    match kinds:
        case "all" | "":  # (empty after a problem)
            wanted = frozenset(FileKind)
        case "none":
            wanted = frozenset[FileKind]()
        case _:
            wanted = frozenset(FileKind(word) for word in checks.words(kinds))
    return MediaRules(
        kinds=wanted,
        most_bytes=reader.whole("TGWORKER_MEDIA_MAX_MB", 2000, MOST_MEDIA_MB) * 1_000_000,
        avatars=reader.flag("TGWORKER_AVATARS", default=True),
    )


def _telegram(reader: Reader) -> TelegramSettings:
    server = _server(reader)
    if reader.has("TGWORKER_TELEGRAM_SERVER"):  # a test server takes any application
        api_id = reader.whole("TELEGRAM_API_ID", 1)
        api_hash = reader.secret("TELEGRAM_API_HASH", "sandbox", checks.header_word)
    else:
        if not reader.has("TELEGRAM_API_ID"):
            reader.refuse("TELEGRAM_API_ID", "is not set")
        api_id = reader.whole("TELEGRAM_API_ID", 1)
        api_hash = reader.secret("TELEGRAM_API_HASH", check=checks.api_hash)
    loop = reader.choice("TGWORKER_TELEGRAM_LOOP", TelegramLoop.OWN)
    return TelegramSettings(api_id=api_id, api_hash=api_hash, server=server, loop=loop)


def _server(reader: Reader) -> TelegramServer | None:
    name, key_name = "TGWORKER_TELEGRAM_SERVER", "TGWORKER_TELEGRAM_SERVER_KEY"
    if not reader.has(name):
        if reader.has(key_name):
            reader.refuse(name, f"is not set, but {key_name} is")
        return None
    dc = reader.whole("TGWORKER_TELEGRAM_DC", DEFAULT_DC)
    public_key = _public_key(reader, key_name)
    try:
        host, port = checks.host_and_port(reader.text(name))
    except ValidationError as error:
        reader.refuse(name, str(error.messages[0]))
        return None
    return TelegramServer(host=host, port=port, public_key=public_key, dc=dc)


def _public_key(reader: Reader, name: str) -> str:
    path = reader.text(name)
    if not path:
        return ""
    try:
        pem = Path(path).read_text(encoding="ascii")
    except OSError as error:
        reader.refuse(name, f"cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        reader.refuse(name, "is not a PEM file")
    else:
        if "-----BEGIN RSA PUBLIC KEY-----" in pem:
            return pem
        reader.refuse(name, "holds no RSA public key in PEM form")
    return ""


def _encryption_keys(reader: Reader) -> tuple[Secret, ...]:
    return tuple(Secret(key) for key in _fernet_keys(reader, "ENCRYPTION_KEY"))


def _fernet_keys(reader: Reader, name: str) -> list[str]:
    keys = [key.strip() for key in reader.text(name).split(",")]
    if keys == [""]:
        return []
    for number, key in enumerate(keys, 1):
        if not checks.is_fernet_key(key):
            which = f"key {number} of {len(keys)} is" if len(keys) > 1 else "is"
            reader.refuse(name, f"{which} not a Fernet key (32 bytes in URL-safe base64)")
    return keys


def _adoption(reader: Reader) -> AdoptionSettings | None:
    form_name, key_name = "TGWORKER_ADOPT_FORMAT", "TGWORKER_ADOPT_KEY"
    if not reader.has(form_name):
        if reader.has(key_name):
            reader.refuse(form_name, f"is not set, but {key_name} is")
        return None
    form = reader.text(form_name, check=checks.session_form)
    match form:
        case "fernet":
            key = ",".join(_fernet_keys(reader, key_name))
        case "aes-256-gcm":
            given = reader.text(key_name)
            key = checks.aes_key(given) or ""
            if given and not key:
                reader.refuse(key_name, "is not 32 bytes in base64 or hexadecimal")
        case _:
            key = reader.text(key_name)
    return AdoptionSettings(form=form, key=Secret(key))


def _supabase(reader: Reader) -> SupabaseSettings | None:
    if not reader.has("SUPABASE_URL"):
        if reader.has("SUPABASE_SERVICE_ROLE_KEY"):
            reader.refuse("SUPABASE_URL", "is not set, but SUPABASE_SERVICE_ROLE_KEY is")
        return None
    url = reader.text("SUPABASE_URL", check=checks.project_url)
    key = reader.secret("SUPABASE_SERVICE_ROLE_KEY", check=checks.service_key)
    return SupabaseSettings(url=url.rstrip("/"), service_role_key=key)


def _database_url(reader: Reader) -> Secret | None:
    name = "SUPABASE_DB_URL"
    return reader.secret(name, check=checks.database_url) if reader.has(name) else None


def _data_dir(reader: Reader) -> Path:
    """The first of: our own variable, systemd's, the XDG folder, the place that XDG names as its default."""
    name = "TGWORKER_DATA_DIR"
    home = reader.text("HOME", "")
    state = reader.text("XDG_STATE_HOME", "")
    if reader.has(name):
        given = reader.text(name)
        # A shell would have expanded it; a .env file is read by no shell.
        folder = Path(home, given[2:]) if given.startswith("~/") else Path(given)
    elif reader.has("STATE_DIRECTORY"):
        folder = Path(reader.text("STATE_DIRECTORY").split(":")[0])  # systemd.exec(5): a list with colons
    elif Path(state).is_absolute():  # the XDG specification has relative paths ignored
        folder = Path(state, "tgworker")
    else:
        if not home:
            reader.refuse(name, "is not set, and neither is HOME")
        folder = Path(home, ".local/state/tgworker")
    try:
        if folder.exists() and not folder.is_dir():
            reader.refuse(name, f"would be {folder}, which is not a folder")
    except OSError as error:  # too long a name, a parent that may not be looked into
        reader.refuse(name, f"cannot be used ({error.strerror})")
    return folder.absolute()


def _pacing(reader: Reader) -> Pacing:
    pacing = reader.choice("TGWORKER_PACING", Pacing.TELEGRAM)
    if pacing is Pacing.OFF and not reader.has("TGWORKER_TELEGRAM_SERVER"):
        reader.refuse("TGWORKER_PACING", "is off, which only a test server may see")
    return pacing


def _memory_limit_mb(reader: Reader) -> int | None:
    name = "TGWORKER_MEMORY_LIMIT_MB"
    return reader.whole(name, 1) if reader.has(name) else None


def _status_bind(reader: Reader) -> StatusBind | None:
    name = "TGWORKER_STATUS_BIND"
    match reader.text(name, ""):
        case "":
            return DEFAULT_STATUS_BIND
        case "off":
            return None
        case given:
            try:
                host, port = checks.host_and_port(given, lowest_port=0)
            except ValidationError as error:
                reader.refuse(name, str(error.messages[0]))
                return None
            return StatusBind(host=host, port=port, configured=True)


def _status_token(reader: Reader) -> Secret | None:
    name = "TGWORKER_STATUS_TOKEN"
    return reader.secret(name, check=checks.header_word) if reader.has(name) else None
