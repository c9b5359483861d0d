"""Session strings, the session object Telethon gets, and what an account's config may say."""

from datetime import UTC, datetime
from typing import Any

import pytest
from telethon.crypto import AuthKey
from telethon.sessions import StringSession
from telethon.tl import types

from tgworker.messaging.errors import AccountRefused
from tgworker.messaging.models import AccountState, Peer, PeerKind, Position, Secret
from tgworker.telegram import ConfigUnusable, Device, NotASession, ServerOverride, TelegramSettings
from tgworker.telegram.session import AccountSession
from tgworker.telegram.settings import Appearance

KEY = bytes(range(1, 129)) * 2
SERVER = ServerOverride(host="127.0.0.1", port=4430, dc=3, public_key_pem="PEM")
POSITION = Position(pts=5, qts=1, date=1_700_000_000, seq=2, channels={4: 44, 6: 66})
PEERS = [Peer(-1_000_000_000_004, PeerKind.CHANNEL, 444), Peer(4, PeerKind.USER, 4444)]


def stored() -> Secret:
    session = StringSession()
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = AuthKey(KEY)
    return Secret(session.save())


def key_in(session: Any) -> bytes:
    key: bytes = session.auth_key.key
    return key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "1nonsense",
        "2" + "A" * 352,
        "1" + "A" * 351,
        "1" + "=" * 352,
        "1" + "\N{SNOWMAN}" * 352,
    ],
)
def test_what_is_no_session_string_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(NotASession) as caught:
        AccountSession(Secret(text), None)
    assert isinstance(caught.value, AccountRefused)
    assert caught.value.state is AccountState.NEEDS_LOGIN
    assert caught.value.__context__ is None or caught.value.__suppress_context__  # which quotes the session
    assert not text or text not in str(caught.value)


def test_a_session_goes_to_its_own_server_unless_another_is_given() -> None:
    own = AccountSession(stored(), None)
    assert (own.dc_id, own.server_address, own.port) == (2, "149.154.167.51", 443)
    test = AccountSession(stored(), SERVER)
    assert (test.dc_id, test.server_address, test.port) == (3, "127.0.0.1", 4430)
    assert key_in(test) == KEY
    assert test.key_id == AuthKey(KEY).key_id


def test_white_space_around_a_session_string_does_no_harm() -> None:
    assert key_in(AccountSession(Secret(f" {stored().value}\n"), None)) == KEY


def test_telethon_finds_the_stored_position_and_channels() -> None:
    session = AccountSession(stored(), None, POSITION, PEERS)
    states: dict[int, Any] = dict(session.get_update_states())
    assert (states[0].pts, states[0].qts, states[0].seq) == (5, 1, 2)
    assert states[0].date == datetime.fromtimestamp(1_700_000_000, UTC)
    assert (states[4].pts, states[6].pts) == (44, 66)
    assert session.get_input_entity(4) == types.InputPeerChannel(4, 444)
    with pytest.raises(ValueError, match="no access hash"):
        session.get_input_entity(6)


def test_an_account_never_seen_has_no_position() -> None:
    assert list(AccountSession(stored(), None).get_update_states()) == []


def test_nothing_that_telethon_saves_is_kept() -> None:
    session = AccountSession(stored(), None, POSITION)
    session.set_update_state(0, types.updates.State(99, 9, None, 9, 0))
    session.process_entities([types.User(id=1, access_hash=1, first_name="x")])
    assert dict(session.get_update_states())[0].pts == 5
    assert not session._entities


def test_a_device_is_the_accounts_own_and_the_same_on_every_host() -> None:
    assert Device.of({}) == Device.of({"unknown": 1}) == Device()
    assert Device.of({"device_model": "Desk", "app_version": "4.2"}) == Device(
        device_model="Desk", app_version="4.2"
    )


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"proxy": {"host": "10.0.0.1"}}, "config.proxy has another type than"),
        ({"proxy": "socks5://10.0.0.1"}, "config.proxy has no port"),
        ({"device_model": 5}, "config.device_model must be a text"),
        ({"lang_code": " "}, "config.lang_code must be a text"),
    ],
)
def test_a_config_that_cannot_be_followed_is_refused_not_ignored(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigUnusable, match=words) as caught:
        Appearance.of(config)
    assert caught.value.state is AccountState.DISABLED
    assert "10.0.0.1" not in str(caught.value)


def test_secrets_show_themselves_to_nobody() -> None:
    settings = TelegramSettings(api_id=1, api_hash="hash", server=SERVER)
    assert "hash'" not in repr(settings)
    assert "PEM" not in repr(settings)
    assert KEY.hex() not in repr(AccountSession(stored(), None))
