"""Jobs whose columns hold what SQLite lets an application write there."""

import json
from pathlib import Path

from contracts.store_kit import OWNER
from embedded.embedded_kit import open_kit


async def test_a_history_job_with_odd_columns_ends_or_has_their_defaults(tmp_path: Path) -> None:
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


async def test_a_message_job_with_odd_columns_ends_and_stops_no_other(tmp_path: Path) -> None:
    with open_kit(tmp_path / "data") as kit:
        account = await kit.store.add_account("ada", OWNER, "token", user_id=1)

        def ask(value: object = "500", **columns: object) -> str:
            identity = kit.app.insert("contact_identities", owner_id=OWNER, type="telegram_user", value=value)
            chat = kit.app.insert("conversations", owner_id=OWNER, primary_identity_id=identity)
            asked: dict[str, object] = {
                "owner_id": OWNER,
                "integration_account_id": account,
                "action": "mark_read",
                "payload": json.dumps({"conversation_id": chat}),
            }
            return kit.app.insert("message_jobs", **asked | columns)

        for column in ("id", "action", "owner_id"):
            ask(column, **{column: b"\xff\x00"})
        nobody, sane = ask(b"\xff"), ask("501")
        claimed = {
            str(job.id): job for job in (await kit.store.claim_jobs([account], known=[], limit=9)).jobs
        }
        assert claimed.keys() == {nobody, sane}
        assert (claimed[nobody].to, claimed[sane].to) == (None, "501")
        failed = kit.app.rows("message_jobs", status="failed")
        assert [row["error_message"] for row in failed] == ["its id, action or owner_id is not text"] * 3
