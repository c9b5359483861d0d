"""tgworker: a Telegram worker that heals itself, and the supervision library inside it.

The rooms, highest first; imports go downwards only (the contracts in ``pyproject.toml`` hold this)::

    cli            commands; the only importer of sandbox and devstack
    app            composition root: settings -> adapters -> the nursery tree
    settings       the only reader of the environment
    vault          session strings under Fernet keys
    foreign_sessions   session strings as an application encrypted them, opened once
    telegram       adapter: Telethon over trio-asyncio; the only importer of both
    supabase       adapter: Supabase's REST API and Storage through httpx
    embedded       adapter: SQLite, the default store
    transcoding    adapter: PyAV (FFmpeg) in processes of their own; voice notes, and what is in a media file
    operations     logs, metrics, stacks, status server and socket
    guard          the parent process: replaces a worker that is frozen or dead
    messaging      what the worker means: models, ports, outcomes, loops; standard library and trio
    supervision    THE LIBRARY: standard library and trio; knows nobody
    sandbox        a loopback Telegram server; knows nobody
    devstack       PostgreSQL and PostgREST as Supabase sets them up, on loopback; knows nobody

This module imports nothing, so that ``import tgworker.supervision`` stays cheap.
"""

__version__ = "0.1.0.dev0"
