"""``tgworker migrate``: create or update the schema of the store."""

from typing import Annotated

from cyclopts import Parameter

from tgworker.app.books import migrate_store, migration_sql
from tgworker.cli._errors import Usage
from tgworker.cli._options import Json, settings_for
from tgworker.cli._output import Output, complain


def migrate(*, sql: Annotated[bool, Parameter(negative="")] = False, json: Json = False) -> int:
    """Create the store's schema, or bring it to this program's version.

    Of a Supabase project: over PostgreSQL's own port, as SUPABASE_DB_URL says. Nothing that an application
    had before changes its rights, types or speed.

    Args:
        sql: Print the files for a Supabase project instead, to be applied with psql or in its SQL editor.
        json: One line of JSON says what was done.
    """
    output = Output(json=json)
    if sql:
        if json:
            raise Usage("--sql prints SQL: leave out --json")
        output.line(migration_sql())
        return 0
    settings = settings_for()
    done = migrate_store(settings, notice=complain)
    output.result(
        {"data_dir": str(settings.data_dir), "steps": done.steps},
        f"{done.where} is up to date ({done.steps} steps taken)",
    )
    return 0
