"""What the children of all accounts are given."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from tgworker.messaging.bounded import Delays
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.events import Report
from tgworker.messaging.fetching import FetchPlan
from tgworker.messaging.hearing import Ears
from tgworker.messaging.history_desk import HistoryDesks
from tgworker.messaging.job_desk import JobDesks
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import AccountId
from tgworker.messaging.pacing import PUBLISHED, Rates
from tgworker.messaging.ports import Telegram, Vault
from tgworker.messaging.preparing import Preparer
from tgworker.messaging.presence_writing import PresenceWriter
from tgworker.messaging.stagger import Stagger
from tgworker.messaging.store_ports import AccountChildStore
from tgworker.messaging.uploads import Uploads
from tgworker.messaging.values import utc_now


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountContext:
    """What the children of all accounts share.

    Attributes:
        telegram: Opens lines.
        vault: Decrypts sessions.
        store: Where positions, peers and what arrives are kept.
        dispatch: Where claimed attempts come from, and outcomes go to.
        histories: Where claimed history jobs come from.
        jobs: Where claimed message jobs come from, and what became of them goes to.
        limits: The deadlines.
        line_delays: Backoff between two lines.
        flood_delays: Backoff while Telegram takes no connections from here: a class of its own, in minutes.
        store_delays: Backoff while the store is away.
        report: Hears what happens.
        preparer: Looks at files before they are sent.
        uploads: What accounts have brought to Telegram of files that no message carries yet.
        fetching: Where files go that arrive.
        in_flight: To how many chats one account sends at the same time.
        stagger: When the next line may be made: lines of many accounts are not made in one step.
        rates: How fast each account may send.
        now: The calendar's time, aware, for what people read.
        ears: What was tried for accounts that were deaf.
        presence: Hears who is online and who types, and writes it.
        renew: Asks for a new process for the sake of a deaf account; whether there will be one.
    """

    telegram: Telegram
    vault: Vault
    store: AccountChildStore
    dispatch: Dispatch
    histories: HistoryDesks
    jobs: JobDesks
    limits: Limits
    line_delays: Delays
    flood_delays: Delays
    store_delays: Delays
    report: Report
    preparer: Preparer
    uploads: Uploads
    fetching: FetchPlan
    in_flight: int = 20
    stagger: Stagger = field(default_factory=lambda: Stagger(0))
    rates: Rates = PUBLISHED
    now: Callable[[], datetime] = utc_now
    ears: Ears = field(default_factory=Ears)
    presence: PresenceWriter = field(default_factory=PresenceWriter)
    renew: Callable[[AccountId], bool] = lambda _account_id: False
