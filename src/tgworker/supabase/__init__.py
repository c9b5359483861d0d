"""Adapter: the application's database behind Supabase's REST API; the only room that knows httpx.

Lowest last::

    store                                           the ports, filled
    storage                                         attachments up and down, links, deletion
    downloads uploader uploads storage_line         an object on its way; one try of a request to Storage
    storage_errors stall addresses                  what Storage answers; how long nothing may move; URLs
    claims settling ingest accounts jobs books      one noun each: functions of the database
    waits                                           what Telegram asked accounts to wait for
    wakeup heartbeat schema                         the long poll, the heartbeat's row, the first question
    raised leases                                   what functions refuse; whose accounts are ours
    rows rest                                       arguments and answers; requests to PostgREST
    clients                                         connections with the project's key
    circuit events                                  one asks while the database is away; what failed
    errors                                          the one table that translates what httpx and PostgREST say

The SQL that keeps the promises is in ``migrations/``.
"""

from tgworker.supabase.downloads import Download as Download
from tgworker.supabase.errors import KeyRefused as KeyRefused
from tgworker.supabase.errors import RequestBroken as RequestBroken
from tgworker.supabase.errors import SchemaDiffers as SchemaDiffers
from tgworker.supabase.events import Observer as Observer
from tgworker.supabase.events import RequestFailed as RequestFailed
from tgworker.supabase.events import SupabaseEvent as SupabaseEvent
from tgworker.supabase.events import ignore as ignore
from tgworker.supabase.heartbeat import SupabaseHeartbeat as SupabaseHeartbeat
from tgworker.supabase.leases import Holder as Holder
from tgworker.supabase.leases import SupabaseLeases as SupabaseLeases
from tgworker.supabase.rest import Rest as Rest
from tgworker.supabase.rest import open_rest as open_rest
from tgworker.supabase.schema import KeyUnusable as KeyUnusable
from tgworker.supabase.schema import Schema as Schema
from tgworker.supabase.schema import check_schema as check_schema
from tgworker.supabase.storage import Storage as Storage
from tgworker.supabase.storage import open_storage as open_storage
from tgworker.supabase.store import SupabaseStore as SupabaseStore
from tgworker.supabase.wakeup import LongPoll as LongPoll
