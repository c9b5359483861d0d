"""What a user is called and looks like, and who hears that it is otherwise.

Sources: https://core.telegram.org/method/account.updateProfile, https://core.telegram.org/method/account.updateUsername
"""

import re
from collections.abc import Iterator
from typing import Any

from telethon.tl import types

from tgworker.sandbox.accounts import Account, Line
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.files import StoredFile
from tgworker.sandbox.presence import acquaintances
from tgworker.sandbox.telling import push, updates_view

NAME_MAX = 64
USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{4,31}")


def update_profile(
    cloud: Cloud,
    account: Account,
    *,
    first_name: str | None = None,
    last_name: str | None = None,
    via: Line | None = None,
) -> None:
    """Give a user other names; ``None``: it stays.

    Raises:
        RequestRefused: He would have no first name.
    """
    first = account.first_name if first_name is None else first_name.strip()[:NAME_MAX]
    last = account.last_name if last_name is None else last_name.strip()[:NAME_MAX]
    if not first:
        raise RequestRefused(400, "FIRSTNAME_INVALID")
    if (first, last) != (account.first_name, account.last_name):
        account.first_name, account.last_name = first, last
        _tell_name(cloud, account, via)


def update_username(cloud: Cloud, account: Account, username: str, *, via: Line | None = None) -> None:
    """Give a user another username, or, if it is empty, none.

    Raises:
        RequestRefused: It is none, or somebody's, or his own already.
    """
    if username and not USERNAME.fullmatch(username):
        raise RequestRefused(400, "USERNAME_INVALID")
    if username == account.username:
        raise RequestRefused(400, "USERNAME_NOT_MODIFIED")
    holder = cloud.directory.by_username(username) if username else None
    of_channel = cloud.channels.by_username(username) if username else None
    if of_channel is not None or holder not in (None, account):
        raise RequestRefused(400, "USERNAME_OCCUPIED")
    cloud.directory.rename(account, username)
    _tell_name(cloud, account, via)


def set_profile_photo(
    cloud: Cloud, account: Account, photo: StoredFile | None, *, via: Line | None = None
) -> None:
    """Give a user another photo, or none."""
    account.photo = photo
    cloud.directory.looks.forget(account.id)
    for each in _hears(cloud, account):
        _push(cloud, each, account, types.UpdateUser(account.id), via)


def _tell_name(cloud: Cloud, account: Account, via: Line | None) -> None:
    cloud.directory.looks.forget(account.id)
    usernames: list[Any] = []
    if account.username:
        usernames.append(types.Username(account.username, editable=True, active=True))
    update = types.UpdateUserName(account.id, account.first_name, account.last_name, usernames)
    for each in _hears(cloud, account):
        _push(cloud, each, account, update, via)


def _hears(cloud: Cloud, account: Account) -> Iterator[Account]:
    yield account
    yield from acquaintances(cloud, account)


def _push(cloud: Cloud, viewer: Account, account: Account, update: Any, via: Line | None) -> None:
    push(viewer, lambda: updates_view(cloud, viewer, [update], [account.id]), skip=via)
