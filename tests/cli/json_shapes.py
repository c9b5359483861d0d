"""The fields of what commands print with ``--json``: the contract, in one place for its tests."""

from collections.abc import Mapping

from tgworker.cli.demo.figures import Figures

HEARTBEAT = ("worker_id", "status", "last_heartbeat_at", "age_s", "loops_status", "incarnation", "seq")
STACKS = ("at", "file", "stacks")

SHAPES: Mapping[str, tuple[str, ...]] = {
    "demo": tuple(Figures.__dataclass_fields__),
    "login": ("account_id", "user_id", "name", "kind"),
    "accounts list": ("id", "name", "kind", "active", "state", "user_id", "last_sync_at", "last_error"),
    "accounts enable, accounts disable": ("account_id", "active", "changed"),
    "accounts remove": ("account_id", "name", "logged_out"),
    "accounts rekey": ("rekeyed", "already", "not_ours", "unreadable"),
    "accounts adopt": ("account_id", "messages", "encrypted_anew"),
    "accounts adopt --finish": ("finished",),
    "accounts release": ("account_id", "messages", "newer_session_stays"),
    "send": ("enqueued", "message_ids", "files", "bytes"),
    "send --wait": ("account_id", "enqueued", "sent", "not_sent", "messages"),
    "send --wait: messages": (
        *("message_id", "state", "telegram_id", "error", "files", "bytes_done", "bytes_total"),
    ),
    "outbox list": (
        *("message_id", "seq", "account_id", "conversation_id", "state", "attempts"),
        *("created_at", "not_before", "expires_at", "telegram_id", "error"),
        *("part", "parts", "cancel_asked_at", "files", "bytes_done", "bytes_total"),
    ),
    "outbox retry": ("retried", "not_retried", "messages"),
    "outbox cancel": ("cancelled", "not_cancelled", "messages"),
    "outbox retry, outbox cancel: messages": (
        *("message_id", "done", "before", "state", "telegram_id", "error"),
    ),
    "history": ("job_id", "account_id", "status", "synced", "error"),
    "history --all": ("job_id", "account_id", "status", "synced", "error", "chats", "chats_failed"),
    "history --no-wait": ("job_id", "account_id"),
    "history list": (
        "job_id",
        "account_id",
        "to",
        "status",
        "limit",
        "synced",
        "seen",
        "total",
        "part_of",
        "chats",
        "chats_done",
        "error",
    ),
    "status": (
        *("answers", "worker_id", "status", "version", "pid", "incarnation", "heartbeats"),
        *("store_away", "loops", "lag", "accounts", "queues", "unsure", "tree", "last_freeze"),
    ),
    "status: accounts": ("id", "name", "state", "reason"),
    "status: lag": ("lag_s", "worst_s", "turns", "lags", "lagged_s"),
    "status: queues": ("online", "claimed", "in_flight", "parked", "unsettled"),
    "status: last_freeze": STACKS,
    "status, no worker": ("answers", "heartbeat", "last_freeze", "newest_stacks"),
    "status, no worker: heartbeat": HEARTBEAT,
    "status, no worker: newest_stacks": STACKS,
    "stacks": ("answers", "file", "at", "pid", "stacks"),
    "migrate": ("data_dir", "steps"),
    "keygen": ("key",),
    "sandbox": ("server", "key_file", "dc", "control", "dcs", "users", "bots"),
    "dev-stack": (
        *("url", "anon_key", "service_role_key", "publishable_key", "secret_key"),
        *("db_url", "control", "logs", "storage"),
    ),
    "dev-stack --fetch": ("postgresql", "postgrest"),
    "sandbox: users": ("id", "phone", "username", "session", "login_code", "password"),
    "sandbox: bots": ("id", "username", "token", "session"),
}
"""By command, and where an object stands inside of another, by its name."""
