"""Photos of an account's contacts and groups: which are to be fetched, and what became of them."""

import sqlite3
from datetime import datetime
from typing import Final, assert_never

from tgworker.embedded.values import seconds
from tgworker.messaging.incoming_files import Fetched, FetchLater, FetchOutcome, NotFetched, WantedAvatar
from tgworker.messaging.models import AccountId

MOST_TRIES: Final = 5
"""After so many failures a photo is given up, until there is another one."""

_WANTED = f"""
select p.chat_id, p.photo_id, a.owner_id, p.avatar_tries
from tgworker_peers p
join integration_accounts a on a.id = p.integration_account_id
where p.integration_account_id = :account and p.photo_id is not null and p.photo_id is not p.avatar_id
    and p.avatar_tries < {MOST_TRIES} and (p.avatar_not_before is null or p.avatar_not_before <= :now)
    and exists (select 1 from contact_identities i
        where i.owner_id = a.owner_id and i.type = 'telegram_user' and i.value = cast(p.chat_id as text))
order by p.avatar_tries, p.chat_id
limit :limit
"""  # noqa: S608 - a constant

# Whichever of the owner's accounts has fetched it, it is there.
_FETCHED = """
update tgworker_peers set avatar_id = :photo, avatar_tries = 0, avatar_not_before = null
where chat_id = :chat and photo_id = :photo and avatar_id is not :photo
    and integration_account_id in (select id from integration_accounts where owner_id = :owner)
"""

_SHOW = """
update contact_identities set metadata = json_set(metadata, '$.avatar_url', :url)
where owner_id = :owner and type = 'telegram_user' and value = cast(:chat as text)
    and case when json_valid(metadata) then json_type(metadata) = 'object' end
"""

_LATER = """
update tgworker_peers set avatar_tries = :tries, avatar_not_before = :not_before
where integration_account_id = :account and chat_id = :chat and photo_id = :photo and avatar_id is not :photo
"""


def wanted_avatars(
    connection: sqlite3.Connection, account_id: AccountId, limit: int, now: datetime
) -> list[WantedAvatar]:
    """See `tgworker.messaging.media_ports.MediaStore`."""
    asked = {"account": account_id, "now": seconds(now), "limit": limit}
    return [WantedAvatar(*row) for row in connection.execute(_WANTED, asked)]


def finish_avatar(
    connection: sqlite3.Connection,
    account_id: AccountId,
    avatar: WantedAvatar,
    outcome: FetchOutcome,
    url: str | None,
    now: datetime,
) -> None:
    """See `tgworker.messaging.media_ports.MediaStore`. Nothing, where there is another photo meanwhile."""
    known = {"account": account_id, "chat": avatar.chat_id, "photo": avatar.photo_id}
    match outcome:
        case Fetched():
            asked = {"chat": avatar.chat_id, "photo": avatar.photo_id, "owner": avatar.owner_id}
            if connection.execute(_FETCHED, asked).rowcount and url is not None:
                connection.execute(_SHOW, {"owner": avatar.owner_id, "chat": avatar.chat_id, "url": url})
        case NotFetched():
            connection.execute(_LATER, {**known, "tries": MOST_TRIES, "not_before": None})
        case FetchLater():
            not_before = seconds(now) + outcome.retry_after_s
            tries = avatar.tries + outcome.counts
            connection.execute(_LATER, {**known, "tries": tries, "not_before": not_before})
        case _:
            assert_never(outcome)
