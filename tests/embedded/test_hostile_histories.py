"""History jobs whose columns hold what SQLite lets an application write there."""

from pathlib import Path

from contracts.store_kit import OWNER
from embedded.embedded_kit import open_kit


async def test_hostile_columns_end_a_job_or_are_read_as_their_default(tmp_path: Path) -> None:
    with open_kit(tmp_path / "data") as kit:
        account = await kit.store.add_account("ada", OWNER, "token", user_id=1)

        def ask(**columns: object) -> str:
            named = {"telegram_id": "500", **columns}
            return kit.app.insert(
                "sync_history_jobs", owner_id=OWNER, integration_account_id=account, **named
            )

        blob = ask(telegram_id=b"\xff\x00")
        odd = [ask(limit_messages=value, messages_synced=value) for value in ("many", b"\xff", 1.5)]
        sane = ask()
        claimed = await kit.store.claim_history([account], known=[], limit=9)
        assert [job.id for job in claimed] == [*odd, sane]
        assert [(job.limit_messages, job.messages_synced) for job in claimed] == [(100, 0)] * 4
        row = kit.app.row("sync_history_jobs", blob)
        assert row is not None
        assert (row["status"], row["error_message"]) == ("failed", "the job's telegram_id is not text")
