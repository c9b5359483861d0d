"""``auth.*LoginToken``: logging in by QR code.

Source: https://core.telegram.org/api/qr-login
"""

from datetime import UTC, datetime
from typing import Any

from telethon.tl import types

from tgworker.sandbox.login_tokens import LoginToken
from tgworker.sandbox.requests.auth import logged_in
from tgworker.sandbox.requests.call import Answer, Call, Caller
from tgworker.sandbox.scanning import accept_token


def export_login_token(caller: Caller, request: Any) -> Answer:
    """``auth.exportLoginToken``: a token to be shown, and, once it was accepted, the login."""
    cloud = caller.cloud
    token = cloud.login_tokens.of(caller.record)
    if token is not None and token.user_id is not None:
        return _accepted(caller, token)
    if token is None or token.expires_at_s <= cloud.calendar():
        until_s = cloud.calendar() + cloud.behaviour.login_token_lives_s
        token = cloud.login_tokens.give(caller.record, caller.dc_id, until_s, request.except_ids)
    return _shown(token)


def import_login_token(caller: Caller, request: Any) -> Answer:
    """``auth.importLoginToken``: the login, at the data centre where whoever accepted it lives."""
    token = caller.cloud.login_tokens.get(request.token, caller.cloud.calendar())
    return _shown(token) if token.user_id is None else _accepted(caller, token)


def accept_login_token(call: Call, request: Any) -> Answer:
    """``auth.acceptLoginToken``: what an app does that has scanned a QR code. Who shows it hears."""
    token = accept_token(call.cloud, call.me, request.token)
    now = call.cloud.now()
    return types.Authorization(
        hash=token.record.id >> 1,
        device_model="a client",
        platform="",
        system_version="",
        api_id=1,
        app_name="sandbox",
        app_version="1",
        date_created=now,
        date_active=now,
        ip="127.0.0.1",
        country="",
        region="",
    )


def _accepted(caller: Caller, token: LoginToken) -> Answer:
    assert token.user_id is not None
    account = caller.cloud.directory.get(token.user_id)
    if account.dc_id != caller.dc_id:
        return types.auth.LoginTokenMigrateTo(account.dc_id, token.token)
    caller.cloud.login_tokens.forget(token)
    return types.auth.LoginTokenSuccess(logged_in(caller, account))


def _shown(token: LoginToken) -> Answer:
    return types.auth.LoginToken(datetime.fromtimestamp(int(token.expires_at_s), UTC), token.token)
