"""``auth.*``: logging in by phone and code, and out.

Source: https://core.telegram.org/api/auth
"""

from hashlib import sha256
from typing import Any

from telethon.tl import types

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.requests.call import Answer, Call, Caller
from tgworker.sandbox.views import user_view


def send_code(caller: Caller, request: Any) -> Answer:
    """``auth.sendCode``: the code is always `Behaviour.login_code`, and goes nowhere."""
    account = caller.cloud.directory.by_phone(_digits(request.phone_number))
    _check_dc(caller, account)
    if account is not None and account.banned:
        raise RequestRefused(400, "PHONE_NUMBER_BANNED")
    code_type: Any = types.auth.SentCodeTypeApp(len(caller.cloud.behaviour.login_code))
    return types.auth.SentCode(code_type, _code_hash(caller, request.phone_number))


def sign_in(caller: Caller, request: Any) -> Answer:
    """``auth.signIn``. A number without an account may sign up, says Telegram: to clients that is a no."""
    phone = _digits(request.phone_number)
    _check_dc(caller, caller.cloud.directory.by_phone(phone))
    if request.phone_code_hash != _code_hash(caller, phone):
        raise RequestRefused(400, "PHONE_CODE_EXPIRED")
    if not request.phone_code:
        raise RequestRefused(400, "PHONE_CODE_EMPTY")
    if request.phone_code != caller.cloud.behaviour.login_code:
        raise RequestRefused(400, "PHONE_CODE_INVALID")
    account = caller.cloud.directory.by_phone(phone)
    if account is None:
        return types.auth.AuthorizationSignUpRequired()
    if account.banned:
        raise RequestRefused(400, "PHONE_NUMBER_BANNED")
    caller.record.user_id = account.id
    return types.auth.Authorization(user_view(caller.cloud.directory, account, account))


def export_authorization(call: Call, request: Any) -> Answer:
    """``auth.exportAuthorization``: a login, for another data centre.

    Source: https://core.telegram.org/api/datacenter
    """
    if request.dc_id not in call.cloud.ports:
        raise RequestRefused(400, "DC_ID_INVALID")
    return types.auth.ExportedAuthorization(call.me.id, _ticket(call, call.me.id, request.dc_id))


def import_authorization(caller: Caller, request: Any) -> Answer:
    """``auth.importAuthorization``: the login that another data centre gave out."""
    if request.bytes != _ticket(caller, request.id, caller.dc_id):
        raise RequestRefused(400, "AUTH_BYTES_INVALID")
    account = caller.cloud.directory.get(request.id)
    caller.record.user_id = account.id
    return types.auth.Authorization(user_view(caller.cloud.directory, account, account))


def log_out(call: Call, _request: Any) -> Answer:
    """``auth.logOut``: nobody is logged in with this key any more."""
    call.record.user_id = None
    return types.auth.LoggedOut()


def _check_dc(caller: Caller, account: Account | None) -> None:
    """Send a client to the data centre where a number's account lives, or is to live."""
    if account is not None and account.dc_id != caller.dc_id:
        raise RequestRefused(303, f"PHONE_MIGRATE_{account.dc_id}")
    nearest = caller.cloud.nearest_dc
    if account is None and nearest != caller.dc_id:
        raise RequestRefused(303, f"NETWORK_MIGRATE_{nearest}")


def _ticket(caller: Caller, user_id: int, dc_id: int) -> bytes:
    """What proves a login to another data centre: it can be used as often as somebody likes."""
    return caller.cloud.directory.proof(b"login %d %d" % (user_id, dc_id))


def _digits(phone: str) -> str:
    digits = "".join(filter(str.isdigit, phone))
    if not 5 <= len(digits) <= 15:
        raise RequestRefused(400, "PHONE_NUMBER_INVALID")
    return digits


def _code_hash(caller: Caller, phone: str) -> str:
    """Which code belongs to which number: any function of both ends of the conversation will do."""
    return sha256(caller.record.key + _digits(phone).encode()).hexdigest()[:18]
