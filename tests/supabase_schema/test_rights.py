"""Who may do what: the worker's role alone, and each function knows which tables it means."""

import json
import re

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from contracts.store_kit import OTHER_OWNER
from project.checkout import ROOT
from supabase_schema.rpc_kit import migrations
from supabase_schema.rpc_store import Rpc
from supabase_schema.world import OWNER, World

FUNCTIONS = (
    "select p.oid::regprocedure::text as name, p.proconfig, p.prosecdef, p.prorettype = 'trigger'::regtype"
    " as is_trigger from pg_proc p where p.pronamespace = 'public'::regnamespace"
    " and p.proname like 'tgworker\\_%%'"
)


def test_nobody_but_service_role_may_call_anything_of_ours(world: World) -> None:
    functions = world.sql(FUNCTIONS)
    assert len(functions) > 40
    for function in functions:
        may = {
            role: world.one("select has_function_privilege(%s, %s, 'execute')", role, function["name"])
            for role in ("anon", "authenticated", "public", "service_role")
        }
        expected = not function["is_trigger"]
        assert may == {"anon": False, "authenticated": False, "public": False, "service_role": expected}


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_calls_of_other_roles_are_refused(world: World, role: str) -> None:
    connection = world.connect(role)
    names = world.sql("select distinct proname from pg_proc where proname like 'tgworker\\_%%'")
    for name in names:
        arguments = world.sql(
            "select pronargs as n from pg_proc where proname = %s order by 1 limit 1", name["proname"]
        )
        nulls = sql.SQL(", ").join([sql.SQL("null")] * arguments[0]["n"])
        query = sql.SQL("select {}({})").format(sql.Identifier(name["proname"]), nulls)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(query)


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_other_roles_see_and_change_nothing_of_ours(world: World, role: str) -> None:
    ours = world.sql(
        "select c.oid::regclass::text as name, c.relkind, c.relrowsecurity from pg_class c"
        " where c.relnamespace = 'public'::regnamespace and c.relname like 'tgworker\\_%%'"
        " and c.relkind in ('r', 'S')"
    )
    assert len(ours) > 15
    for relation in ours:
        if relation["relkind"] == "S":
            check = "select has_sequence_privilege(%s, %s, 'usage, select, update')"
        else:
            assert relation["relrowsecurity"], relation
            check = (
                "select has_table_privilege(%s, %s, 'select, insert, update, delete, truncate, references')"
            )
        assert not world.one(check, role, relation["name"]), relation


def test_on_an_empty_database_the_applications_tables_are_closed_until_it_opens_them(world: World) -> None:
    world.account()
    for role in ("anon", "authenticated"):
        assert world.connect(role).execute("select * from integration_accounts").fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            world.connect(role).execute(
                "insert into integration_accounts (owner_id) values (gen_random_uuid())"
            )
    assert len(world.connect("service_role").execute("select * from integration_accounts").fetchall()) == 1


def test_every_function_of_ours_has_its_search_path_pinned(world: World) -> None:
    for function in world.sql(FUNCTIONS):
        settings = function["proconfig"] or []
        assert "search_path=pg_catalog, public, pg_temp" in settings, function["name"]


def test_only_triggers_run_with_the_rights_of_their_owner(world: World) -> None:
    for function in world.sql(FUNCTIONS):
        assert function["prosecdef"] is function["is_trigger"], function["name"]


def test_the_applications_people_may_insert_where_its_own_policies_let_them(world: World) -> None:
    """The trigger fills the queue for them, which they themselves may not touch."""
    account, chat = world.account(), world.chat("500")
    world.sql("create policy writes on messages for insert to authenticated with check (true)")
    message = world.new_id()
    world.connect("authenticated").execute(
        "insert into messages (id, owner_id, conversation_id, integration_account_id, direction, text,"
        " external_message_id) values (%s, %s, %s, %s, 'outbound', 'hi', 'local-1')",
        (message, OWNER, chat, account),
    )
    process = world.worker()
    process.acquire(account)
    assert [attempt["message_id"] for attempt in process.claim()] == [message]


def test_people_may_log_in_through_a_row_of_their_own_as_the_page_says(world: World) -> None:
    page = (ROOT / "docs" / "how-to" / "log-in.md").read_text(encoding="utf-8")
    (statements,) = re.findall(r"```sql\n(grant .*?)```", page, re.DOTALL)
    with psycopg.connect(world.url, autocommit=True) as owner:
        owner.execute(statements.encode())
    person, stranger = (world.connect("authenticated") for _ in range(2))
    for connection, who in ((person, OWNER), (stranger, OTHER_OWNER)):
        connection.execute("select set_config('request.jwt.claims', %s, false)", (json.dumps({"sub": who}),))
    file = "insert into tgworker_login_requests (owner_id, phone) values (%s, '1') returning id"
    (login,) = person.execute(file, (OWNER,)).fetchall()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stranger.execute(file, (OWNER,))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        person.execute("update tgworker_login_requests set config = '{}'")
    process, ticket = world.worker(), world.new_id()
    (claimed,) = process.rpc("tgworker_claim_logins", p_ticket=ticket, p_known=[], p_limit=4)["logins"]
    asks = {"p_ticket": ticket, "p_login": claimed["id"]}
    process.rpc("tgworker_tell_login", **asks, p_news=Jsonb({"state": "code_sent", "hint": "there"}))
    assert stranger.execute("select * from tgworker_login_requests").fetchall() == []
    stranger.execute("update tgworker_login_requests set code = '666'")
    (seen,) = person.execute("select state, hint from tgworker_login_requests").fetchall()
    assert seen == {"state": "code_sent", "hint": "there"}
    person.execute("update tgworker_login_requests set code = '123' where id = %s", (login["id"],))
    assert process.rpc("tgworker_login_answer", **asks) == {"ours": True, "answer": "123"}
    person.execute("update tgworker_login_requests set state = 'cancelled'")
    assert process.rpc("tgworker_login_answer", **asks)["ours"] is False


def test_the_schema_says_its_version_to_the_right_key_only(world: World) -> None:
    connection = psycopg.connect(world.url, autocommit=True)
    with connection:
        schema = Rpc(connection)("tgworker_schema")
    assert (schema["version"], schema["adopted"], schema["advice"]) == (1, False, [])


def test_migrations_may_be_run_again(world: World) -> None:
    account, chat = world.account(), world.chat("500")
    message = world.write(chat, "hi", account)
    before = world.everything()
    for file in migrations():
        world.app.execute(file.read_bytes())
    assert world.everything() == before
    process = world.worker()
    process.acquire(account)
    assert [attempt["message_id"] for attempt in process.claim()] == [message]
