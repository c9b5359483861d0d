"""What a claim costs inside PostgreSQL when the queue has been busy for long and a hundred thousand wait."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psycopg
import trio

from benchmarks.line import Effort, Json, Measured
from tgworker.devstack import OWNER, SUPERUSER, Cluster, Places, cache_folder, open_folders

FILL = Path(__file__).with_name("backlog.sql")
HOLDER = "00000000-0000-4000-8000-00000000c0de"
BATCH = 10

# Claims and settles in turns, each in a transaction of its own, and notes the milliseconds of the claims.
_TURNS = """
do $do$
declare
    v_slots jsonb;
    v_claimed jsonb;
    v_items jsonb;
    v_began timestamptz;
begin
    select jsonb_agg(jsonb_build_object('account', k.id, 'fence', k.fence, 'free', {free})) into v_slots
    from (
        select integration_account_id as id, fence from tgworker_leases
        order by integration_account_id limit {accounts}
    ) k;
    for i in 1 .. {turns} loop
        v_began := clock_timestamp();
        v_claimed := tgworker_claim('{holder}', v_slots, '{{}}');
        insert into claims values ('{state}', jsonb_array_length(v_claimed -> 'attempts'),
            extract(epoch from clock_timestamp() - v_began) * 1000);
        select jsonb_agg(a || jsonb_build_object('outcome', 'sent', 'chat_id', a -> 'peer' -> 'chat_id',
            'telegram_id', 100000000 + (a ->> 'claim')::bigint)) into v_items
        from jsonb_array_elements(v_claimed -> 'attempts') a;
        if v_items is not null then
            perform tgworker_settle(v_items);
        end if;
        commit;
    end loop;
end $do$
"""


def measure(effort: Effort) -> dict[str, Measured]:
    """Measure ``claim_backlog_ms``."""
    rows = {
        "sent": effort.pick(full=1_000_000, short=5_000),
        "pending": effort.pick(full=90_000, short=8_000),
        "behind": effort.pick(full=10_000, short=500),
        "chats": effort.pick(full=20_000, short=4_000),
    }
    turns = effort.pick(full=60, short=5)
    with _open_cluster() as cluster:
        early = _connect(cluster, OWNER)
        _prepare(early)
        # Its plans are made now, for empty tables, and kept.
        _turn(early, "plans made for empty tables", turns=8)
        early.execute("delete from claims")
        with _connect(cluster, SUPERUSER) as filling:
            filling.execute((FILL.read_text() % rows).encode())
        _lease(early)
        _turn(early, "plans made for empty tables", turns)
        early.close()
        late = _connect(cluster, OWNER)
        _turn(late, "no statistics", turns)
        _turn(late, "500 accounts", turns, accounts=500)
        _write(late, rows["chats"], many=effort.pick(full=5_000, short=300))
        _turn(late, "the application has just written much", turns)
        late.execute("analyze")
        late.close()
        fresh = _connect(cluster, OWNER)
        _turn(fresh, "fresh statistics", turns)
        found = fresh.execute("select state, n, ms from claims").fetchall()
        fresh.close()
    states: dict[str, Json] = {}
    worst = 0.0
    for state in dict.fromkeys(row[0] for row in found):
        times_ms = [row[2] for row in found if row[0] == state]
        counts = [row[1] for row in found if row[0] == state]
        worst = max(worst, median(times_ms))
        states[state] = {
            "p50_ms": round(median(times_ms), 3),
            "p90_ms": round(quantiles(times_ms, n=10)[-1], 3),
            "rows_claimed": median(counts),
        }
    return {"claim_backlog_ms": Measured(round(worst, 3), {**rows, "batch": BATCH, "states": states})}


@contextmanager
def _open_cluster() -> Generator[Cluster]:
    cache = cache_folder(home=Path.home(), xdg_cache_home=os.environ.get("XDG_CACHE_HOME"))
    programs = Places(cache, os.environ.get("PATH", "")).find()
    with open_folders() as folders:
        cluster = Cluster(programs.postgresql, folders, durable=True)
        try:
            trio.run(cluster.start)
            yield cluster
        finally:
            trio.run(cluster.stop)


def _connect(cluster: Cluster, user: str) -> psycopg.Connection[Any]:
    return psycopg.connect(cluster.url(user=user), autocommit=True)


def _prepare(connection: psycopg.Connection[Any]) -> None:
    """The schema; tables that nobody analyzes behind our back; and where figures go."""
    for file in sorted((Path(str(files("tgworker.supabase"))) / "migrations").glob("*.sql")):
        connection.execute(file.read_bytes())
    for table in ("messages", "conversations", "tgworker_outbox", "tgworker_outbox_parts", "tgworker_lanes"):
        connection.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
    connection.execute("create table claims (state text, n integer, ms double precision)")
    connection.execute(
        "insert into tgworker_leases (integration_account_id, holder, fence, expires_at)"
        " values (gen_random_uuid(), %s, 1, 'infinity')",
        (HOLDER,),
    )


def _lease(connection: psycopg.Connection[Any]) -> None:
    connection.execute("delete from tgworker_leases")
    connection.execute(
        "insert into tgworker_leases (integration_account_id, holder, fence, expires_at)"
        " select id, %s, 1, 'infinity' from integration_accounts order by id",
        (HOLDER,),
    )


def _turn(connection: psycopg.Connection[Any], state: str, turns: int, *, accounts: int = 1) -> None:
    print(f"claims: {state} …", file=sys.stderr)
    warm_up = 5
    for name, count in (("warm-up", warm_up), (state, turns)):
        # Of many accounts ten have something to send.
        free = BATCH if accounts == 1 else 1
        statement = _TURNS.format(holder=HOLDER, state=name, turns=count, accounts=accounts, free=free)
        connection.execute(statement.encode())
        connection.execute("delete from claims where state = 'warm-up'")


def _write(connection: psycopg.Connection[Any], chats: int, *, many: int) -> None:
    """Messages as the application inserts them, one statement each, in as many conversations."""
    with connection.transaction():
        connection.cursor().executemany(
            "insert into messages (owner_id, conversation_id, integration_account_id, direction, text,"
            " external_message_id) select owner_id, id, %s, 'outbound', 'written', 'local-written'"
            " from conversations where id = %s",
            [
                (
                    f"00000000-0000-4000-8001-{number % 10 + 1:012d}",
                    f"00000000-0000-4000-8003-{number % chats + 1:012d}",
                )
                for number in range(many)
            ],
        )
