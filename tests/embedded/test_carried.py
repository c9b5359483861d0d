"""How long a row waits for its attachments: the decision by itself, and from when it counts."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio.testing

from contracts.store_kit import OWNER, START, Inbox
from embedded.embedded_kit import EmbeddedKit, open_kit
from tgworker.embedded import inline, open_store
from tgworker.embedded.carried import Claimed, Missing, Wait, judge
from tgworker.embedded.values import seconds
from tgworker.messaging.records import OutboxState


def row(
    asked: int | None = None, linked: int = 0, kind: str | None = "text", filed_at: float = 100
) -> Claimed:
    return Claimed(1, kind, asked, linked, filed_at)


@pytest.mark.parametrize(
    ("claimed", "now_s", "judged"),
    [
        (row(), 100, None),
        (row(kind=None), 100, None),
        (row(kind=""), 100, None),
        (row(kind="service_call"), 100, None),
        (row(asked=2, linked=2), 100, None),
        (row(asked=2, linked=3), 100, None),
        (row(asked=2, linked=1), 699.9, Wait(1, 100, 700, "waits for its attachments: 1 of 2")),
        (row(asked=2, linked=1), 700, Missing("1 of 2 attachments came within 600 s")),
        (row(asked=2, linked=1, kind="photo"), 104, Wait(1, 100, 700, "waits for its attachments: 1 of 2")),
        (row(linked=1), 104.9, Wait(1, 100, 105, "waits for its attachments")),
        (row(linked=1), 105, None),
        (row(kind="photo"), 104.9, Wait(1, 100, 105, "waits for its attachments")),
        (row(kind="photo"), 105, Missing("no attachment came within 5 s")),
        # A row of tomorrow, by a clock that was put back since, counts from now.
        (row(kind="photo", filed_at=90_000), 100, Wait(1, 100, 105, "waits for its attachments")),
    ],
)
def test_a_row_waits_goes_or_ends(claimed: Claimed, now_s: float, judged: Wait | Missing | None) -> None:
    assert judge(claimed, now_s, 5) == judged


async def account_in(kit: EmbeddedKit) -> Inbox:
    return Inbox(kit, await kit.store.add_account("ada", OWNER, "token", user_id=1))


async def test_the_wait_counts_from_when_the_row_was_filed(tmp_path: Path) -> None:
    """Not from when a worker saw it first: it may have been away for an hour."""
    with open_kit(tmp_path / "data") as kit:
        inbox = await account_in(kit)
        message = inbox.write(inbox.chat("500"), "look", message_type="photo")
        with closing(sqlite3.connect(kit.folder.database)) as file, file:
            file.execute("update tgworker_outbox set filed_at = ?", (seconds(START) - 2,))
        assert await inbox.claim() == []
        kit.calendar.advance(1)
        assert await inbox.claim() == []
        assert (await kit.store.outcomes([message]))[message].state is OutboxState.DEAD


async def test_the_wait_is_as_long_as_the_settings_say(tmp_path: Path) -> None:
    with open_kit(tmp_path / "data") as kit:
        inbox = await account_in(kit)
        inbox.attach(inbox.write(inbox.chat("500"), "look"))
        with open_store(
            kit.folder, as_worker=True, run_sync=inline, now=kit.calendar, attachments_wait_s=0
        ) as store:
            assert len((await store.turn((), {inbox.account: 1}, known=())).attempts) == 1


async def test_an_idle_store_looks_again_when_the_wait_is_over(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Nothing else changes meanwhile: the claim that found nothing is not simply repeated."""
    with open_kit(tmp_path / "data") as kit:
        inbox = await account_in(kit)
        inbox.attach(inbox.write(inbox.chat("500"), "look"))
        for _ in range(3):
            assert await inbox.claim() == []
        watch = kit.store.watch(every_s=1)
        assert not await watch.wait([inbox.account], jobs_of=[])
        kit.calendar.advance(3)
        assert await watch.wait([inbox.account], jobs_of=[])
        assert len(await inbox.claim()) == 1
