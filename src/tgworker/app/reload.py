"""SIGHUP: the environment read anew while the worker runs."""

from collections.abc import Callable
from typing import final

from tgworker.operations.logs import Logger, Threshold
from tgworker.operations.signals import Bell
from tgworker.settings import Settings, SettingsError, changes_between, with_live


@final
class LiveSettings:
    """The settings in force, some of which can change.

    Args:
        settings: What the worker was started with.
        load: Reads the environment anew.
        threshold: Of the log; it follows ``TGWORKER_LOG_LEVEL``.
        renew: Ends this worker in order, for a new one to begin; ``None`` where nobody would start one.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings],
        threshold: Threshold,
        *,
        renew: Callable[[], object] | None = None,
    ) -> None:
        self._settings = settings
        self._load = load
        self._threshold = threshold
        self._renew = renew

    @property
    def now(self) -> Settings:
        """In force now."""
        return self._settings

    async def reload_on(self, bell: Bell, log: Logger) -> None:
        """Reload each time that the bell rings; returns never."""
        while True:
            await bell.wait()
            self.reload(log)

    def reload(self, log: Logger) -> None:
        """Read the environment, apply what can be applied, and name what cannot.

        What cannot be read changes nothing; what cannot be applied is named again each time. Where a new
        worker is what it takes, and a guard starts one, this one ends for it.
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
        renewing = bool(changes.needs_new_worker) and self._renew is not None
        if changes.needs_new_process or (changes.needs_new_worker and not renewing):
            log.warning(
                "settings that have changed wait for a restart",
                needs_new_worker=[] if renewing else list(changes.needs_new_worker),
                needs_new_process=list(changes.needs_new_process),
            )
        if renewing and self._renew is not None:
            log.info("a new worker takes settings over", needs_new_worker=list(changes.needs_new_worker))
            self._renew()
