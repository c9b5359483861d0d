"""What keeps that from happening which a command has asked a worker for, as far as anybody knows."""

from tgworker.cli._output import complain
from tgworker.embedded import DataFolder
from tgworker.messaging.account_states import FOR_A_PERSON
from tgworker.messaging.records import AccountRecord
from tgworker.settings import Settings


def say_what_is_in_the_way(record: AccountRecord, settings: Settings, *, work: str) -> None:
    """Tell who waits what for; what was asked for stays all the same.

    Who works for a Supabase project, and where, no folder of this machine says: nothing is said of that.

    Args:
        record: The account that is to do it.
        settings: Where the store is.
        work: What a worker would do, after "'tgworker run'".
    """
    folder = DataFolder(settings.data_dir)
    if settings.supabase is None and folder.holder() is None:
        complain(f"no worker runs on {folder.path} yet: 'tgworker run' {work}")
    elif record.state in FOR_A_PERSON:
        complain(f"account {record.account.name or record.account.id} is {record.state}: {record.last_error}")
