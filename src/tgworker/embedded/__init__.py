"""The embedded store: SQLite in a data folder, the default when there is no Supabase.

Lowest last::

    store                                   the ports, filled; opening and migrating
    heartbeats                              a file of their own
    outbox unassigned settling retry        the queue: claims, and what became of them
    inbound enqueue listing jobs accounts   what arrives, what commands ask, jobs, accounts
    waiting                                 what Telegram asked accounts to wait for
    files passing                           attachments, in the folder; a file on its way
    objects held                            how files stand on the disk; what threads that hang leave open
    peers values                            who is who, and how values stand in columns
    schema connection database              migrations, pragmas, calls that can be cut off
    folder errors                           the data folder and its lock; the error table

Standard library, trio, msgspec, and `tgworker.messaging`.
"""

from tgworker.embedded.database import RunSync as RunSync
from tgworker.embedded.database import in_threads as in_threads
from tgworker.embedded.database import inline as inline
from tgworker.embedded.errors import AccountGone as AccountGone
from tgworker.embedded.errors import AccountNameTaken as AccountNameTaken
from tgworker.embedded.errors import DataFolderInUse as DataFolderInUse
from tgworker.embedded.errors import DataFolderUnusable as DataFolderUnusable
from tgworker.embedded.errors import RecipientUnknown as RecipientUnknown
from tgworker.embedded.errors import StoreDamaged as StoreDamaged
from tgworker.embedded.errors import StoreFault as StoreFault
from tgworker.embedded.errors import StoreSuperseded as StoreSuperseded
from tgworker.embedded.files import EmbeddedFiles as EmbeddedFiles
from tgworker.embedded.files import open_files as open_files
from tgworker.embedded.folder import DataFolder as DataFolder
from tgworker.embedded.heartbeats import HeartbeatFile as HeartbeatFile
from tgworker.embedded.store import EmbeddedStore as EmbeddedStore
from tgworker.embedded.store import migrate as migrate
from tgworker.embedded.store import open_store as open_store
