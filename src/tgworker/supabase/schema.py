"""What is asked first: is this our schema, in our version, and does the key let us do anything?"""

from datetime import datetime
from typing import Final

from tgworker.messaging.errors import StoreFault, StoreMismatch
from tgworker.supabase.errors import KeyRefused, SchemaDiffers
from tgworker.supabase.rest import Rest
from tgworker.supabase.rows import Row

VERSION: Final = 1
"""The schema that this program knows: ``tgworker_schema()`` of the newest migration says the same."""


class Schema(Row):
    """What the database says of itself.

    Attributes:
        version: Of the schema.
        adopted: Whether an application was here before us.
        now: The database's clock.
        advice: SQL that a person should run: indexes that large tables lack.
    """

    version: int
    adopted: bool
    now: datetime
    advice: list[str]


class KeyUnusable(StoreFault):
    """The key is not one that lets the worker work. Remedy: the right ``SUPABASE_SERVICE_ROLE_KEY``."""


async def check_schema(rest: Rest) -> Schema:
    """Ask for the schema's version.

    A key of a lesser role would be answered with empty lists and no error wherever tables are read: so this
    calls a function that only ``service_role`` may execute.

    Raises:
        StoreAway: Nobody answers, or not now.
        StoreMismatch: There is no schema of ours, or another version of it.
        KeyUnusable: The key is wrong, has expired, or belongs to another role.
    """
    try:
        schema = await rest.call("tgworker_schema", {}, Schema)
    except KeyRefused as error:
        raise KeyUnusable(str(error)) from error
    except SchemaDiffers as error:
        raise StoreMismatch(str(error)) from error
    if schema.version > VERSION:
        raise StoreMismatch(
            f"the database's schema has version {schema.version}, this program knows {VERSION}: "
            "upgrade tgworker"
        )
    if schema.version < VERSION:
        raise StoreMismatch(
            f"the database's schema has version {schema.version}, this program needs {VERSION}: "
            "run `python -m tgworker migrate`"
        )
    return schema
