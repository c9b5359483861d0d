"""Accepting the login of another device: by its token, as an app does that has scanned a QR code."""

import base64
import binascii
from urllib.parse import parse_qs, urlsplit

from telethon.tl import types

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import RequestRefused, SandboxError
from tgworker.sandbox.login_tokens import LoginToken


def accept_token(cloud: Cloud, account: Account, token: bytes) -> LoginToken:
    """Let whoever shows a token log in; he hears of it, and asks for his login.

    Raises:
        RequestRefused: There is no such token, it has expired, or it is not for this account.
    """
    found = cloud.login_tokens.get(token, cloud.calendar())
    if found.user_id is not None:
        raise RequestRefused(400, "AUTH_TOKEN_ALREADY_ACCEPTED")
    if account.id in found.excepted:
        raise RequestRefused(400, "AUTH_TOKEN_EXCEPTION")
    found.user_id = account.id
    waiting = found.record.user
    if waiting is not None:
        waiting.push_to_guest(bytes(types.UpdateShort(types.UpdateLoginToken(), cloud.now())))
    return found


def scan(cloud: Cloud, account: Account, url: str) -> None:
    """Scan a QR code: ``tg://login?token=…``, base64url.

    Raises:
        SandboxError: It says something else, or its token cannot be accepted.
    """
    parts = urlsplit(url)
    (text, *_) = parse_qs(parts.query).get("token", [""])
    try:
        token = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        token = b""
    if parts.scheme != "tg" or parts.netloc != "login" or not token:
        raise SandboxError("this is no tg://login?token=… of a QR code")
    try:
        accept_token(cloud, account, token)
    except RequestRefused as refusal:
        raise SandboxError(f"this QR code cannot be accepted: {refusal.message}") from None


def shown(cloud: Cloud) -> tuple[str, ...]:
    """The QR codes that wait for somebody to scan them."""
    waiting = (each for each in cloud.login_tokens if each.user_id is None)
    texts = (base64.urlsafe_b64encode(each.token).decode("ascii").rstrip("=") for each in waiting)
    return tuple(f"tg://login?token={text}" for text in texts)
