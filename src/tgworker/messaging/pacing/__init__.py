"""When may this be sent? Pure: no clock, no store, no Telegram; `tgworker.messaging.gate` executes it.

Lowest last::

    plan            the question and its answers
    waits tempo     what Telegram announced; what was learned from it
    rates           the published numbers
    bucket          so many at once, then one every so many seconds
"""

from tgworker.messaging.pacing.bucket import Bucket as Bucket
from tgworker.messaging.pacing.bucket import Rate as Rate
from tgworker.messaging.pacing.plan import Because as Because
from tgworker.messaging.pacing.plan import Go as Go
from tgworker.messaging.pacing.plan import NotYet as NotYet
from tgworker.messaging.pacing.plan import Pacing as Pacing
from tgworker.messaging.pacing.rates import PUBLISHED as PUBLISHED
from tgworker.messaging.pacing.rates import UNPACED as UNPACED
from tgworker.messaging.pacing.rates import Rates as Rates
from tgworker.messaging.pacing.waits import SEND as SEND
from tgworker.messaging.pacing.waits import STRANGERS as STRANGERS
from tgworker.messaging.pacing.waits import STRANGERS_S as STRANGERS_S
from tgworker.messaging.pacing.waits import Scope as Scope
from tgworker.messaging.pacing.waits import ScopeKind as ScopeKind
from tgworker.messaging.pacing.waits import StoredWait as StoredWait
from tgworker.messaging.pacing.waits import Wait as Wait
from tgworker.messaging.pacing.waits import restored as restored
from tgworker.messaging.pacing.waits import stored as stored
