"""Supervision for trio: keep tasks alive, notice when they hang, and restart them, one at a time.

OTP's vocabulary, plus backoff with jitter, verdicts, and a pulse for each child. Standard library and trio
only.

Lowest last::

    pytest_plugin                fixtures: a door of its own, the one module that may import pytest
    testing     systemd          scripted children, a recorder, a saboteur; sd_notify: doors of their own
    _canary     _turns           how late the event loop runs, as a child; the measuring of its turns
    _conversation                what to say to systemd, and when (pure)
    _open                        open_supervisor, open_nested, Subtree
    _supervisor                  starts in order, stops in reverse, escalates
    _timekeeper _snapshot        acts on what is due; a frozen picture
    _crew                        the children of one supervisor, each from start to end
    _lineup     _reaper          in which order they start and restart; how they are made to end
    _incarnation                 one run: from its first step to the record of its end
    _watchdog   _alarm           what is due and what is wrong (pure); the one sleeper
    _child                       the state of one child, the table of its states
    _pulse      _policy          the child's handle; what follows an ending (pure)
    _events     _evidence        what observers are told; stacks and causes
    _spec       _backoff         trees as data; how soon and how often to try again
    _starvation                  when nothing could run, and whether that is an excuse
    _verdicts   _lag             why an incarnation ended; why the loop was late
    _errors                      all of them
"""

from tgworker.supervision._backoff import (
    Backoff as Backoff,
)
from tgworker.supervision._backoff import (
    Intensity as Intensity,
)
from tgworker.supervision._backoff import (
    time_to_escalate_s as time_to_escalate_s,
)
from tgworker.supervision._canary import Canary as Canary
from tgworker.supervision._canary import LagStatistics as LagStatistics
from tgworker.supervision._child import ChildState as ChildState
from tgworker.supervision._errors import (
    DuplicateChild as DuplicateChild,
)
from tgworker.supervision._errors import (
    IntensityExceeded as IntensityExceeded,
)
from tgworker.supervision._errors import (
    NotSupervising as NotSupervising,
)
from tgworker.supervision._errors import (
    SpecError as SpecError,
)
from tgworker.supervision._errors import (
    SupervisionError as SupervisionError,
)
from tgworker.supervision._errors import (
    SupervisorFailed as SupervisorFailed,
)
from tgworker.supervision._errors import (
    UnknownChild as UnknownChild,
)
from tgworker.supervision._errors import (
    Wedged as Wedged,
)
from tgworker.supervision._events import (
    EVENTS as EVENTS,
)
from tgworker.supervision._events import (
    ChildCancelled as ChildCancelled,
)
from tgworker.supervision._events import (
    ChildEnded as ChildEnded,
)
from tgworker.supervision._events import (
    ChildFinished as ChildFinished,
)
from tgworker.supervision._events import (
    ChildQuiet as ChildQuiet,
)
from tgworker.supervision._events import (
    ChildReady as ChildReady,
)
from tgworker.supervision._events import (
    ChildStarting as ChildStarting,
)
from tgworker.supervision._events import (
    ChildWedged as ChildWedged,
)
from tgworker.supervision._events import (
    Event as Event,
)
from tgworker.supervision._events import (
    LoopLagged as LoopLagged,
)
from tgworker.supervision._events import (
    LoopStarved as LoopStarved,
)
from tgworker.supervision._events import (
    Observer as Observer,
)
from tgworker.supervision._events import (
    ObserverFailed as ObserverFailed,
)
from tgworker.supervision._events import (
    OperationExpired as OperationExpired,
)
from tgworker.supervision._events import (
    RestartScheduled as RestartScheduled,
)
from tgworker.supervision._events import (
    SiblingsDisturbed as SiblingsDisturbed,
)
from tgworker.supervision._events import (
    SupervisorEscalated as SupervisorEscalated,
)
from tgworker.supervision._events import (
    SupervisorStopped as SupervisorStopped,
)
from tgworker.supervision._events import (
    SupervisorStopping as SupervisorStopping,
)
from tgworker.supervision._evidence import Dump as Dump
from tgworker.supervision._evidence import task_stacks as task_stacks
from tgworker.supervision._lag import (
    Gauges as Gauges,
)
from tgworker.supervision._lag import (
    LagCause as LagCause,
)
from tgworker.supervision._lag import (
    Reading as Reading,
)
from tgworker.supervision._lag import (
    Spent as Spent,
)
from tgworker.supervision._lag import (
    ThreadGauges as ThreadGauges,
)
from tgworker.supervision._lag import (
    classify_lag as classify_lag,
)
from tgworker.supervision._open import (
    Subtree as Subtree,
)
from tgworker.supervision._open import (
    open_nested as open_nested,
)
from tgworker.supervision._open import (
    open_supervisor as open_supervisor,
)
from tgworker.supervision._policy import (
    Decision as Decision,
)
from tgworker.supervision._policy import (
    Escalate as Escalate,
)
from tgworker.supervision._policy import (
    History as History,
)
from tgworker.supervision._policy import (
    LeaveEnded as LeaveEnded,
)
from tgworker.supervision._policy import (
    Rejoin as Rejoin,
)
from tgworker.supervision._policy import (
    RestartAfter as RestartAfter,
)
from tgworker.supervision._policy import (
    decide as decide,
)
from tgworker.supervision._pulse import Cycle as Cycle
from tgworker.supervision._pulse import Deadline as Deadline
from tgworker.supervision._pulse import Pulse as Pulse
from tgworker.supervision._snapshot import (
    ChildSnapshot as ChildSnapshot,
)
from tgworker.supervision._snapshot import (
    Operation as Operation,
)
from tgworker.supervision._snapshot import (
    Snapshot as Snapshot,
)
from tgworker.supervision._snapshot import (
    SupervisorState as SupervisorState,
)
from tgworker.supervision._spec import (
    AutoShutdown as AutoShutdown,
)
from tgworker.supervision._spec import (
    ChildSpec as ChildSpec,
)
from tgworker.supervision._spec import (
    Ready as Ready,
)
from tgworker.supervision._spec import (
    Restart as Restart,
)
from tgworker.supervision._spec import (
    Silence as Silence,
)
from tgworker.supervision._spec import (
    StartFunction as StartFunction,
)
from tgworker.supervision._spec import (
    StopOrder as StopOrder,
)
from tgworker.supervision._spec import (
    Strategy as Strategy,
)
from tgworker.supervision._spec import (
    SupervisorSpec as SupervisorSpec,
)
from tgworker.supervision._supervisor import Supervisor as Supervisor
from tgworker.supervision._verdicts import Ending as Ending
from tgworker.supervision._verdicts import Verdict as Verdict
