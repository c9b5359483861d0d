"""Telegram through Telethon, hosted by trio-asyncio. The only room that imports either.

Lowest last::

    adapter                                 opens lines, one asyncio loop for each; describes sessions
    login login_errors                      a conversation under a fresh key: the port `LoginLine`
    connection                              one line as trio code sees it: the port `Connection`
    resolving peer_lists                    whom to send to
    sending intake missed inbox evidence    what else a connection does
    looking history dialogs                 what Telegram has, beside what came
    loss line_statistics                    why a line ended, what it holds
    markup                                  formatted texts, and Telegram's objects for them
    closing client                          Telethon's client, reduced, and how to get rid of one
    line raw_updates invoke books           Telethon's sender, reduced: requests and answers
    data_centres                            other data centres, and what is said to them first
    session batches messages answers peers  Telegram's objects as values, and back
    line_errors rpc_errors doubts           Telegram's errors as outcomes, the line's in words
    check quiet_log wait_for                what is made safe before anything starts
    host                                    the asyncio loop inside trio: a package of its own
    settings events                         values

Telethon is used for keys, the wire, and the order of updates. Its reconnecting, retrying, sleeping, pinging,
event handlers and storage are not used: each of them was seen to lose, double or hang something. Functions of
asyncio's flavour end in ``_aio`` (or are overrides of Telethon's); everything else is trio's.
"""

from tgworker.telegram.adapter import TelethonTelegram as TelethonTelegram
from tgworker.telegram.check import TelethonMoved as TelethonMoved
from tgworker.telegram.check import check_telethon as check_telethon
from tgworker.telegram.connection import TelethonConnection as TelethonConnection
from tgworker.telegram.events import CloseWedged as CloseWedged
from tgworker.telegram.events import DifferenceDelayed as DifferenceDelayed
from tgworker.telegram.events import LoopFailed as LoopFailed
from tgworker.telegram.events import Observer as Observer
from tgworker.telegram.events import TelegramEvent as TelegramEvent
from tgworker.telegram.events import TelethonWarned as TelethonWarned
from tgworker.telegram.events import UpdatesOverflowed as UpdatesOverflowed
from tgworker.telegram.events import UpdatesSkipped as UpdatesSkipped
from tgworker.telegram.host import HostMoved as HostMoved
from tgworker.telegram.host import check_host as check_host
from tgworker.telegram.session import NotASession as NotASession
from tgworker.telegram.session import check_session as check_session
from tgworker.telegram.settings import Appearance as Appearance
from tgworker.telegram.settings import ConfigUnusable as ConfigUnusable
from tgworker.telegram.settings import Device as Device
from tgworker.telegram.settings import ServerOverride as ServerOverride
from tgworker.telegram.settings import TelegramSettings as TelegramSettings
from tgworker.telegram.wait_for import install_wait_for as install_wait_for
