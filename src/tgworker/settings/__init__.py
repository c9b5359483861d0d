"""The only reader of the environment: what it says, as frozen values, or every problem at once.

Nothing here acts: no folder is made, no socket opened. The files that are read are ``.env`` and the test
server's public key. Lowest last::

    _changes     what differs between two readings, and what that takes
    _load        which variable means what
    _reader      typed values out of strings
    _dotenv      the .env file
    _checks      what a value must look like
    _variables   the table of all variables
    _values      Settings and its parts
"""

from tgworker.settings._changes import Changes as Changes
from tgworker.settings._changes import changes_between as changes_between
from tgworker.settings._changes import with_live as with_live
from tgworker.settings._changes import with_worker as with_worker
from tgworker.settings._load import EVERYTHING as EVERYTHING
from tgworker.settings._load import Requirement as Requirement
from tgworker.settings._load import load_settings as load_settings
from tgworker.settings._values import AdoptionSettings as AdoptionSettings
from tgworker.settings._values import LogFormat as LogFormat
from tgworker.settings._values import LogLevel as LogLevel
from tgworker.settings._values import Pacing as Pacing
from tgworker.settings._values import Settings as Settings
from tgworker.settings._values import SettingsError as SettingsError
from tgworker.settings._values import StatusBind as StatusBind
from tgworker.settings._values import SupabaseSettings as SupabaseSettings
from tgworker.settings._values import TelegramLoop as TelegramLoop
from tgworker.settings._values import TelegramServer as TelegramServer
from tgworker.settings._values import TelegramSettings as TelegramSettings
from tgworker.settings._variables import VARIABLES as VARIABLES
from tgworker.settings._variables import Takes as Takes
from tgworker.settings._variables import Variable as Variable
