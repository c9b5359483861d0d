"""Jobs whose columns hold what SQLite lets an application write there."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from contracts.store_kit import OWNER, Inbox
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
        reasons = ["its id is not text", *["its action or owner_id is not text"] * 2]
        assert [row["error_message"] for row in failed] == reasons


NO_UTF_8 = "cast(x'ff' as text)"


async def test_what_is_no_utf_8_is_read_all_the_same(tmp_path: Path) -> None:
    with open_kit(tmp_path / "data") as kit:
        account = await kit.store.add_account("ada", OWNER, "token", user_id=1)
        inbox = Inbox(kit, account)
        chat = inbox.chat("500")
        bad, good = inbox.write(chat, "bad"), inbox.write(chat, "good")
        with closing(sqlite3.connect(kit.folder.database, isolation_level=None)) as application:
            application.execute(f"update messages set text = {NO_UTF_8} where id = ?", (bad,))
            job = "insert into message_jobs (id, owner_id, integration_account_id, action, payload) values"
            application.execute(f"{job} ('job', ?, ?, 'pin', {NO_UTF_8})", (OWNER, account))
            application.execute(f"{job} ({NO_UTF_8}, ?, ?, 'pin', '{{}}')", (OWNER, account))
            job = "insert into sync_history_jobs (id, owner_id, integration_account_id) values"
            application.execute(f"{job} ({NO_UTF_8}, ?, ?)", (OWNER, account))
            application.execute(
                f"insert into integration_accounts (id, owner_id, config) values ({NO_UTF_8}, ?, ?)",
                (OWNER, b"\xff"),
            )
        for _ in range(2):
            assert [each.id for each in await kit.store.active_accounts()] == [account]
        last_errors = [record.last_error for record in await kit.store.list_accounts()]
        assert last_errors == [None, "its id is none: write a uuid"]
        turn = await kit.store.turn((), {account: 5}, known=())
        assert [attempt.text for attempt in turn.attempts] == ["\ufffd"]
        assert list((await kit.store.claim_jobs([account], known=())).jobs) == []
        assert list(await kit.store.claim_history([account], known=())) == []
        assert (await kit.store.count_jobs(), await kit.store.count_history()) == (0, 0)
        with closing(sqlite3.connect(kit.folder.database)) as application:
            ended = application.execute(
                "select error_message from message_jobs union all select error_message from sync_history_jobs"
            ).fetchall()
        names_nothing = "it names no message and no conversation"
        assert ended == [(names_nothing,), ("its id is not text",), ("its id is not text",)]
        assert inbox.message(good)["external_message_id"] == "local-good"
