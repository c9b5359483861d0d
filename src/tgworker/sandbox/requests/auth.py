"""``auth.*`` and the rest of it: logging in by phone, code and two-step password, and out.

Source: https://core.telegram.org/api/auth
"""

from typing import Any, cast

from telethon.tl import types

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.auth_keys import SentCode
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.requests.call import Answer, Call, Caller
from tgworker.sandbox.two_step import no_password
from tgworker.sandbox.views import user_view


def send_code(caller: Caller, request: Any) -> Answer:
    """``auth.sendCode``: the code is always `Behaviour.login_code`, and goes nowhere."""
    phone = _digits(request.phone_number)
    account = caller.cloud.directory.by_phone(phone)
    _check_dc(caller, account)
    if account is not None and account.banned:
        raise RequestRefused(400, "PHONE_NUMBER_BANNED")
    return _sent(caller, phone, again=False)


def resend_code(caller: Caller, request: Any) -> Answer:
    """``auth.resendCode``: once, as a text message."""
    code = _code(caller, request)
    if code.again:
        raise RequestRefused(406, "SEND_CODE_UNAVAILABLE")
    return _sent(caller, code.phone, again=True)


def cancel_code(caller: Caller, request: Any) -> Answer:
    """``auth.cancelCode``: it is worth nothing any more."""
    _code(caller, request)
    caller.record.code = None
    return True


def sign_in(caller: Caller, request: Any) -> Answer:
    """``auth.signIn``. A number without an account may sign up, says Telegram: to clients that is a no."""
    phone = _digits(request.phone_number)
    account = caller.cloud.directory.by_phone(phone)
    _check_dc(caller, account)
    if not request.phone_code:
        raise RequestRefused(400, "PHONE_CODE_EMPTY")
    _code(caller, request)
    if request.phone_code != caller.cloud.behaviour.login_code:
        raise RequestRefused(400, "PHONE_CODE_INVALID")
    if account is None:
        return types.auth.AuthorizationSignUpRequired()
    if account.banned:
        raise RequestRefused(400, "PHONE_NUMBER_BANNED")
    caller.record.code = None
    return logged_in(caller, account)


def get_password(caller: Caller, _request: Any) -> Answer:
    """``account.getPassword``: a question to who is logged in, or would be but for the password."""
    two_step = _account(caller).two_step
    return no_password(caller.cloud.rng) if two_step is None else two_step.ask(caller.cloud.rng)


def check_password(caller: Caller, request: Any) -> Answer:
    """``auth.checkPassword``: the last step of a login with a two-step password."""
    account = _account(caller)
    if account.two_step is None:
        raise RequestRefused(400, "SRP_PASSWORD_CHANGED")
    account.two_step.check(request.password)
    return _authorization(caller, account)


def logged_in(caller: Caller, account: Account) -> Any:
    """Log a user in who has proved who he is; one with a two-step password has to give that, too."""
    if account.banned:
        raise RequestRefused(401, "USER_DEACTIVATED_BAN")
    if account.two_step is not None:
        caller.record.half_user_id = account.id
        raise RequestRefused(401, "SESSION_PASSWORD_NEEDED")
    return _authorization(caller, account)


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
    return _authorization(caller, caller.cloud.directory.get(request.id))


def log_out(caller: Caller, _request: Any) -> Answer:
    """``auth.logOut``: nobody is logged in with this key any more, not even half."""
    _account(caller)
    caller.record.user_id = caller.record.half_user_id = None
    return types.auth.LoggedOut()


def _account(caller: Caller) -> Account:
    """Who is logged in, or would be but for his two-step password."""
    record = caller.record
    user_id = record.half_user_id if record.user_id is None else record.user_id
    if user_id is None:
        raise RequestRefused(401, "AUTH_KEY_UNREGISTERED")
    return caller.cloud.directory.get(user_id)


def _authorization(caller: Caller, account: Account) -> Any:
    caller.record.user_id, caller.record.half_user_id = account.id, None
    return types.auth.Authorization(user_view(caller.cloud.directory, account, account))


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


def _sent(caller: Caller, phone: str, *, again: bool) -> Any:
    cloud = caller.cloud
    until_s = cloud.clock() + cloud.behaviour.login_code_lives_s
    caller.record.code = SentCode(phone, cloud.rng.randbytes(9).hex(), until_s, again)
    length = len(cloud.behaviour.login_code)
    in_app, as_text = cast("Any", types.auth.SentCodeTypeApp(length)), types.auth.SentCodeTypeSms(length)
    if again:
        return types.auth.SentCode(cast("Any", as_text), caller.record.code.hash)
    return types.auth.SentCode(in_app, caller.record.code.hash, types.auth.CodeTypeSms(), 60)


def _code(caller: Caller, request: Any) -> SentCode:
    """The code that a request names."""
    code = caller.record.code
    if not request.phone_code_hash:
        raise RequestRefused(400, "PHONE_CODE_HASH_EMPTY")
    if code is None or (code.phone, code.hash) != (_digits(request.phone_number), request.phone_code_hash):
        raise RequestRefused(400, "PHONE_CODE_EXPIRED")
    if code.until_s <= caller.cloud.clock():
        raise RequestRefused(400, "PHONE_CODE_EXPIRED")
    return code
