"""The guard: the parent process that forks the worker, and a new one when that is frozen or dead.

Blocking, single-threaded, without an event loop: there is nothing in it that could freeze. It knows the
worker and the heartbeat's stores as callables, which `tgworker.app` brings.

Lowest last::

    _guard        the loop: waits, asks what is due, does it
    _posts        the heartbeats that it writes itself
    _ward         what it is given
    _course       what to do with the worker, and when (pure)
    _row          when the guard writes a heartbeat itself (pure)
    _notices      what systemd is told
    _link         the pipe from worker to guard
    _footprints   whose step the worker's loop is running, in shared memory
    _faults       accounts that wedged or froze the worker
    _process      forking, signals, the dead
"""

from tgworker.guard._course import (
    EXIT_GAVE_UP as EXIT_GAVE_UP,
)
from tgworker.guard._course import (
    EXIT_RESTART_ME as EXIT_RESTART_ME,
)
from tgworker.guard._course import (
    GuardLimits as GuardLimits,
)
from tgworker.guard._faults import AccountFault as AccountFault
from tgworker.guard._faults import FaultBook as FaultBook
from tgworker.guard._faults import Held as Held
from tgworker.guard._footprints import Footprints as Footprints
from tgworker.guard._guard import guard as guard
from tgworker.guard._link import (
    Beat as Beat,
)
from tgworker.guard._link import (
    Committed as Committed,
)
from tgworker.guard._link import (
    Fault as Fault,
)
from tgworker.guard._link import (
    Link as Link,
)
from tgworker.guard._link import (
    Quiet as Quiet,
)
from tgworker.guard._link import (
    Ready as Ready,
)
from tgworker.guard._ward import Posting as Posting
from tgworker.guard._ward import Stacks as Stacks
from tgworker.guard._ward import Ward as Ward
