"""Every environment variable: one table for the reader's remedies and for the reference."""

from dataclasses import dataclass
from enum import StrEnum


class Takes(StrEnum):
    """What it takes for a changed variable to have an effect on a worker that runs."""

    LIVE = "SIGHUP"
    """It is read anew."""
    WORKER = "a new worker"
    """The worker is made of it; the guard that stands above it may go on."""
    PROCESS = "a new process"
    """The guard itself works with it, or nobody may change it while anything runs."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable, for the reference and for error messages.

    Attributes:
        name: As it stands in the environment.
        default: What holds while it is unset, in words or as its value.
        meaning: What it decides.
        remedy: What to do when it is missing or malformed.
        takes: What a change of it takes to have an effect.
    """

    name: str
    default: str
    meaning: str
    remedy: str
    takes: Takes = Takes.WORKER


_PUT_IT = "put it into the environment or .env"
_SECONDS = "give seconds above 0, for example {}"


def _seconds(name: str, default: str, meaning: str, takes: Takes = Takes.WORKER) -> Variable:
    return Variable(name, default, meaning, _SECONDS.format(default), takes)


VARIABLES: tuple[Variable, ...] = (
    Variable("TELEGRAM_API_ID", "none; 1 with a test server", "The application's number at Telegram",
             f"get one at https://my.telegram.org/apps and {_PUT_IT}"),
    Variable("TELEGRAM_API_HASH", "none; `sandbox` with a test server",
             "The application's secret at Telegram",
             f"get it at https://my.telegram.org/apps and {_PUT_IT}"),
    Variable("ENCRYPTION_KEY", "none", "Fernet keys, comma-separated: the first encrypts, all decrypt",
             f"make one with `python -m tgworker keygen` and {_PUT_IT}"),
    Variable("SUPABASE_URL", "none: the embedded store", "The Supabase project",
             "give the project's URL, for example https://abc.supabase.co", Takes.PROCESS),
    Variable("SUPABASE_SERVICE_ROLE_KEY", "none", "The project's service_role or secret key",
             "copy the service_role (or sb_secret_…) key from the project's API settings"),
    Variable("SUPABASE_DB_URL", "none", "The project's PostgreSQL, for `migrate` alone",
             "copy the connection string (URI) from the project's database settings", Takes.LIVE),
    Variable("TGWORKER_ADOPT_FORMAT", "none: as ENCRYPTION_KEY opens them",
             "How the application encrypted its sessions, for `accounts adopt` alone: `fernet`, "
             "`aes-256-gcm` (base64 of nonce and ciphertext), or `module:function` of Python, called with "
             "the stored text and the key, which returns the session string",
             "give fernet, aes-256-gcm or module:function", Takes.LIVE),
    Variable("TGWORKER_ADOPT_KEY", "none",
             "The application's key for that: 32 bytes in base64 or hexadecimal; for `fernet` as "
             "ENCRYPTION_KEY; for a function as it likes",
             "give the key under which the application encrypts sessions", Takes.LIVE),
    Variable("TGWORKER_DATA_DIR", "`$STATE_DIRECTORY`, else `$XDG_STATE_HOME/tgworker`, "
             "else `~/.local/state/tgworker`", "The data folder", "give the path of a folder", Takes.PROCESS),
    Variable("TGWORKER_WORKER_ID", "telegram-main", "The key of the heartbeat row",
             "give a short name, for example telegram-main", Takes.PROCESS),
    Variable("TGWORKER_TELEGRAM_SERVER", "none: Telegram itself", "A test server",
             "give host:port as `python -m tgworker sandbox --json` prints it"),
    Variable("TGWORKER_TELEGRAM_SERVER_KEY", "none", "PEM file with the test server's public key",
             "give the key_file that `python -m tgworker sandbox --json` prints"),
    Variable("TGWORKER_TELEGRAM_DC", "2", "The test server's data centre number",
             "give the dc that `python -m tgworker sandbox --json` prints"),
    Variable("TGWORKER_TELEGRAM_LOOP", "own", "The asyncio loop under Telethon: `own`, or `trio-asyncio` "
             "for the slower one of that library", "give own or trio-asyncio"),
    Variable("TGWORKER_STATUS_BIND", "127.0.0.1:8787", "Where the status server listens, or `off`",
             "give host:port, for example 127.0.0.1:8787, or off"),
    Variable("TGWORKER_STATUS_TOKEN", "none", "What the status server wants for more than probes",
             "give a word without spaces", Takes.LIVE),
    _seconds("TGWORKER_REPEAT_WINDOW_S", "1800",
             "After the first attempt at a message of which nobody knows whether it arrived: so long it is "
             "repeated, later it is only looked for"),
    _seconds("TGWORKER_DEADLINE_SEND_S", "30", "One message handed to Telegram and acknowledged"),
    _seconds("TGWORKER_DEADLINE_ENTITY_S", "15", "One name, phone or id resolved"),
    _seconds("TGWORKER_DEADLINE_MEDIA_S", "60", "Without progress in a file"),
    _seconds("TGWORKER_DEADLINE_DB_S", "10", "One call to the store"),
    _seconds("TGWORKER_DEADLINE_CYCLE_S", "120", "One turn of a loop"),
    _seconds("TGWORKER_STALL_AFTER_S", "60", "Silence after which a loop is taken for hung"),
    _seconds("TGWORKER_HEARTBEAT_S", "15", "Between two heartbeats", Takes.PROCESS),
    _seconds("TGWORKER_FREEZE_AFTER_S", "10", "Silence after which the interpreter is taken for frozen",
             Takes.PROCESS),
    Variable("TGWORKER_ATTACHMENTS_BUCKET", "attachments",
             "The bucket of the file store for files that arrive; the embedded store makes it",
             "give a bucket's name, for example attachments"),
    Variable("TGWORKER_AVATARS_BUCKET", "avatars",
             "The same for photos of contacts and groups",
             "give a bucket's name, for example avatars"),
    Variable("TGWORKER_MEDIA_KINDS", "all",
             "What is fetched of what arrives: `photo`, `video`, `video_note`, `animation`, `audio`, "
             "`voice`, `sticker`, `document`, separated by commas; or `all`, or `none`",
             "give all, none, or kinds separated by commas, for example photo,voice"),
    Variable("TGWORKER_MEDIA_MAX_MB", "2000", "Files that are longer are not fetched, in millions of bytes",
             "give a whole number from 1 to 4000, for example 50"),
    Variable("TGWORKER_AVATARS", "1", "0: photos of contacts and groups are not fetched", "give 1 or 0"),
    Variable("TGWORKER_ATTACHMENTS_WAIT_S", "3",
             "After a message was written that does not say how many attachments it has: so long it waits "
             "for them, if its type or one of them says that it carries files",
             "give seconds from 0 to 600, for example 3"),
    Variable("TGWORKER_HISTORY_MAX_MESSAGES", "500",
             "A history job is granted no more messages, whatever it asks for (one that fills a gap is)",
             "give a whole number from 1 to 1000000"),
    Variable("TGWORKER_HISTORY_DAYS", "90",
             "Nothing older is fetched of a chat's history",
             "give a whole number from 1 to 36500"),
    Variable("TGWORKER_RETENTION_DAYS", "30",
             "So long the outbox keeps what was sent, cancelled or expired (never the messages themselves)",
             "give whole days above 0, for example 30"),
    Variable("TGWORKER_RETENTION_FAILED_DAYS", "180",
             "So long it keeps what a person may still want to look at: `dead` and `unsure`",
             "give whole days above 0, for example 180"),
    Variable("TGWORKER_PACING", "telegram", "`telegram`, or `off` (only with a test server)",
             "leave it unset, or set TGWORKER_TELEGRAM_SERVER"),
    Variable("TGWORKER_GIVE_UP", "0", "1: the guard exits with 70 once its budget is spent", "give 1 or 0",
             Takes.PROCESS),
    Variable("TGWORKER_MEMORY_LIMIT_MB", "none", "The worker is recycled above it, in MiB",
             "give a whole number above 0, or leave it unset", Takes.LIVE),
    Variable("TGWORKER_LOG_FORMAT", "console", "`console` or `json`", "give console or json",
             Takes.PROCESS),
    Variable("TGWORKER_LOG_LEVEL", "info", "`debug`, `info`, `warning` or `error`",
             "give debug, info, warning or error", Takes.LIVE),
)  # fmt: skip  # a table: one variable, one entry

REMEDIES: dict[str, str] = {variable.name: variable.remedy for variable in VARIABLES}
