"""SIGHUP: the environment read anew while the worker runs."""

from collections.abc import Callable
from typing import final

from tgworker.operations.logs import Logger, Threshold
from tgworker.settings import Settings, SettingsError, changes_between, with_live


@final
class LiveSettings:
    """The settings in force, some of which can change.

    Args:
        settings: What the worker was started with.
        load: Reads the environment anew.
        threshold: Of the log; it follows ``TGWORKER_LOG_LEVEL``.
    """

    def __init__(self, settings: Settings, load: Callable[[], Settings], threshold: Threshold) -> None:
        self._settings = settings
        self._load = load
        self._threshold = threshold

    @property
    def now(self) -> Settings:
        """In force now."""
        return self._settings

    def reload(self, log: Logger) -> None:
        """Read the environment, apply what can be applied, and name what cannot.

        What cannot be read changes nothing; what cannot be applied is named again each time.
        """
        try:
            new = self._load()
        except SettingsError as error:
            for problem in error.problems:
                log.error("settings not reloaded", reason=problem)
            return
        changes = changes_between(self._settings, new)
        self._settings = with_live(self._settings, new)
        self._threshold.move(self._settings.log_level.value)
        log.info("settings reloaded", applied=list(changes.applied))
        if changes.needs_new_worker or changes.needs_new_process:
            log.warning(
                "settings that have changed wait for a restart",
                needs_new_worker=list(changes.needs_new_worker),
                needs_new_process=list(changes.needs_new_process),
            )
