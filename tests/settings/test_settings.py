"""Settings: what the environment says, or every problem at once."""

import base64
import json
from pathlib import Path

import pytest

from tgworker.messaging.limits import Limits
from tgworker.messaging.models import Secret
from tgworker.settings import (
    VARIABLES,
    AdoptionSettings,
    LogFormat,
    LogLevel,
    Pacing,
    Requirement,
    Settings,
    SettingsError,
    StatusBind,
    load_settings,
)

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
OTHER_KEY = base64.urlsafe_b64encode(bytes(32)).decode()
API_HASH = "0123456789abcdef0123456789abcdef"
MINIMUM = {"TELEGRAM_API_ID": "7", "TELEGRAM_API_HASH": API_HASH, "ENCRYPTION_KEY": KEY, "HOME": "/home/ada"}
PEM = "-----BEGIN RSA PUBLIC KEY-----\nMIIB\n-----END RSA PUBLIC KEY-----\n"


def load(**changes: str) -> Settings:
    return load_settings(MINIMUM | changes)


def problems(**changes: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(**changes)
    return caught.value.problems


@pytest.fixture
def server_key(tmp_path: Path) -> Path:
    path = tmp_path / "server.pem"
    path.write_text(PEM)
    return path


def jwt(**claims: str) -> str:
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode()
        for part in (b'{"alg":"HS256"}', json.dumps(claims).encode(), b"signature")
    )


def test_the_minimum_gives_the_documented_defaults() -> None:
    settings = load()
    assert settings.telegram is not None
    assert (settings.telegram.api_id, settings.telegram.api_hash.value) == (7, API_HASH)
    assert settings.telegram.server is None
    assert [key.value for key in settings.encryption_keys] == [KEY]
    assert settings.supabase is None
    assert settings.data_dir == Path("/home/ada/.local/state/tgworker")
    assert settings.worker_id == "telegram-main"
    assert (settings.attachments_bucket, settings.avatars_bucket) == ("attachments", "avatars")
    assert settings.limits == Limits()
    assert (settings.stall_after_s, settings.freeze_after_s) == (60, 10)
    assert settings.pacing is Pacing.TELEGRAM
    assert settings.give_up is False
    assert settings.memory_limit_mb is None
    assert settings.status_bind == StatusBind(host="127.0.0.1", port=8787, configured=False)
    assert settings.status_token is None
    assert (settings.log_format, settings.log_level) == (LogFormat.CONSOLE, LogLevel.INFO)


def test_every_variable_is_read() -> None:
    """A variable of the table that changed nothing would be a promise that nobody keeps."""
    values = {
        "TELEGRAM_API_ID": "9",
        "TELEGRAM_API_HASH": "f" * 32,
        "ENCRYPTION_KEY": f"{KEY}, {OTHER_KEY}",
        "SUPABASE_URL": "https://abc.supabase.co/",
        "TGWORKER_ADOPT_FORMAT": "fernet",
        "TGWORKER_DATA_DIR": "/srv/tgworker",
        "TGWORKER_WORKER_ID": "second",
        "TGWORKER_STATUS_BIND": "[::1]:0",
        "TGWORKER_STATUS_TOKEN": "t0ken",
        "TGWORKER_REPEAT_WINDOW_S": "600",
        "TGWORKER_DEADLINE_SEND_S": "1",
        "TGWORKER_DEADLINE_ENTITY_S": "2.5",
        "SUPABASE_DB_URL": "postgresql://postgres:secret@db.abc.supabase.co:5432/postgres",
        "TGWORKER_TELEGRAM_LOOP": "trio-asyncio",
        "TGWORKER_DEADLINE_MEDIA_S": "3",
        "TGWORKER_DEADLINE_DB_S": "4",
        "TGWORKER_DEADLINE_CYCLE_S": "5",
        "TGWORKER_STALL_AFTER_S": "6",
        "TGWORKER_HEARTBEAT_S": "7",
        "TGWORKER_FREEZE_AFTER_S": "8",
        "TGWORKER_ATTACHMENTS_BUCKET": "media",
        "TGWORKER_AVATARS_BUCKET": "faces",
        "TGWORKER_MEDIA_KINDS": "photo, voice",
        "TGWORKER_MEDIA_MAX_MB": "50",
        "TGWORKER_AVATARS": "0",
        "TGWORKER_ATTACHMENTS_WAIT_S": "0",
        "TGWORKER_HISTORY_MAX_MESSAGES": "1000000",
        "TGWORKER_HISTORY_DAYS": "365",
        "TGWORKER_RETENTION_DAYS": "7",
        "TGWORKER_RETENTION_FAILED_DAYS": "36500",
        "TGWORKER_GIVE_UP": "1",
        "TGWORKER_MEMORY_LIMIT_MB": "512",
        "TGWORKER_LOG_FORMAT": "json",
        "TGWORKER_LOG_LEVEL": "debug",
    }
    together = {
        "SUPABASE_URL": {"SUPABASE_SERVICE_ROLE_KEY": "sb_secret_1"},
        "TGWORKER_ADOPT_FORMAT": {"TGWORKER_ADOPT_KEY": KEY},
    }
    elsewhere = {
        "SUPABASE_SERVICE_ROLE_KEY",
        "TGWORKER_ADOPT_KEY",
        "TGWORKER_TELEGRAM_SERVER",
        "TGWORKER_TELEGRAM_SERVER_KEY",
        "TGWORKER_TELEGRAM_DC",
        "TGWORKER_PACING",
    }
    assert set(values) | elsewhere == {variable.name for variable in VARIABLES}
    before = load()
    for name, value in values.items():
        assert load(**{name: value}, **together.get(name, {})) != before, name


def test_the_values_land_where_they_belong() -> None:
    settings = load(
        ENCRYPTION_KEY=f"{KEY}, {OTHER_KEY}",
        SUPABASE_URL="https://abc.supabase.co/",
        SUPABASE_SERVICE_ROLE_KEY=jwt(role="service_role"),
        TGWORKER_DEADLINE_DB_S="4",
        TGWORKER_HEARTBEAT_S="0.5",
        TGWORKER_STATUS_BIND="[::1]:0",
        TGWORKER_MEMORY_LIMIT_MB="512",
    )
    assert [key.value for key in settings.encryption_keys] == [KEY, OTHER_KEY]
    assert settings.supabase is not None
    assert settings.supabase.url == "https://abc.supabase.co"
    assert settings.supabase.service_role_key.value == jwt(role="service_role")
    assert (settings.limits.database_s, settings.limits.heartbeat_every_s) == (4, 0.5)
    assert settings.status_bind == StatusBind(host="::1", port=0, configured=True)
    assert settings.memory_limit_mb == 512


def test_off_means_no_status_page() -> None:
    assert load(TGWORKER_STATUS_BIND="off").status_bind is None


def test_a_test_server_brings_its_own_application(server_key: Path) -> None:
    settings = load_settings(
        {
            "HOME": "/home/ada",
            "ENCRYPTION_KEY": KEY,
            "TGWORKER_TELEGRAM_SERVER": "127.0.0.1:4430",
            "TGWORKER_TELEGRAM_SERVER_KEY": str(server_key),
            "TGWORKER_PACING": "off",
        }
    )
    assert settings.telegram is not None
    assert (settings.telegram.api_id, settings.telegram.api_hash.value) == (1, "sandbox")
    server = settings.telegram.server
    assert server is not None
    assert (server.host, server.port, server.public_key, server.dc) == ("127.0.0.1", 4430, PEM, 2)
    assert settings.pacing is Pacing.OFF


def test_all_problems_come_at_once_and_each_names_its_remedy() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"HOME": "/home/ada", "TGWORKER_DEADLINE_SEND_S": "soon", "TGWORKER_PACING": "off"})
    assert str(caught.value).splitlines() == [
        (
            "TELEGRAM_API_ID is not set: "
            "get one at https://my.telegram.org/apps and put it into the environment or .env"
        ),
        (
            "TELEGRAM_API_HASH is not set: "
            "get it at https://my.telegram.org/apps and put it into the environment or .env"
        ),
        (
            "ENCRYPTION_KEY is not set: "
            "make one with `python -m tgworker keygen` and put it into the environment or .env"
        ),
        "TGWORKER_DEADLINE_SEND_S is not a number: give seconds above 0, for example 30",
        (
            "TGWORKER_PACING is off, which only a test server may see: "
            "leave it unset, or set TGWORKER_TELEGRAM_SERVER"
        ),
    ]


@pytest.mark.parametrize(
    ("name", "value", "phrase"),
    [
        ("TELEGRAM_API_ID", "seven", "is not a whole number"),
        ("TELEGRAM_API_ID", "-1", "is not above 0"),
        ("TELEGRAM_API_ID", "99999999999", "is too large a number"),
        ("TELEGRAM_API_HASH", "short", "is not 32 hexadecimal digits"),
        ("ENCRYPTION_KEY", "hunter2", "is not a Fernet key (32 bytes in URL-safe base64)"),
        ("ENCRYPTION_KEY", f"{KEY},hunter2", "key 2 of 2 is not a Fernet key (32 bytes in URL-safe base64)"),
        ("ENCRYPTION_KEY", f"{KEY},", "key 2 of 2 is not a Fernet key (32 bytes in URL-safe base64)"),
        ("ENCRYPTION_KEY", "é" * 44, "is not a Fernet key (32 bytes in URL-safe base64)"),
        ("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_1", "is not set, but SUPABASE_SERVICE_ROLE_KEY is"),
        ("TGWORKER_WORKER_ID", "two\nlines", "is not a short printable name"),
        ("TGWORKER_DEADLINE_SEND_S", "0", "is not above 0"),
        ("TGWORKER_DEADLINE_ENTITY_S", "-3", "is not above 0"),
        ("TGWORKER_DEADLINE_MEDIA_S", "inf", "is not a finite number"),
        ("TGWORKER_DEADLINE_DB_S", "nan", "is not a finite number"),
        ("TGWORKER_DEADLINE_CYCLE_S", "1e999", "is not a finite number"),
        ("TGWORKER_STALL_AFTER_S", "10s", "is not a number"),
        ("TGWORKER_HEARTBEAT_S", "0.0", "is not above 0"),
        ("TGWORKER_ATTACHMENTS_BUCKET", "a/b", "is no name that a bucket can have"),
        ("TGWORKER_AVATARS_BUCKET", "sign", "is no name that a bucket can have"),
        (
            "TGWORKER_MEDIA_KINDS",
            "photo,film",
            (
                "is neither all nor none, nor kinds of files (animation, audio, document, photo, sticker, "
                "video, video_note, voice)"
            ),
        ),
        ("TGWORKER_MEDIA_MAX_MB", "4001", "is too large a number"),
        ("TGWORKER_AVATARS", "perhaps", "is neither 1 nor 0"),
        ("TGWORKER_ATTACHMENTS_WAIT_S", "-1", "is below 0"),
        ("TGWORKER_ATTACHMENTS_WAIT_S", "601", "is too large a number"),
        ("TGWORKER_FREEZE_AFTER_S", "ten", "is not a number"),
        ("TGWORKER_PACING", "fast", "is none of telegram, off"),
        ("TGWORKER_TELEGRAM_LOOP", "stock", "is none of own, trio-asyncio"),
        ("TGWORKER_GIVE_UP", "perhaps", "is neither 1 nor 0"),
        ("TGWORKER_MEMORY_LIMIT_MB", "0", "is not above 0"),
        ("TGWORKER_MEMORY_LIMIT_MB", "1.5", "is not a whole number"),
        ("TGWORKER_STATUS_BIND", "8787", "is not host:port"),
        ("TGWORKER_STATUS_BIND", "localhost:http", "has a port that is not 0 to 65535"),
        ("TGWORKER_STATUS_BIND", "::1:80", "is not host:port (an IPv6 address stands in [brackets])"),
        ("TGWORKER_STATUS_BIND", ":80", "is not host:port"),
        ("TGWORKER_STATUS_TOKEN", "two words", "holds blanks or characters beyond ASCII"),
        ("TGWORKER_LOG_FORMAT", "xml", "is none of console, json"),
        ("TGWORKER_LOG_LEVEL", "loud", "is none of debug, info, warning, error"),
        ("TGWORKER_TELEGRAM_SERVER_KEY", "/x.pem", "is not set, but TGWORKER_TELEGRAM_SERVER_KEY is"),
    ],
)
def test_a_malformed_value_gives_one_line_with_a_remedy(name: str, value: str, phrase: str) -> None:
    (line,) = problems(**{name: value})
    wanted = {
        "SUPABASE_SERVICE_ROLE_KEY": "SUPABASE_URL",
        "TGWORKER_TELEGRAM_SERVER_KEY": "TGWORKER_TELEGRAM_SERVER",
    }.get(name, name)
    remedy = next(variable.remedy for variable in VARIABLES if variable.name == wanted)
    assert line == f"{wanted} {phrase}: {remedy}"


@pytest.mark.parametrize(
    ("url", "phrase"),
    [
        ("abc.supabase.co", "is not an http:// or https:// URL"),
        ("ftp://abc.supabase.co", "is not an http:// or https:// URL"),
        ("https://", "is not an http:// or https:// URL"),
        ("https://a:b@abc.supabase.co", "holds more than scheme, host, port and path"),
        ("https://abc.supabase.co/?apikey=1", "holds more than scheme, host, port and path"),
        ("https://abc:port", "is not a URL"),
        ("https://[::1", "is not a URL"),
    ],
)
def test_a_url_must_be_one(url: str, phrase: str) -> None:
    (line,) = problems(SUPABASE_URL=url, SUPABASE_SERVICE_ROLE_KEY="sb_secret_1")
    assert line.startswith(f"SUPABASE_URL {phrase}: ")


@pytest.mark.parametrize(
    ("key", "phrase"),
    [
        ("", "is not set"),
        (jwt(role="anon"), "is a key of another role than service_role"),
        ("sb_publishable_1", "is the publishable key"),
        ("sb_secret_1\nX-Other: 1", "holds blanks or characters beyond ASCII"),
    ],
)
def test_a_key_that_may_not_write_is_refused(key: str, phrase: str) -> None:
    (line,) = problems(SUPABASE_URL="https://abc.supabase.co", SUPABASE_SERVICE_ROLE_KEY=key)
    assert line.startswith(f"SUPABASE_SERVICE_ROLE_KEY {phrase}: ")


@pytest.mark.parametrize("key", ["sb_secret_1", jwt(role="service_role"), "a.b.c", "opaque"])
def test_a_key_that_may_write_is_taken(key: str) -> None:
    settings = load(SUPABASE_URL="http://127.0.0.1:54321", SUPABASE_SERVICE_ROLE_KEY=key)
    assert settings.supabase is not None
    assert settings.supabase.service_role_key.value == key


@pytest.mark.parametrize(
    ("server", "phrase"),
    [
        ("127.0.0.1", "is not host:port"),
        ("127.0.0.1:0", "has a port that is not 1 to 65535"),
        ("127.0.0.1:70000", "has a port that is not 1 to 65535"),
    ],
)
def test_a_test_server_must_have_an_address(server: str, phrase: str, server_key: Path) -> None:
    (line,) = problems(TGWORKER_TELEGRAM_SERVER=server, TGWORKER_TELEGRAM_SERVER_KEY=str(server_key))
    assert line.startswith(f"TGWORKER_TELEGRAM_SERVER {phrase}: ")


@pytest.mark.parametrize(
    ("content", "phrase"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"\xff\xfe", "is not a PEM file"),
        (b"-----BEGIN RSA PRIVATE KEY-----\nMIIB\n", "holds no RSA public key in PEM form"),
    ],
)
def test_a_test_server_must_have_a_key(content: bytes | None, phrase: str, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    (line,) = problems(TGWORKER_TELEGRAM_SERVER="127.0.0.1:1", TGWORKER_TELEGRAM_SERVER_KEY=str(path))
    assert line.startswith(f"TGWORKER_TELEGRAM_SERVER_KEY {phrase}: ")


@pytest.mark.parametrize(
    "written", [KEY, KEY.replace("-", "+").replace("_", "/"), KEY.rstrip("="), bytes(range(32)).hex()]
)
def test_a_key_of_256_bits_may_be_written_in_several_ways(written: str) -> None:
    settings = load(TGWORKER_ADOPT_FORMAT=" aes-256-gcm", TGWORKER_ADOPT_KEY=f"{written} ")
    assert settings.adoption == AdoptionSettings(form="aes-256-gcm", key=Secret(KEY))
    assert KEY not in repr(settings)


def test_a_function_gets_its_key_as_it_is() -> None:
    settings = load(TGWORKER_ADOPT_FORMAT="inbox.crypto:open", TGWORKER_ADOPT_KEY="hunter2")
    assert settings.adoption == AdoptionSettings(form="inbox.crypto:open", key=Secret("hunter2"))
    settings = load(TGWORKER_ADOPT_FORMAT="fernet", TGWORKER_ADOPT_KEY=f"{KEY} , {OTHER_KEY}")
    assert settings.adoption == AdoptionSettings(form="fernet", key=Secret(f"{KEY},{OTHER_KEY}"))


@pytest.mark.parametrize(
    ("form", "key", "line"),
    [
        ("", KEY, "TGWORKER_ADOPT_FORMAT is not set, but TGWORKER_ADOPT_KEY is: "),
        ("aes-256-gcm", "", "TGWORKER_ADOPT_KEY is not set: "),
        ("fernet", "", "TGWORKER_ADOPT_KEY is not set: "),
        ("inbox:open", "", "TGWORKER_ADOPT_KEY is not set: "),
        ("aes-256-gcm", "hunter2", "TGWORKER_ADOPT_KEY is not 32 bytes in base64 or hexadecimal: "),
        ("aes-256-gcm", "ab" * 16, "TGWORKER_ADOPT_KEY is not 32 bytes in base64 or hexadecimal: "),
        (
            "fernet",
            f"{KEY},x",
            "TGWORKER_ADOPT_KEY key 2 of 2 is not a Fernet key (32 bytes in URL-safe base64): ",
        ),
        ("aes", KEY, "TGWORKER_ADOPT_FORMAT is neither a form's name nor module:function: "),
        ("inbox:", KEY, "TGWORKER_ADOPT_FORMAT is neither a form's name nor module:function: "),
        ("in box:f", KEY, "TGWORKER_ADOPT_FORMAT is neither a form's name nor module:function: "),
    ],
)
def test_a_form_and_its_key_belong_together(form: str, key: str, line: str) -> None:
    (problem,) = problems(TGWORKER_ADOPT_FORMAT=form, TGWORKER_ADOPT_KEY=key)
    assert problem.startswith(line)
    assert "give" in problem
    assert "hunter2" not in problem


def test_a_command_that_needs_less_is_not_stopped_by_the_rest() -> None:
    environ = {"HOME": "/home/ada", "TELEGRAM_API_ID": "seven", "ENCRYPTION_KEY": "hunter2"}
    nothing: frozenset[Requirement] = frozenset()
    settings = load_settings(environ, require=nothing)
    assert (settings.telegram, settings.encryption_keys) == (None, ())
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, require={"encryption"})
    assert [line.split(" ", 1)[0] for line in caught.value.problems] == ["ENCRYPTION_KEY"]


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"TGWORKER_DATA_DIR": "/data", "STATE_DIRECTORY": "/var/lib/x"}, "/data"),
        ({"TGWORKER_DATA_DIR": "~/data"}, "/home/ada/data"),
        ({"STATE_DIRECTORY": "/var/lib/x:/var/lib/y", "XDG_STATE_HOME": "/state"}, "/var/lib/x"),
        ({"XDG_STATE_HOME": "/state"}, "/state/tgworker"),
        ({"XDG_STATE_HOME": "relative"}, "/home/ada/.local/state/tgworker"),
        ({"TGWORKER_DATA_DIR": "", "STATE_DIRECTORY": " "}, "/home/ada/.local/state/tgworker"),
    ],
)
def test_the_data_folder_is_the_first_that_is_named(environ: dict[str, str], folder: str) -> None:
    assert load(**environ).data_dir == Path(folder)


def test_a_relative_data_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(TGWORKER_DATA_DIR="state").data_dir == tmp_path / "state"


def test_without_a_home_the_data_folder_must_be_named() -> None:
    (line,) = problems(HOME="")
    assert line == "TGWORKER_DATA_DIR is not set, and neither is HOME: give the path of a folder"


def test_a_file_is_no_data_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    (line,) = problems(TGWORKER_DATA_DIR=str(file))
    assert line == f"TGWORKER_DATA_DIR would be {file}, which is not a folder: give the path of a folder"


def test_the_real_environment_wins_over_the_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(
        "# a comment\nexport TGWORKER_WORKER_ID='from file'\nTGWORKER_LOG_LEVEL=debug\n"
        "TGWORKER_STATUS_TOKEN=a${HOME}b\n"
    )
    settings = load_settings(MINIMUM | {"TGWORKER_LOG_LEVEL": "error", "TGWORKER_WORKER_ID": ""}, dotenv)
    assert settings.worker_id == "from file"
    assert settings.log_level is LogLevel.ERROR
    assert settings.status_token is not None
    assert settings.status_token.value == "a${HOME}b"


def test_the_process_environment_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TGWORKER_WORKER_ID", "leaked")
    assert load().worker_id == "telegram-main"


def test_a_missing_dotenv_file_is_no_problem(tmp_path: Path) -> None:
    assert load_settings(MINIMUM, tmp_path / ".env") == load()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            b"A=1\nhunter2 is the password\n",
            "{} line 2 is not NAME=value: correct it, or put a # in front of it",
        ),
        (b"A=\xff\n", "{} cannot be read (not UTF-8): make it a readable text file, or remove it"),
    ],
)
def test_a_broken_dotenv_file_is_named_without_its_content(content: bytes, line: str, tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(MINIMUM, dotenv)
    assert caught.value.problems == (line.format(dotenv),)


def test_a_folder_in_place_of_the_dotenv_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read \(Is a directory\)"):
        load_settings(MINIMUM, tmp_path)


def test_no_secret_is_shown(server_key: Path) -> None:
    secrets = {
        "TELEGRAM_API_HASH": API_HASH,
        "ENCRYPTION_KEY": KEY,
        "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_hunter2",
        "TGWORKER_STATUS_TOKEN": "hunter2",
    }
    settings = load(SUPABASE_URL="https://abc.supabase.co", **secrets)
    for secret in secrets.values():
        assert secret not in repr(settings)
    lines = "\n".join(
        problems(
            TELEGRAM_API_HASH="hunter2",
            ENCRYPTION_KEY="hunter2",
            SUPABASE_URL="https://me:hunter2@abc.supabase.co",
            SUPABASE_SERVICE_ROLE_KEY="hunter2 hunter2",
            TGWORKER_STATUS_TOKEN="hunter2 hunter2",
        )
    )
    assert len(lines.splitlines()) == 5
    assert "hunter2" not in lines
