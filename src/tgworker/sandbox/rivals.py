"""Two connections that use one authorization key at the same time: Telegram's ``AUTH_KEY_DUPLICATED``.

"Emitted when … an authorized session is sending requests in parallel from two separate TCP connections … the
session is invalidated" (https://core.telegram.org/api/errors#406-not-acceptable). Who the rivals are:

* A connection uses its key from its first request on until it is closed.
* The same MTProto session over another connection is a reconnection, not a rival.
* A connection whose packets vanished in a black hole does not count until it is heard of again.
* A client that reconnects closes the old connection first, but the server may hear of it later: the
  newcomer's first request waits up to `GRACE_S` for that. What is still open then is a rival.
"""

import trio

from tgworker.sandbox.auth_keys import KeyRecord, KeyUser
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.errors import RequestRefused

GRACE_S = 0.25


async def claim_key(cloud: Cloud, record: KeyRecord, newcomer: KeyUser) -> None:
    """Note who uses a key; waits if that is news. After it ``record.refusal`` may say that the key has died.

    Args:
        cloud: The sandbox.
        record: The key.
        newcomer: The connection that has a request to make with it.
    """
    user = record.user
    if user is newcomer:
        return
    if user is not None and record.user_id is not None and _are_rivals(cloud, user, newcomer):
        with trio.move_on_after(GRACE_S):
            await user.gone.wait()
        if not user.gone.is_set() and record.user is user and record.refusal is None:
            record.refusal = RequestRefused(406, "AUTH_KEY_DUPLICATED")
            cloud.counts.duplicated_keys += 1
            return
    record.user = newcomer


def leave_key(record: KeyRecord, user: KeyUser) -> None:
    """Note that nobody can say whether a connection still uses a key."""
    if record.user is user:
        record.user = None


def _are_rivals(cloud: Cloud, user: KeyUser, newcomer: KeyUser) -> bool:
    return (
        cloud.behaviour.duplicates == "die"
        and not user.gone.is_set()
        and user.session_id != newcomer.session_id
    )
