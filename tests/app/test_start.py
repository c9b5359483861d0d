"""How a worker begins where the store is away, and how signals end it."""

import os
import signal
import sqlite3
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
import trio
import trio.testing

from supabase.storage_world import of
from tgworker.app.adapters import open_adapters
from tgworker.embedded import DataFolder, open_store
from tgworker.messaging.events import Event, StoreUnavailable
from tgworker.messaging.file_store import Uploaded
from tgworker.messaging.places import Place
from tgworker.operations.signals import run_until_signalled
from tgworker.settings import load_settings
from tgworker.vault import new_key


@pytest.mark.slow
async def test_a_store_that_is_locked_at_the_start_is_waited_for(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with open_store(folder, as_worker=True):
        pass
    settings = load_settings(
        {
            "TELEGRAM_API_ID": "1",
            "TELEGRAM_API_HASH": "0" * 32,
            "ENCRYPTION_KEY": new_key().value,
            "TGWORKER_DATA_DIR": str(tmp_path),
        }
    )
    events: list[Event] = []
    with sqlite3.connect(folder.database, isolation_level=None, check_same_thread=False) as other:
        other.execute("begin exclusive")

        def note(event: Event) -> None:
            events.append(event)
            other.execute("rollback")

        async with open_adapters(
            settings, observer=lambda _event: None, report=note, holder=uuid4(), rng=Random(1)
        ) as adapters:
            assert adapters.opened.incarnation == 2
            assert {each.name for each in folder.files.iterdir()} == {"attachments", "avatars"}
            place = Place("avatars", "1.jpg")
            outcome = await adapters.opened.files.upload(place, of(b"x"), size=1, content_type="image/jpeg")
            assert outcome == Uploaded(1)
    other.close()
    assert [type(event) for event in events] == [StoreUnavailable]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_cancels_what_runs_and_lets_it_say_goodbye(number: signal.Signals) -> None:
    told: list[str] = []

    async def serve() -> None:
        os.kill(os.getpid(), number)  # at once: nothing is lost while it starts
        try:
            await trio.sleep_forever()
        finally:
            told.append("goodbye")

    await run_until_signalled(serve, on_signal=told.append)
    assert told == [number.name, "goodbye"]


async def test_further_signals_neither_hurry_the_end_nor_kill_the_process_after_it() -> None:
    told: list[str] = []
    before = signal.getsignal(signal.SIGTERM)

    async def serve() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                for number in (signal.SIGTERM, signal.SIGINT):
                    os.kill(os.getpid(), number)
                    await trio.testing.wait_all_tasks_blocked()
            told.append("goodbye")

    await run_until_signalled(serve, on_signal=told.append)
    assert told == ["SIGTERM", "goodbye"]
    assert signal.getsignal(signal.SIGTERM) is before


async def test_an_error_arrives_as_it_is_and_not_in_a_group() -> None:
    async def serve() -> None:
        await trio.lowlevel.checkpoint()
        raise OSError("no such thing")

    with pytest.raises(OSError, match="no such thing"):
        await run_until_signalled(serve)
