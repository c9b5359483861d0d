"""``tgworker migrate``: create or update the schema of the store."""

from tgworker.app.books import migrate_store
from tgworker.cli._options import Json, settings_for
from tgworker.cli._output import Output


def migrate(*, json: Json = False) -> int:
    """Create the store's schema, or bring it to this program's version."""
    settings = settings_for()
    steps = migrate_store(settings)
    Output(json=json).result(
        {"data_dir": str(settings.data_dir), "steps": steps},
        f"the store in {settings.data_dir} is up to date ({steps} steps taken)",
    )
    return 0
