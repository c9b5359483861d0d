"""Every error of the library.

::

    SupervisionError
    ├── SpecError (ValueError)          a tree that could not work; raised before anything starts
    ├── UnknownChild (LookupError)      no child has this id
    ├── DuplicateChild (ValueError)     the id is taken, perhaps by a child that is still stopping
    ├── NotSupervising (RuntimeError)   the supervisor is stopping, or has stopped
    └── SupervisorFailed                an escalation; leaves `open_supervisor`
        ├── IntensityExceeded           restarts do not help
        └── Wedged                      a task that does not end; only a new process helps
"""


class SupervisionError(Exception):
    """Base of the library's errors. Never raised itself."""


class SpecError(SupervisionError, ValueError):
    """A child or supervisor spec contradicts itself.

    For the operator: nothing was started; correct the value that the message names.
    """


class UnknownChild(SupervisionError, LookupError):
    """No child of this supervisor has the id."""


class DuplicateChild(SupervisionError, ValueError):
    """The id is taken. A child that was told to stop keeps its id until it is dead."""


class NotSupervising(SupervisionError, RuntimeError):
    """The supervisor is stopping or has stopped, and takes no more children."""


class SupervisorFailed(SupervisionError):
    """A supervisor gave up and escalates. Raised out of `open_supervisor` once all its children are dead.

    Attributes:
        path: Dotted path of the child whose fault it was.
        cause: One line on what happened there.
    """

    def __init__(self, message: str, *, path: str, cause: str) -> None:
        super().__init__(message)
        self.path = path
        self.cause = cause


class IntensityExceeded(SupervisorFailed):
    """More restarts than the supervisor's intensity allows.

    For the operator: restarting does not help; look at ``cause`` and at the child's endings. Under a parent
    supervisor this counts as one failure (``raised``) of the child that contained it.
    """


class Wedged(SupervisorFailed):
    """A child was cancelled and did not end within its stop budget.

    No replacement is started, for two of one kind could then run at once. The task cannot be killed, so the
    supervisor cannot return while it lives: it stops everything else, then calls ``on_wedged``, where the
    process should end (the worker exits with 75, and its guard starts a new one). Should the task end after
    all, this is raised out of `open_supervisor`.
    """
