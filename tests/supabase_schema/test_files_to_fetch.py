"""Files and photos that are to be fetched: whose they are, and who may say what became of them."""

from typing import Any

import pytest

from supabase_schema.rpc_store import RpcError
from supabase_schema.world import Process, World, inbound

FACTS = {"kind": "photo", "size": 70_000, "mime_type": "image/jpeg", "file_name": None}
FETCHED = {
    "outcome": "fetched",
    "bucket": "media",
    "path": "a.jpg",
    "file_name": "a.jpg",
    "mime_type": "image/jpeg",
    "byte_size": 70_000,
}
STRANGER = "0f000000-0000-4000-8000-00000000beef"
PHOTO = 5_400_000_000_000_000_001


def ready(world: World) -> tuple[str, Process]:
    account, process = world.account(), world.worker()
    process.acquire(account)
    return account, process


def arrived(world: World, process: Process, account: str) -> str:
    """A message with a file; returns its id."""
    process.ingest(account, inbound(500, 7, file=FACTS))
    (file,) = wanted(process, account)
    return str(file["message_id"])


def wanted(process: Process, account: str) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = process.rpc("tgworker_wanted_files", p_account=account)
    return files


def finish(process: Process, account: str, message: str, outcome: dict[str, Any], fence: int = 0) -> None:
    process.rpc(
        "tgworker_finish_file",
        p_account=account,
        p_fence=fence or process.fences[account],
        p_message=message,
        p_outcome=outcome,
    )


def test_who_lost_the_account_says_nothing_about_its_files(world: World) -> None:
    account, process = ready(world)
    message = arrived(world, process, account)
    process.ingest(account, peers=[{"chat_id": 500, "kind": "user", "photo_id": PHOTO}])
    stale = process.fences[account] + 1
    with pytest.raises(RpcError) as raised:
        finish(process, account, message, FETCHED, stale)
    assert (raised.value.code, raised.value.case) == ("PT409", "lease_lost")
    photo = {"p_account": account, "p_fence": stale, "p_chat": 500, "p_photo": PHOTO}
    with pytest.raises(RpcError) as raised:
        process.rpc("tgworker_finish_avatar", **photo, p_outcome={"outcome": "fetched", "url": "https://a"})
    assert raised.value.case == "lease_lost"
    assert len(wanted(process, account)) == 1
    assert len(process.rpc("tgworker_wanted_avatars", p_account=account)) == 1


@pytest.mark.parametrize("outcome", [{}, {"outcome": "sent"}, {"outcome": None}])
def test_an_outcome_that_is_none_is_refused(world: World, outcome: dict[str, Any]) -> None:
    account, process = ready(world)
    message = arrived(world, process, account)
    with pytest.raises(RpcError) as raised:
        finish(process, account, message, outcome)
    assert raised.value.case == "bad_request"
    photo = {"p_account": account, "p_fence": process.fences[account], "p_chat": 500, "p_photo": PHOTO}
    with pytest.raises(RpcError) as raised:
        process.rpc("tgworker_finish_avatar", **photo, p_outcome=outcome)
    assert raised.value.case == "bad_request"


def test_the_id_of_an_attachment_is_the_messages_and_takes_nobodys_place(world: World) -> None:
    account, process = ready(world)
    message = arrived(world, process, account)
    theirs = world.write(world.chat("500", STRANGER), "theirs", world.account(STRANGER), STRANGER)
    taken = world.one("select tgworker_attachment_id(%s)", message)
    assert taken[14] == taken[19] == "8", "RFC 9562"
    world.sql(
        "insert into attachments (id, owner_id, message_id, storage_path) values (%s, %s, %s, 'theirs')",
        taken,
        STRANGER,
        theirs,
    )
    finish(process, account, message, FETCHED)
    (row,) = world.sql("select owner_id::text, message_id::text, storage_path from attachments")
    assert row == {"owner_id": STRANGER, "message_id": theirs, "storage_path": "theirs"}


def test_a_fetched_file_is_not_sent_and_not_late(world: World) -> None:
    """One that the owner sent from another device stands on an outbound message."""
    account, process = ready(world)
    process.ingest(account, inbound(500, 7, outgoing=True, sender_id=1, file=FACTS))
    (file,) = wanted(process, account)
    finish(process, account, file["message_id"], FETCHED)
    assert world.one("select count(*) from attachments") == 1
    assert world.one("select count(*) from tgworker_attachments") == 0
    assert world.one("select count(*) from tgworker_touched") == 0


def test_a_file_that_cannot_be_attached_now_stays_pending(world: World) -> None:
    account, process = ready(world)
    message = arrived(world, process, account)
    other = world.connect(autocommit=False)
    other.execute("lock table attachments")
    with pytest.raises(RpcError) as raised:
        finish(process, account, message, FETCHED)
    assert raised.value.code == "55P03"
    other.rollback()
    assert len(wanted(process, account)) == 1
    finish(process, account, message, FETCHED)
    assert wanted(process, account) == []


def test_the_full_sweep_forgets_files_of_messages_that_are_gone(world: World) -> None:
    account, process = ready(world)
    message = arrived(world, process, account)
    process.ingest(account, inbound(500, 8, file=FACTS))
    world.sql("delete from messages where id = %s", message)
    assert [file["telegram_id"] for file in wanted(process, account)] == [8]
    world.worker().rpc("tgworker_sweep", p_full=True)
    assert world.sql("select telegram_id from tgworker_files") == [{"telegram_id": 8}]


def test_an_account_that_is_removed_leaves_no_files(world: World) -> None:
    account, process = ready(world)
    arrived(world, process, account)
    world.sql("delete from integration_accounts where id = %s", account)
    while world.worker().rpc("tgworker_sweep")["more"]:
        pass
    assert world.one("select count(*) from tgworker_files") == 0


def test_a_photo_is_shown_where_a_contact_had_no_metadata(world: World) -> None:
    account, process = ready(world)
    process.ingest(account, inbound(500, 1), peers=[{"chat_id": 500, "kind": "user", "photo_id": PHOTO}])
    world.sql("update contact_identities set metadata = 'null'")
    process.rpc(
        "tgworker_finish_avatar",
        p_account=account,
        p_fence=process.fences[account],
        p_chat=500,
        p_photo=PHOTO,
        p_outcome={"outcome": "fetched", "url": "https://a"},
    )
    assert world.one("select metadata from contact_identities") == {"avatar_url": "https://a"}


def test_peers_say_nothing_of_what_was_fetched(world: World) -> None:
    account, process = ready(world)
    peer = {"chat_id": 500, "kind": "user", "access_hash": 7, "photo_id": PHOTO}
    process.ingest(account, inbound(500, 1), peers=[peer])
    (kept,) = process.rpc("tgworker_peers_of", p_account=account)
    world.write(world.one("select id from conversations"), "hi", account)
    (attempt,) = process.claim()
    assert attempt["peer"] == kept
    assert kept["photo_id"] == PHOTO
    assert not any(name.startswith("avatar") for name in kept)
