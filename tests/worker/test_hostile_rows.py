"""A whole worker over rows that nobody should write: its loops live, and two owners' own things are done."""

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio.testing

from contracts.hostile_rows import OWNERS, Ref, columns_in, each_column, is_refusal, write_sqlite
from embedded.embedded_kit import SqliteApplication
from tgworker.embedded import inline, open_store
from tgworker.messaging.models import AccountId, MessageId
from tgworker.messaging.records import OutboxState
from tgworker.sandbox import SandboxUser
from tgworker.supervision import ChildEnded, Verdict
from worker.worker_world import OWNER as WORLD_OWNER
from worker.worker_world import Ground, open_ground

EACH = 4
"""So many values stand in each column of each table."""
SEED = 9
JOBS = ("message_jobs", "sync_history_jobs")


class Owner:
    """An account, and a chat for hostile rows; what is healthy stands in a chat of its own."""

    def __init__(
        self, app: SqliteApplication, owner: str, account: AccountId, user: SandboxUser, quiet: SandboxUser
    ) -> None:
        self._app = app
        self.owner, self.account, self.user, self.quiet = owner, account, user, quiet
        contact, chat = self._chat("4242")
        self.has = {"owner": owner, "account": account, "contact": contact, "chat": chat}
        self.has["message"] = self._write(chat, "busy")

    def ask(self) -> None:
        """What has to come through."""
        _, chat = self._chat(str(self.quiet.id))
        self.message = MessageId(self._write(chat, f"from {self.owner}"))
        whose = {"owner_id": self.owner, "integration_account_id": self.account}
        payload = json.dumps({"conversation_id": chat})
        self.job = self._app.insert("message_jobs", **whose, action="mark_read", payload=payload)
        self.history = self._app.insert("sync_history_jobs", **whose, conversation_id=chat)

    def statuses(self) -> list[str]:
        """Of what was asked for."""
        asked = (("message_jobs", self.job), ("sync_history_jobs", self.history))
        rows = [self._app.row(table, row_id) for table, row_id in asked]
        return [row["status"] for row in rows if row]

    def _chat(self, value: str) -> tuple[str, str]:
        person = {"owner_id": self.owner, "type": "telegram_user", "value": value}
        contact = self._app.insert("contact_identities", **person)
        return contact, self._app.insert("conversations", owner_id=self.owner, primary_identity_id=contact)

    def _write(self, chat: str, text: str) -> str:
        return self._app.insert(
            "messages",
            owner_id=self.owner,
            conversation_id=chat,
            integration_account_id=self.account,
            direction="outbound",
            text=text,
            external_message_id=f"local-{text}",
        )


async def second_account(ground: Ground) -> AccountId:
    """Another owner's, of the sandbox's third user."""
    eve = ground.sandbox.users[2]
    with open_store(ground.data, as_worker=True, run_sync=inline, now=ground.calendar) as store:
        token = ground.vault.encrypt(eve.session)
        return await store.add_account("eve", OWNERS["eve"], token, user_id=eve.id)


@pytest.mark.slow
async def test_no_loop_ends_and_what_is_healthy_is_done(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_ground(tmp_path) as ground:
        account = await second_account(ground)
        with closing(SqliteApplication(ground.data.database)) as app:
            me, peer, other = ground.sandbox.users
            ada = Owner(app, WORLD_OWNER, ground.account, me, peer)
            eve = Owner(app, OWNERS["eve"], account, other, peer)
            owners = {"ada": ada, "eve": eve}

            def meant(value: object) -> Any:
                return owners[value.owner].has[value.what] if isinstance(value, Ref) else value

            rows = each_column(columns_in(ground.data.database), random.Random(SEED), times=EACH)
            for row in rows:
                columns = {name: meant(value) for name, value in row.columns.items()}
                try:
                    write_sqlite(ground.data.database, row, columns, None)
                except sqlite3.Error as error:
                    if not is_refusal(error):
                        raise
            for owner in owners.values():
                owner.ask()
            async with ground.worker() as world:
                await world.until(3600)
                # (An account whose session cannot be read is left to a person.)
                ends = [(ended.path, ended.ending.verdict) for _, ended in world.seen(ChildEnded)]
                assert {verdict for _, verdict in ends} <= {Verdict.RETURNED}
                assert all(path.startswith("root.account.") for path, _ in ends)
                assert not [path for path, _ in ends if path.endswith((ada.account, eve.account))]
                for owner in owners.values():
                    assert await world.state_of(owner.message) is OutboxState.SENT
                    assert owner.statuses() == ["completed", "completed"]
                    arrived = ground.sandbox.chat(owner.quiet.id, owner.user.id)
                    assert f"from {owner.owner}" in [line.text for line in arrived]
            with closing(sqlite3.connect(ground.data.database)) as reading:
                reading.text_factory = bytes
                for table in JOBS:
                    failed = f"select error_message from {table} where status = 'failed'"
                    reasons = [reason for (reason,) in reading.execute(failed)]
                    assert reasons
                    assert all(reasons)
