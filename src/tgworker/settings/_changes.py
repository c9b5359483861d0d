"""What differs between two readings of the environment, and what it takes to have an effect."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

from tgworker.settings._values import Settings
from tgworker.settings._variables import VARIABLES, Takes


@final
@dataclass(frozen=True, slots=True)
class Changes:
    """Which variables have changed, by name, in the order of the table.

    Attributes:
        applied: Those that can be applied to a worker that runs: see `with_live`.
        needs_new_worker: Those that a new worker takes over.
        needs_new_process: Those that only a new start of the program takes over.
    """

    applied: tuple[str, ...]
    needs_new_worker: tuple[str, ...]
    needs_new_process: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether anything has changed."""
        return bool(self.applied or self.needs_new_worker or self.needs_new_process)


def changes_between(old: Settings, new: Settings) -> Changes:
    """Compare what is in force with what the environment says now.

    Args:
        old: In force.
        new: Read with the same requirements as ``old``.
    """
    before, after = _by_variable(old), _by_variable(new)
    changed = [variable for variable in VARIABLES if before[variable.name] != after[variable.name]]

    def those(takes: Takes) -> tuple[str, ...]:
        return tuple(variable.name for variable in changed if variable.takes is takes)

    return Changes(those(Takes.LIVE), those(Takes.WORKER), those(Takes.PROCESS))


def with_live(old: Settings, new: Settings) -> Settings:
    """The old settings, with what can be applied to a worker that runs taken from the new ones."""
    return replace(
        old,
        adoption=new.adoption,  # no worker looks at these two
        database_url=new.database_url,
        log_level=new.log_level,
        memory_limit_mb=new.memory_limit_mb,
        status_token=new.status_token,
    )


def with_worker(old: Settings, new: Settings) -> Settings:
    """The new settings, with what only a new start of the program takes over kept from the old ones."""
    supabase = old.supabase
    if supabase is not None and new.supabase is not None:
        supabase = replace(new.supabase, url=supabase.url)
    return replace(
        new,
        supabase=supabase,
        data_dir=old.data_dir,
        worker_id=old.worker_id,
        freeze_after_s=old.freeze_after_s,
        give_up=old.give_up,
        log_format=old.log_format,
        limits=replace(new.limits, heartbeat_every_s=old.limits.heartbeat_every_s),
    )


def _by_variable(settings: Settings) -> Mapping[str, object]:
    """What each variable has come to mean."""
    telegram, supabase, limits = settings.telegram, settings.supabase, settings.limits
    server = telegram.server if telegram else None
    return {
        "TELEGRAM_API_ID": telegram and telegram.api_id,
        "TELEGRAM_API_HASH": telegram and telegram.api_hash,
        "ENCRYPTION_KEY": settings.encryption_keys,
        "SUPABASE_URL": supabase and supabase.url,
        "SUPABASE_SERVICE_ROLE_KEY": supabase and supabase.service_role_key,
        "SUPABASE_DB_URL": settings.database_url,
        "TGWORKER_ADOPT_FORMAT": settings.adoption and settings.adoption.form,
        "TGWORKER_ADOPT_KEY": settings.adoption and settings.adoption.key,
        "TGWORKER_DATA_DIR": settings.data_dir,
        "TGWORKER_WORKER_ID": settings.worker_id,
        "TGWORKER_TELEGRAM_SERVER": server and (server.host, server.port),
        "TGWORKER_TELEGRAM_SERVER_KEY": server and server.public_key,
        "TGWORKER_TELEGRAM_DC": server and server.dc,
        "TGWORKER_TELEGRAM_LOOP": telegram and telegram.loop,
        "TGWORKER_STATUS_BIND": settings.status_bind,
        "TGWORKER_STATUS_TOKEN": settings.status_token,
        "TGWORKER_REPEAT_WINDOW_S": limits.repeat_window_s,
        "TGWORKER_DEADLINE_SEND_S": limits.send_s,
        "TGWORKER_DEADLINE_ENTITY_S": limits.entity_s,
        "TGWORKER_DEADLINE_MEDIA_S": limits.media_s,
        "TGWORKER_DEADLINE_DB_S": limits.database_s,
        "TGWORKER_DEADLINE_CYCLE_S": limits.cycle_s,
        "TGWORKER_STALL_AFTER_S": settings.stall_after_s,
        "TGWORKER_HEARTBEAT_S": limits.heartbeat_every_s,
        "TGWORKER_FREEZE_AFTER_S": settings.freeze_after_s,
        "TGWORKER_ATTACHMENTS_BUCKET": settings.attachments_bucket,
        "TGWORKER_AVATARS_BUCKET": settings.avatars_bucket,
        "TGWORKER_MEDIA_KINDS": settings.media.kinds,
        "TGWORKER_MEDIA_MAX_MB": settings.media.most_bytes,
        "TGWORKER_AVATARS": settings.media.avatars,
        "TGWORKER_ATTACHMENTS_WAIT_S": limits.attachments_wait_s,
        "TGWORKER_HISTORY_MAX_MESSAGES": limits.history.most_messages,
        "TGWORKER_HISTORY_DAYS": limits.history.days,
        "TGWORKER_RETENTION_DAYS": limits.retention.days,
        "TGWORKER_RETENTION_FAILED_DAYS": limits.retention.failed_days,
        "TGWORKER_PACING": settings.pacing,
        "TGWORKER_GIVE_UP": settings.give_up,
        "TGWORKER_MEMORY_LIMIT_MB": settings.memory_limit_mb,
        "TGWORKER_LOG_FORMAT": settings.log_format,
        "TGWORKER_LOG_LEVEL": settings.log_level,
    }
