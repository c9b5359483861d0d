"""The worker's traffic as the plan does it: requests to the tables, one after the other, row by row."""

from datetime import UTC, datetime
from typing import Any, final

import httpx

from benchmarks.stack import DevStack

OWNER = "00000000-0000-4000-8000-000000000001"


@final
class Plan:
    """What the plan's worker asks of the database; it knows already which rows are pending.

    Args:
        client: Connections to PostgREST, kept open.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def send(self, message: str, conversation: str, telegram_id: int) -> None:
        """One row is sent: to whom, and what is written when Telegram has it."""
        wanted = {"id": f"eq.{conversation}", "select": "id,identity:contact_identities(value)"}
        await self._ask("GET", "conversations", wanted)
        now = datetime.now(UTC).isoformat()
        written = {"external_message_id": str(telegram_id), "sent_at": now}
        await self._ask("PATCH", "messages", {"id": f"eq.{message}"}, written)
        await self._ask("PATCH", "conversations", {"id": f"eq.{conversation}"}, {"last_message_at": now})

    async def receive(self, account: str, chat_id: int, telegram_id: int, text: str) -> None:
        """One message arrives: who, which conversation, the message, and what the list shows of it."""
        wanted = {"owner_id": f"eq.{OWNER}", "type": "eq.telegram_user", "value": f"eq.{chat_id}"}
        (identity,) = await self._ask("GET", "contact_identities", {**wanted, "select": "id"})
        wanted = {"primary_identity_id": f"eq.{identity['id']}", "select": "id,unread_count"}
        (conversation,) = await self._ask("GET", "conversations", wanted)
        now = datetime.now(UTC).isoformat()
        row = {
            "owner_id": OWNER,
            "conversation_id": conversation["id"],
            "integration_account_id": account,
            "identity_id": identity["id"],
            "channel": "telegram",
            "direction": "inbound",
            "text": text,
            "message_type": "text",
            "sent_at": now,
            "external_message_id": str(telegram_id),
        }
        await self._ask("POST", "messages", {}, row)
        shown = {
            "unread_count": conversation["unread_count"] + 1,
            "last_message_at": now,
            "last_message_preview": text,
        }
        await self._ask("PATCH", "conversations", {"id": f"eq.{conversation['id']}"}, shown)

    async def _ask(
        self, method: str, table: str, wanted: dict[str, str], written: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        answer = await self._client.request(method, f"/rest/v1/{table}", params=wanted, json=written)
        answer.raise_for_status()
        if not answer.content:
            return []
        rows: list[dict[str, Any]] = answer.json()
        return rows


def plan_client(stack: DevStack, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """Connections as supabase-py makes them, but for HTTP/2, which is slower.

    Args:
        stack: The database's.
        transport: In place of TCP to the gateway.
    """
    return httpx.AsyncClient(
        base_url=stack.url,
        headers={"apikey": stack.key, "Authorization": f"Bearer {stack.key}", "Prefer": "return=minimal"},
        transport=transport,
        trust_env=False,
    )
