"""The reference's table of calls is what the database has and what the ports need."""

import inspect
import re
from pathlib import Path

from supabase_schema.rpc_kit import migrations
from supabase_schema.world import World
from tgworker.messaging import books, login_ports, media_ports, store_ports

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "supabase.md"

CALLS = {
    cells[0].strip("`"): (cells[1].strip("`"), cells[2], cells[3])
    for line in PAGE.read_text().splitlines()
    if line.startswith("| `tgworker_")
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
}

STORES = (
    store_ports.AccountStore,
    store_ports.OutboxStore,
    store_ports.InboundStore,
    store_ports.DoubtStore,
    store_ports.RecipientStore,
    store_ports.PresenceStore,
    store_ports.WaitStore,
    store_ports.HistoryQueue,
    store_ports.HistoryStore,
    store_ports.JobStore,
    login_ports.LoginStore,
    store_ports.HeartbeatWriter,
    media_ports.OutgoingMediaStore,
    media_ports.MediaStore,
    books.AccountBook,
    books.OutboxBook,
    books.HistoryBook,
    books.HeartbeatReader,
)


def test_the_table_has_the_calls_with_their_arguments(world: World) -> None:
    functions = world.sql(
        "select proname, proargnames[1:pronargs] as names, pronargs - pronargdefaults as needed from pg_proc"
        " where pronamespace = 'public'::regnamespace and proname = any (%s)",
        list(CALLS),
    )
    assert {function["proname"] for function in functions} == set(CALLS)
    assert len(functions) == len(CALLS), "PostgREST cannot tell functions of one name apart"
    for function in functions:
        names = function["names"] or []
        needed, more = names[: function["needed"]], names[function["needed"] :]
        written = ", ".join(needed)
        if more:
            written += (" " if written else "") + f"[{', ' if needed else ''}{', '.join(more)}]"
        assert CALLS[function["proname"]][0] == written, function["proname"]


def test_every_method_of_a_store_has_its_call() -> None:
    listed = {method for _, _, cell in CALLS.values() for method in re.findall(r"`(\w+\.\w+)`", cell)}
    needed = {
        f"{store.__name__}.{name}"
        for store in STORES
        for name, member in vars(store).items()
        if inspect.iscoroutinefunction(member)
    }
    assert listed == needed


def test_every_call_says_above_it_what_it_takes_and_answers() -> None:
    text = "\n".join(file.read_text() for file in migrations())
    for name in CALLS:
        comment = re.search(rf"((?:^--.*\n)+)create or replace function public\.{name}\(", text, re.MULTILINE)
        assert comment is not None, name
        if CALLS[name][1] != "nothing":
            assert "-- answer " in comment[1], name


def test_the_errors_in_the_table_are_those_that_are_raised() -> None:
    raised = {
        (status, case)
        for file in migrations()
        for status, case in re.findall(r"tgworker_fail\(\s*(\d+), '(\w+)'", file.read_text())
    }
    listed = set(re.findall(r"^\| (\d+) `PT\d+` \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE))
    assert raised == listed
