"""What makes a fresh connection to the store ready: pragmas, and the tables that calls are staged in."""

import sqlite3

# A call hands SQLite one JSON text, or the values of a page, and is then a few statements over these tables,
# whatever the size of the batch: each statement of Python's sqlite3 gives up the interpreter lock and has to
# win it back.
_STAGING = (
    """
    create temp table settling (
        seq integer primary key,
        message_id text not null,
        part integer not null,
        state text not null,
        telegram_id integer,
        chat_id integer,
        sent_at text,
        not_before real,
        error text,
        doubtful integer not null default 0,
        unclaimed integer not null default 0,
        parts integer,
        goes_on integer not null default 0
    )
    """,
    """
    create temp table incoming (
        n integer primary key,
        chat_id integer not null,
        telegram_id integer not null,
        sender_id integer,
        outgoing integer not null,
        text text,
        message_type text not null,
        sent_at text not null,
        raw_payload text,
        message_id text not null
    )
    """,
    """
    create temp table chats (
        chat_id integer primary key,
        identity_id text,
        conversation_id text
    )
    """,
    """
    create temp table gap_jobs (
        chat_id integer primary key,
        job_id text not null
    )
    """,
)


def prepare_store(connection: sqlite3.Connection) -> None:
    """Pragmas and staging tables of a connection to the store.

    ``synchronous=full``: a claim is on the disk before a byte leaves, whatever fails then; that is one
    ``fsync`` for each claim, 0.5 to 1.5 ms on the disks this was measured on, however many messages it
    takes. Calls whose loss to a power failure is asked again (a settle under its claim, a batch from the
    position before it) are written with ``normal`` (see `Database.write`): they survive the death of the
    process all the same.
    """
    prepare_file(connection, synchronous="full")
    connection.execute("pragma foreign_keys = on")
    connection.execute("pragma temp_store = memory")
    for statement in _STAGING:
        connection.execute(statement)


def prepare_file(connection: sqlite3.Connection, *, synchronous: str) -> None:
    """Pragmas that every file gets: a write-ahead log, in which readers and the writer do not wait.

    Args:
        connection: In autocommit mode.
        synchronous: ``full`` or ``normal``.
    """
    connection.execute("pragma journal_mode = wal")
    connection.execute(f"pragma synchronous = {synchronous}")
    connection.execute("pragma journal_size_limit = 67108864")  # a log that grew once is cut back to 64 MiB
