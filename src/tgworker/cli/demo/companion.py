"""Somebody the account talks with: an edit, a reaction, a history from before, and who is there just now."""

from collections.abc import Mapping
from typing import Any, Final

import trio

from tgworker.cli.demo.ground import Ground
from tgworker.messaging.models import AccountId
from tgworker.sandbox import Sandbox, SandboxUser

OLD_MESSAGES: Final = 250
"""Of the time before the worker: three pages."""

LOOK_EVERY_S: Final = 0.05
REACTION: Final = "👍"
WRONG, RIGHT = "see you at nin", "see you at nine"


class Companion:
    """Does what people do in a chat besides writing, and looks at what the other side has of it.

    Each act returns what can be said of it once the other side shows it, and never where it does not.

    Args:
        sandbox: Where the companion's phone is.
        ground: The application's tables.
        owner_id: Whose account it is.
        account_id: The account's row.
        account_user: The account's user at the sandbox.
        user: Who it is; the two write each other nothing else.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        ground: Ground,
        owner_id: str,
        account_id: AccountId,
        account_user: SandboxUser,
        user: SandboxUser,
    ) -> None:
        self.user = user
        self._sandbox = sandbox
        self._ground = ground
        self._owner_id = owner_id
        self._account_id = account_id
        self._account_user = account_user

    def remember(self) -> None:
        """Write the messages that were there before the worker: call it while no worker runs."""
        for number in range(1, OLD_MESSAGES + 1):
            self._sandbox.send_text(self.user.id, self._account_user.id, f"long ago {number}")

    async def edit(self) -> str:
        """The account writes, and corrects itself by a row of ``message_jobs``."""
        (message_id,) = await self._ground.application.enqueue(self._account_id, str(self.user.id), [WRONG])
        # At once: the job waits for its message.
        job_id = await self._ground.tables.insert(
            "message_jobs",
            owner_id=self._owner_id,
            message_id=message_id,
            integration_account_id=self._account_id,
            action="edit",
            payload=f'{{"text": "{RIGHT}"}}',
        )
        while True:
            job = await self._row("message_jobs", id=job_id)
            texts = [line.text for line in self._sandbox.chat(self.user.id, self._account_user.id)]
            if job["status"] == "completed" and texts[-1:] == [RIGHT]:
                return "the phone shows the text as it was corrected"
            await trio.sleep(LOOK_EVERY_S)

    async def react(self) -> str:
        """The companion reacts to that message."""
        line = self._sandbox.chat(self.user.id, self._account_user.id)[-1]
        self._sandbox.phone.send_reaction(self.user.id, self._account_user.id, line.id, REACTION)
        while True:
            events = await self._ground.tables.rows("message_events", type="reaction")
            if any(REACTION in str(event["payload"]) for event in events):
                return f"{REACTION} stands with its message"
            await trio.sleep(LOOK_EVERY_S)

    async def sync(self) -> str:
        """The application asks for the chat's history by a row of ``sync_history_jobs``."""
        started_at = trio.current_time()
        job_id = await self._ground.tables.insert(
            "sync_history_jobs",
            owner_id=self._owner_id,
            integration_account_id=self._account_id,
            telegram_id=str(self.user.id),
            limit_messages=OLD_MESSAGES + 50,
        )
        while True:
            job = await self._row("sync_history_jobs", id=job_id)
            if job["status"] == "completed" and job["messages_synced"] == OLD_MESSAGES:
                return f"{OLD_MESSAGES} old messages after {trio.current_time() - started_at:.1f} s"
            await trio.sleep(LOOK_EVERY_S)

    async def appear(self) -> str:
        """The companion comes online and types."""
        self._sandbox.phone.update_status(self.user.id)
        self._sandbox.phone.set_typing(self.user.id, self._account_user.id)
        while True:
            shown = await self._ground.tables.rows("presence_status")
            if any(row["is_online"] and row["is_typing"] for row in shown):
                return "the application sees who is online, and who types"
            await trio.sleep(LOOK_EVERY_S)

    async def _row(self, table: str, **where: str) -> Mapping[str, Any]:
        (row,) = await self._ground.tables.rows(table, **where)
        return row
