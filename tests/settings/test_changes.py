"""What differs between two readings of the environment, and what that takes."""

import base64
from pathlib import Path

import pytest

from tgworker.settings import (
    VARIABLES,
    Changes,
    Settings,
    Takes,
    Variable,
    changes_between,
    load_settings,
    with_live,
)

PEM = "-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n"

EVERYTHING = {
    "TELEGRAM_API_ID": ("7", "8"),
    "TELEGRAM_API_HASH": ("0" * 32, "1" * 32),
    "ENCRYPTION_KEY": (
        base64.urlsafe_b64encode(bytes(32)).decode(),
        base64.urlsafe_b64encode(bytes(range(32))).decode(),
    ),
    "SUPABASE_URL": ("http://127.0.0.1:1", "http://127.0.0.1:2"),
    "SUPABASE_SERVICE_ROLE_KEY": ("sb_secret_one", "sb_secret_two"),
    "SUPABASE_DB_URL": ("postgresql://one", "postgres://two"),
    "TGWORKER_ADOPT_FORMAT": ("aes-256-gcm", "inbox.crypto:open"),
    "TGWORKER_ADOPT_KEY": (
        base64.urlsafe_b64encode(bytes(32)).decode(),
        base64.urlsafe_b64encode(bytes(range(32))).decode(),
    ),
    "TGWORKER_DATA_DIR": ("/tmp/one", "/tmp/two"),
    "TGWORKER_WORKER_ID": ("one", "two"),
    "TGWORKER_TELEGRAM_SERVER": ("127.0.0.1:1", "127.0.0.1:2"),
    "TGWORKER_TELEGRAM_SERVER_KEY": ("one.pem", "two.pem"),
    "TGWORKER_TELEGRAM_DC": ("1", "2"),
    "TGWORKER_TELEGRAM_LOOP": ("own", "trio-asyncio"),
    "TGWORKER_STATUS_BIND": ("127.0.0.1:1", "off"),
    "TGWORKER_STATUS_TOKEN": ("one", "two"),
    "TGWORKER_REPEAT_WINDOW_S": ("1", "2"),
    "TGWORKER_DEADLINE_SEND_S": ("1", "2"),
    "TGWORKER_DEADLINE_ENTITY_S": ("1", "2"),
    "TGWORKER_DEADLINE_MEDIA_S": ("1", "2"),
    "TGWORKER_DEADLINE_DB_S": ("1", "2"),
    "TGWORKER_DEADLINE_CYCLE_S": ("1", "2"),
    "TGWORKER_STALL_AFTER_S": ("1", "2"),
    "TGWORKER_HEARTBEAT_S": ("1", "2"),
    "TGWORKER_FREEZE_AFTER_S": ("1", "2"),
    "TGWORKER_ATTACHMENTS_BUCKET": ("one", "two"),
    "TGWORKER_AVATARS_BUCKET": ("one", "two"),
    "TGWORKER_MEDIA_KINDS": ("photo", "none"),
    "TGWORKER_MEDIA_MAX_MB": ("1", "2"),
    "TGWORKER_AVATARS": ("0", "1"),
    "TGWORKER_ATTACHMENTS_WAIT_S": ("0", "600"),
    "TGWORKER_HISTORY_MAX_MESSAGES": ("500", "1000"),
    "TGWORKER_HISTORY_DAYS": ("30", "90"),
    "TGWORKER_RETENTION_DAYS": ("1", "2"),
    "TGWORKER_RETENTION_FAILED_DAYS": ("1", "2"),
    "TGWORKER_PACING": ("telegram", "off"),
    "TGWORKER_GIVE_UP": ("0", "1"),
    "TGWORKER_MEMORY_LIMIT_MB": ("1", "2"),
    "TGWORKER_LOG_FORMAT": ("console", "json"),
    "TGWORKER_LOG_LEVEL": ("info", "debug"),
}
"""For each variable a value before and another one after."""

NOTHING = Changes((), (), ())


@pytest.fixture(autouse=True)
def key_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / f"{name}.pem").write_text(PEM.format(name))


def reading(*changed: str) -> Settings:
    return load_settings({name: pair[name in changed] for name, pair in EVERYTHING.items()})


def named(changes: Changes, takes: Takes) -> tuple[str, ...]:
    return {
        Takes.LIVE: changes.applied,
        Takes.WORKER: changes.needs_new_worker,
        Takes.PROCESS: changes.needs_new_process,
    }[takes]


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_each_variable_is_named_where_the_table_says(variable: Variable) -> None:
    changes = changes_between(reading(), reading(variable.name))
    assert named(changes, variable.takes) == (variable.name,)
    assert [len(named(changes, takes)) for takes in Takes].count(0) == 2


def test_what_is_live_in_the_table_is_what_is_applied() -> None:
    old, new = reading(), reading(*EVERYTHING)
    changes = changes_between(old, new)
    left = changes_between(with_live(old, new), new)
    assert changes.applied
    assert left == Changes((), changes.needs_new_worker, changes.needs_new_process)


def test_a_second_reading_of_the_same_changes_nothing() -> None:
    changes = changes_between(reading(), reading())
    assert changes == NOTHING
    assert not changes


def test_settings_that_a_command_did_not_read_do_not_differ() -> None:
    def partly() -> Settings:
        return load_settings({"HOME": "/home/ada"}, require=())

    assert changes_between(partly(), partly()) == NOTHING
