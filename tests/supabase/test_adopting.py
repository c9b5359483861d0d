"""``accounts adopt`` and ``release``: a handover waits until the other side has certainly let go."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from stack_kit import Database, made_template
from supabase.stack_world import settings_of
from supabase_schema.rpc_kit import migrations
from tgworker.app.books import open_books
from tgworker.devstack import Cluster, Stack
from tgworker.messaging.errors import AccountGone, StoreFault
from tgworker.messaging.models import AccountId

INBOX = Path(__file__).parents[1] / "supabase_schema/inbox.sql"
STILL = "update tgworker_accounts set still_since = now() - interval '151 s'"
ACTIVE = "select is_active from integration_accounts where type = 'telegram_user' order by id limit 1"
NOBODY = AccountId("0f000000-0000-4000-8000-00000000dead")


@pytest.fixture(scope="session")
def database_template(shared_cluster: Cluster) -> str:
    """An application's database, with the migrations on top of it."""
    return made_template(shared_cluster, "adopting", INBOX, *migrations())


async def first_account(database: Database) -> AccountId:
    await database.sql("update integration_accounts set is_active = true where type = 'telegram_user'")
    found = await database.sql(
        "select id from integration_accounts where type = 'telegram_user' order by id limit 1"
    )
    return AccountId(found)


@pytest.mark.slow
async def test_an_account_goes_over_step_by_step_and_back(
    stack: Stack, database: Database, tmp_path: Path
) -> None:
    account = await first_account(database)
    async with open_books(settings_of(stack, tmp_path)) as books:
        book = books.adoption
        assert book is not None
        with pytest.raises(StoreFault, match="was not adopted"):
            await book.release(account)
        with pytest.raises(AccountGone):
            await book.adopt(NOBODY)
        waiting = await book.adopt(account)
        assert waiting.wait_s is not None
        assert 140 < waiting.wait_s <= 150
        assert await database.sql(ACTIVE) == "f"  # the old worker lets it go at its next sync
        await database.sql(STILL)
        assert (await book.adopt(account)).wait_s is None
        assert (await book.adopt(account)).wait_s is None  # as often as one likes
        assert (await book.release(account)).wait_s is None
        assert await database.sql(ACTIVE) == "t"


@pytest.mark.slow
async def test_the_command_waits_and_says_so(stack: Stack, database: Database, tmp_path: Path) -> None:
    account = await first_account(database)

    def tgworker(*argv: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.defpath,
            "SUPABASE_URL": stack.url,
            "SUPABASE_SERVICE_ROLE_KEY": stack.keys.secret,
            "TGWORKER_DATA_DIR": str(tmp_path),
        }
        return subprocess.run(
            [sys.executable, "-m", "tgworker", "accounts", *argv],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )

    async def ran(*argv: str) -> subprocess.CompletedProcess[str]:
        return await trio.to_thread.run_sync(lambda: tgworker(*argv))

    async def time_passes() -> None:
        while await database.sql(STILL + " where stage = 'adopting' returning 1") == "":
            await trio.sleep(0.1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(time_passes)
        adopted = await ran("adopt", "--account", account)
    assert (adopted.returncode, adopted.stderr) == (0, "")
    first, last = adopted.stdout.splitlines()
    assert first == f"account {account} is being let go: 150 s at least"
    assert last.startswith(f"account {account} is ours")
    finished = await ran("adopt", "--finish", "--json")
    assert json.loads(finished.stdout) == {"finished": [account]}
    released = await ran("release", "--account", account, "--json")
    assert json.loads(released.stdout) == {"account_id": account, "messages": 0}
    assert (await ran("adopt")).returncode == 2
