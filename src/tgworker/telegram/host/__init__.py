"""The loop that a line's asyncio code runs in: inside trio, nearly as fast as plain asyncio.

Lowest last::

    check      does this release of trio-asyncio still have the names that the room leans on?
    opening    trio-asyncio's open_loop, around one of ours
    loop       asyncio's own machinery; trio waits for its files and timers
    selector   which files are ready right now

Nothing here knows Telethon. What it costs and why it is safe: ``docs/explanation/host.md``.
"""

from tgworker.telegram.host.check import HostMoved as HostMoved
from tgworker.telegram.host.check import check_host as check_host
from tgworker.telegram.host.loop import HostLoop as HostLoop
from tgworker.telegram.host.opening import open_host as open_host
from tgworker.telegram.host.opening import open_hosted_loop as open_hosted_loop
