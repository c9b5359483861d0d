"""What every test may count on, whoever started them; and the fixtures of every room."""

import signal

from hypothesis import HealthCheck, settings

from stack_kit import database, database_template, shared_cluster, stack, stack_binaries, stack_folders

__all__ = ["database", "database_template", "shared_cluster", "stack", "stack_binaries", "stack_folders"]

# How long an example takes says how busy the machine is. (What `CI` in the environment changes stays.)
settings.register_profile("tgworker", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tgworker")


def pytest_configure() -> None:
    """Take back what a shell does to commands in the background: they, and all they start, ignore Ctrl-C.

    Tests send SIGINT to themselves and to processes of their own, which must obey it.
    """
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
