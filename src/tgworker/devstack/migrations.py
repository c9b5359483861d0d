"""An application's migrations, applied as ``supabase db push`` does: each file once, by its number."""

from collections.abc import Sequence
from pathlib import Path

from tgworker.devstack.cluster import DATABASE, Cluster


async def apply_migrations(
    cluster: Cluster, files: Sequence[Path], *, database: str = DATABASE
) -> Sequence[str]:
    """Apply those that the database does not have yet, in the order of the list.

    Args:
        cluster: PostgreSQL.
        files: Files of SQL, named ``NUMBER_WORDS.sql``.
        database: Where.

    Returns:
        The names of those that were applied now.

    Raises:
        SqlFailed: One was refused; those before it are applied, and of it what stood before the error.

    Cancellation: a file may be applied by half.
    """
    if not files:
        return []
    table = "supabase_migrations.schema_migrations"
    known = (await cluster.run_sql(f"select version from {table}", database=database)).splitlines()  # noqa: S608
    steps: list[Path | str] = []
    applied: list[str] = []
    for file in files:
        version, _, name = file.stem.partition("_")
        if version not in known:
            words = ", ".join("'" + word.replace("'", "''") + "'" for word in (version, name))
            steps += [file, f"insert into {table} (version, name) values ({words})"]  # noqa: S608
            applied.append(file.name)
    if steps:
        await cluster.run_steps(steps, database=database)
    return applied
