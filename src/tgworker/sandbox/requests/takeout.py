"""``account.*TakeoutSession`` and ``messages.getSplitRanges``: exporting what an account holds.

Source: https://core.telegram.org/api/takeout
"""

from typing import Any

from telethon.tl import types

from tgworker.sandbox import post
from tgworker.sandbox.packing import vector
from tgworker.sandbox.requests.call import Answer, Call
from tgworker.sandbox.takeouts import REQUIRED

PARTS = (
    "contacts",
    "message_users",
    "message_chats",
    "message_megagroups",
    "message_channels",
    "files",
)

MAX_ID = 2**31 - 1

ASKED = (
    "Data export request. {name}, a device of yours asks to export your Telegram data. If it was you, allow"
    " it here and it may begin at once; else it may begin in {hours} h. If it was not you, end that session."
)
"""What all devices of an account are told, in the sandbox's words."""


def init_takeout_session(call: Call, request: Any) -> Answer:
    """``account.initTakeoutSession``: at once, or not before the owner allows it or the wait is over."""
    cloud, key_id = call.cloud, call.record.id
    delay_s = cloud.behaviour.takeout_delay_s
    if cloud.takeouts.first_asks(call.me.id, key_id, delay_s):
        text = ASKED.format(name=call.me.first_name, hours=round(delay_s / 3600, 1))
        post.deliver(cloud, cloud.directory.service, call.me, text)
    cloud.takeouts.check_wait(key_id)
    parts = tuple(each for each in PARTS if getattr(request, each))
    return types.account.Takeout(cloud.takeouts.open(call.me.id, key_id, parts, request.file_max_size).id)


def finish_takeout_session(call: Call, request: Any) -> Answer:
    """``account.finishTakeoutSession``, within the one that it finishes."""
    if call.takeout is None:
        raise REQUIRED
    call.takeout.state = "success" if request.success else "failure"
    return True


def get_split_ranges(call: Call, _request: Any) -> Answer:
    """``messages.getSplitRanges``: the numbers of a mailbox in pieces, the newest without an end."""
    if call.takeout is None:
        raise REQUIRED
    size = call.cloud.behaviour.takeout_range
    begins = range(1, max(call.me.mailbox.last_id, 1) + 1, size)
    return vector(
        [types.MessageRange(begin, MAX_ID if begin == begins[-1] else begin + size - 1) for begin in begins]
    )
