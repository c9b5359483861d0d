"""What Telegram's errors mean for a message, and for the account."""

import pytest
from telethon.errors import RPCError, rpc_message_to_error
from telethon.tl import functions, types

from tgworker.messaging.models import AccountState
from tgworker.messaging.outcomes import Deferred, HoldsUp, Outcome, Refused, Released, Unknown
from tgworker.telegram.rpc_errors import account_refusal, error_name, is_passing, send_outcome, wait_of


def answered(code: int, name: str) -> RPCError:
    """The exception that Telethon makes of an answer."""
    return rpc_message_to_error(types.RpcError(code, name), functions.PingRequest(1))


@pytest.mark.parametrize(
    ("code", "name", "outcome"),
    [
        (420, "FLOOD_WAIT_33", Deferred(33, "FLOOD_WAIT_33", HoldsUp.METHOD)),
        (420, "FLOOD_WAIT_0", Deferred(1, "FLOOD_WAIT_0", HoldsUp.METHOD)),
        (420, "FLOOD_PREMIUM_WAIT_7", Deferred(7, "FLOOD_PREMIUM_WAIT_7", HoldsUp.SUBSCRIPTION)),
        (420, "SLOWMODE_WAIT_60", Deferred(60, "SLOWMODE_WAIT_60", HoldsUp.CHAT)),
        (420, "SOME_NEW_WAIT_5", Deferred(5, "SOME_NEW_WAIT_5")),
        (420, "FROZEN_METHOD_INVALID", Refused("FROZEN_METHOD_INVALID")),
        (400, "PEER_ID_INVALID", Refused("PEER_ID_INVALID")),
        (400, "PEER_FLOOD", Deferred(86_400, "PEER_FLOOD", HoldsUp.STRANGERS)),
        (400, "INPUT_USER_DEACTIVATED", Refused("INPUT_USER_DEACTIVATED")),
        (400, "MESSAGE_TOO_LONG", Refused("MESSAGE_TOO_LONG")),
        (400, "NEVER_HEARD_OF", Refused("NEVER_HEARD_OF")),
        (403, "CHAT_WRITE_FORBIDDEN", Refused("CHAT_WRITE_FORBIDDEN")),
        (403, "NEW_WAY_TO_FORBID", Refused("NEW_WAY_TO_FORBID")),
        (406, "CHANNEL_PRIVATE", Refused("CHANNEL_PRIVATE")),
        (500, "INTERNAL", Unknown("INTERNAL")),
        (500, "RPC_CALL_FAIL", Unknown("RPC_CALL_FAIL")),
        (-500, "No workers running", Unknown("No workers running")),
        (-503, "Timeout", Unknown("TIMEOUT")),
        (401, "SESSION_REVOKED", Released("SESSION_REVOKED")),
        (401, "AUTH_KEY_UNREGISTERED", Released("AUTH_KEY_UNREGISTERED")),
        (406, "AUTH_KEY_DUPLICATED", Released("AUTH_KEY_DUPLICATED")),
        (401, "USER_DEACTIVATED_BAN", Released("USER_DEACTIVATED_BAN")),
    ],
)
def test_an_error_is_an_outcome_of_the_message(code: int, name: str, outcome: Outcome) -> None:
    assert send_outcome(answered(code, name)) == outcome


@pytest.mark.parametrize(
    ("code", "name", "state"),
    [
        (401, "SESSION_REVOKED", AccountState.NEEDS_LOGIN),
        (401, "SESSION_EXPIRED", AccountState.NEEDS_LOGIN),
        (401, "AUTH_KEY_UNREGISTERED", AccountState.NEEDS_LOGIN),
        (401, "SESSION_PASSWORD_NEEDED", AccountState.NEEDS_LOGIN),
        (406, "AUTH_KEY_DUPLICATED", AccountState.NEEDS_LOGIN),
        (303, "USER_MIGRATE_4", AccountState.NEEDS_LOGIN),
        (401, "USER_DEACTIVATED", AccountState.BANNED),
        (401, "USER_DEACTIVATED_BAN", AccountState.BANNED),
    ],
)
def test_some_errors_are_final_for_the_account(code: int, name: str, state: AccountState) -> None:
    refusal = account_refusal(answered(code, name))
    assert refusal is not None
    assert refusal.state is state
    assert refusal.reason.startswith(f"{name}: ")
    assert "\n" not in refusal.reason


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (400, "INPUT_USER_DEACTIVATED"),
        (420, "FLOOD_WAIT_9"),
        (500, "INTERNAL"),
        (401, "ACTIVE_USER_REQUIRED"),
    ],
)
def test_other_errors_say_nothing_about_the_account(code: int, name: str) -> None:
    assert account_refusal(answered(code, name)) is None


def test_names_come_back_as_telegram_sent_them() -> None:
    for name in (
        "FLOOD_WAIT_12",
        "FILE_PART_3_MISSING",
        "PEER_ID_INVALID",
        "INTERDC_2_CALL_ERROR",
        "UNHEARD_OF",
    ):
        assert error_name(answered(400, name)) == name


def test_only_announced_waits_are_waits() -> None:
    assert wait_of(answered(420, "FLOOD_WAIT_5")) == 5
    assert wait_of(answered(400, "PEER_FLOOD")) is None


def test_trouble_inside_telegram_passes() -> None:
    assert is_passing(answered(500, "WORKER_BUSY_TOO_LONG_RETRY"))
    assert is_passing(answered(-503, "Timeout"))
    assert not is_passing(answered(403, "CHAT_WRITE_FORBIDDEN"))
