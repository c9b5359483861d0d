"""``users.*`` and ``account.*``: who is who, and who is there."""

from typing import Any

from telethon.tl import types

from tgworker.sandbox import presence
from tgworker.sandbox.addressing import user_of
from tgworker.sandbox.errors import RequestRefused
from tgworker.sandbox.packing import vector
from tgworker.sandbox.pinning import pinned_msg_id
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.views import user_view


def get_users(call: Call, request: Any) -> Answer:
    """``users.getUsers``: whoever cannot be addressed so is an empty user, not an error."""
    found: list[Any] = []
    for each in request.id:
        try:
            account = user_of(call.cloud, call.me, each)
        except RequestRefused:
            found.append(types.UserEmpty(getattr(each, "user_id", 0)))
        else:
            found.append(user_view(call.cloud.directory, call.me, account))
    return vector(found)


def get_full_user(call: Call, request: Any) -> Answer:
    """``users.getFullUser``."""
    directory = call.cloud.directory
    account = user_of(call.cloud, call.me, request.id, "USER_ID_INVALID")
    full = types.UserFull(
        account.id,
        types.PeerSettings(),
        types.PeerNotifySettings(),
        common_chats_count=0,
        pinned_msg_id=pinned_msg_id(call.me, account),
    )
    return types.users.UserFull(full, [], [user_view(directory, call.me, account)])


def update_status(call: Call, request: Any) -> Answer:
    """``account.updateStatus``: tells those who know the account."""
    presence.update_status(call.cloud, call.me, offline=bool(request.offline))
    return True
