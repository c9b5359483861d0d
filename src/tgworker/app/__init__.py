"""The composition root: settings -> adapters -> the nursery tree.

Lowest last::

    run             one process's worker: the data folder, signals, the exit code
    status_service  the process's status server, from before the worker on
    reload          SIGHUP: the environment read anew
    adapters        what settings choose: store, Telegram, heartbeat writers
    worker          the nursery tree of a worker, and the handle of a running one
    children        the account children under a supervisor of their own
    parts           what a worker is made of, as values and ports
    evidence        what a hung child was doing
    metrics         what a worker has done, in numbers
    status          what a worker says about itself
"""
