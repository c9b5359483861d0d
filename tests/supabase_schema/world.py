"""A database with the migrations in it: workers, the application beside them, and rows to play with."""

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from contracts.store_kit import OWNER, Calendar
from supabase_schema.rpc_kit import Ids
from supabase_schema.rpc_store import Json, Rpc, set_calendar

__all__ = ["OWNER", "Json", "Process", "World"]


class World:
    """One database.

    Args:
        url: Where it is.
        stack: Closes connections.
        calendar: What "now" is for rows; ``None`` for the server's clock.
    """

    def __init__(self, url: str, stack: ExitStack, calendar: Calendar | None = None) -> None:
        self.url = url
        self.calendar = calendar
        self.new_id = Ids()
        self._stack = stack
        self.app = self.connect()

    def connect(
        self, role: str = "postgres", *, autocommit: bool = True
    ) -> psycopg.Connection[dict[str, Any]]:
        """A connection of one's own, as a role."""
        connection = psycopg.Connection[dict[str, Any]].connect(
            self.url, autocommit=True, row_factory=dict_row
        )
        self._stack.callback(connection.close)
        if role != "postgres":
            connection.execute("select set_config('role', %s, false)", (role,))
        connection.autocommit = autocommit
        return connection

    def sql(self, query: LiteralString, *values: Any) -> list[dict[str, Any]]:
        """Rows of a statement of the application's."""
        if self.calendar is not None:
            set_calendar(self.app, self.calendar())
        cursor = self.app.execute(query, values)
        return list(cursor.fetchall()) if cursor.description else []

    def one(self, query: LiteralString, *values: Any) -> Any:
        """The only value of a query."""
        (row,) = self.sql(query, *values)
        (value,) = row.values()
        return str(value) if isinstance(value, UUID) else value

    def worker(self, *, holder: UUID | None = None, incarnation: int = 1) -> "Process":
        """A process of a worker, with a connection of its own."""
        connection = psycopg.connect(self.url, autocommit=True)
        self._stack.callback(connection.close)
        return Process(Rpc(connection, self.calendar), holder or uuid4(), incarnation)

    # What the application does

    def account(self, owner: str = OWNER, **columns: Any) -> str:
        row = {"is_active": True, "secrets": "token", **columns}
        return str(
            self.one(
                "insert into integration_accounts (id, owner_id, type, is_active, secrets_encrypted)"
                " values (%s, %s, 'telegram_user', %s, %s) returning id",
                self.new_id(),
                owner,
                row["is_active"],
                row["secrets"],
            )
        )

    def chat(self, value: str, owner: str = OWNER) -> str:
        identity = self.one(
            "insert into contact_identities (owner_id, type, value, metadata)"
            " values (%s, 'telegram_user', %s, '{}') returning id",
            owner,
            value,
        )
        return str(
            self.one(
                "insert into conversations (owner_id, primary_identity_id) values (%s, %s) returning id",
                owner,
                identity,
            )
        )

    def write(self, chat: str, text: str, account: str | None, owner: str = OWNER) -> str:
        """An outbound row, inserted the old way."""
        message = self.new_id()
        self.sql(
            "insert into messages (id, owner_id, conversation_id, integration_account_id, channel, direction,"
            " text, external_message_id) values (%s, %s, %s, %s, 'telegram', 'outbound', %s, %s)",
            message,
            owner,
            chat,
            account,
            text,
            f"local-{text}",
        )
        return message

    def state(self, message: str) -> str | None:
        rows = self.sql("select state from tgworker_outbox where message_id = %s", message)
        return rows[0]["state"] if rows else None

    def external(self, message: str) -> str | None:
        rows = self.sql("select external_message_id as id from messages where id = %s", message)
        return rows[0]["id"] if rows else None

    def everything(self) -> dict[str, list[Any]]:
        """All rows of all tables, for "nothing changed"; without times of writing."""
        tables = [
            row["relname"]
            for row in self.sql(
                "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
            )
        ]
        return {
            table: sorted(
                str(row["row"])
                for row in self.app.execute(
                    sql.SQL("select to_jsonb(t) - 'last_sync_at' - 'changed_at' as row from {} t").format(
                        sql.Identifier(table)
                    )
                )
            )
            for table in sorted(tables)
        }


class Process:
    """One process of a worker, over the functions as they are."""

    def __init__(self, rpc: Rpc, holder: UUID, incarnation: int) -> None:
        self.rpc = rpc
        self.holder = str(holder)
        self.incarnation = incarnation
        self.fences: dict[str, int] = {}

    def acquire(self, *accounts: str, ttl_s: int = 60) -> dict[str, Any]:
        answer: dict[str, Any] = self.rpc(
            "tgworker_acquire_leases",
            p_holder=self.holder,
            p_incarnation=self.incarnation,
            p_worker="w",
            p_accounts=list(accounts),
            p_ttl_s=ttl_s,
        )
        self.fences |= {lease["account"]: lease["fence"] for lease in answer["leases"]}
        return answer

    def leases(self) -> Json:
        return Json({"account": account, "fence": fence} for account, fence in self.fences.items())

    def renew(self, ttl_s: int = 60) -> dict[str, Any]:
        answer: dict[str, Any] = self.rpc(
            "tgworker_renew_leases", p_holder=self.holder, p_leases=self.leases(), p_ttl_s=ttl_s
        )
        return answer

    def release(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.rpc(
            "tgworker_release_leases", p_holder=self.holder, p_leases=self.leases()
        )
        return answer

    def claim_answer(self, free: int = 10, known: Sequence[str] = ()) -> dict[str, Any]:
        answer: dict[str, Any] = self.rpc(
            "tgworker_claim",
            p_holder=self.holder,
            p_slots=Json(
                {"account": account, "fence": fence, "free": free} for account, fence in self.fences.items()
            ),
            p_known=list(known),
        )
        return answer

    def tick(self, items: Sequence[Any], free: int, known: Sequence[str] = ()) -> dict[str, Any]:
        """Settle these, then claim for every account."""
        answer: dict[str, Any] = self.rpc(
            "tgworker_tick",
            p_holder=self.holder,
            p_settled=Json(items),
            p_slots=Json({**lease, "free": free} for lease in self.leases()),
            p_known=list(known),
        )
        return answer

    def claim(self, free: int = 10, known: Sequence[str] = ()) -> list[dict[str, Any]]:
        attempts: list[dict[str, Any]] = self.claim_answer(free, known)["attempts"]
        return attempts

    def settle(self, attempt: dict[str, Any], outcome: str, **more: Any) -> dict[str, Any]:
        items = Json([settled(attempt, outcome, **more)])
        answer: dict[str, Any] = self.rpc("tgworker_settle", p_items=items)
        return answer

    def send(self, attempt: dict[str, Any], telegram_id: int, at: datetime | None = None) -> dict[str, Any]:
        when = None if at is None else at.isoformat()
        return self.settle(attempt, "sent", telegram_id=telegram_id, sent_at=when)

    def ingest(self, account: str, *messages: dict[str, Any], number: int | None = None, **more: Any) -> Any:
        return self.rpc(
            "tgworker_ingest",
            p_account=account,
            p_fence=self.fences[account],
            p_batch={"messages": list(messages), **more},
            p_number=number,
        )


def settled(attempt: dict[str, Any], outcome: str, **more: Any) -> dict[str, Any]:
    """What became of an attempt, as the functions take it."""
    names = ("message_id", "claim", "part", "to")
    return {**{name: attempt[name] for name in names}, "outcome": outcome, **more}


def inbound(chat: int, telegram_id: int, text: str = "hello", **more: Any) -> dict[str, Any]:
    """A message as `tgworker_ingest` takes it."""
    return {
        "chat_id": chat,
        "telegram_id": telegram_id,
        "sender_id": chat,
        "outgoing": False,
        "text": text,
        "message_type": "text",
        "sent_at": "2026-01-01T12:00:00+00:00",
        **more,
    }
