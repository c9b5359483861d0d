"""``accounts adopt`` and ``release``: a handover waits until the other side has certainly let go."""

import base64
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stack_kit import Database, made_template
from supabase.stack_world import settings_of
from supabase_schema.rpc_kit import migrations
from tgworker.app.books import open_books
from tgworker.devstack import Cluster, Stack
from tgworker.messaging.errors import AccountGone, StoreFault
from tgworker.messaging.models import AccountId
from tgworker.vault import FernetVault, new_key

INBOX = Path(__file__).parents[1] / "supabase_schema/inbox.sql"
SESSION = (
    "1"
    + base64.urlsafe_b64encode(struct.pack(">B4sH256s", 2, bytes([127, 0, 0, 1]), 443, b"k" * 256)).decode()
)
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


class Commands:
    """``accounts`` as a person calls it, in a process of its own."""

    def __init__(self, stack: Stack, database: Database, folder: Path) -> None:
        self.key = new_key()
        self.environment = {
            "PATH": os.defpath,
            "ENCRYPTION_KEY": self.key.value,
            "SUPABASE_URL": stack.url,
            "SUPABASE_SERVICE_ROLE_KEY": stack.keys.secret,
            "TGWORKER_DATA_DIR": str(folder),
        }
        self._database = database
        self._folder = folder

    async def __call__(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run one; ``more`` goes into its environment."""
        return await trio.to_thread.run_sync(
            lambda: subprocess.run(
                [sys.executable, "-m", "tgworker", "accounts", *argv],
                env=self.environment | more,
                cwd=self._folder,
                capture_output=True,
                text=True,
                timeout=40,
                check=False,
            )
        )

    async def adopt(self, account: AccountId, **more: str) -> subprocess.CompletedProcess[str]:
        """Adopt an account whose old worker lets it go at once, by the database's clock."""

        async def time_passes() -> None:
            while await self._database.sql(STILL + " where stage = 'adopting' returning 1") == "":
                await trio.sleep(0.1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(time_passes)
            return await self("adopt", "--account", account, **more)


@pytest.fixture
def accounts(stack: Stack, database: Database, tmp_path: Path) -> Commands:
    return Commands(stack, database, tmp_path)


def sealed(session: str, key: bytes) -> str:
    """As an application does it: base64 of nonce, ciphertext and tag."""
    nonce = os.urandom(12)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, session.encode(), None)).decode()


@pytest.mark.slow
async def test_the_command_waits_and_says_so(database: Database, accounts: Commands) -> None:
    account = await first_account(database)
    stored = FernetVault([accounts.key]).encrypt(SESSION)
    await database.sql(
        f"update integration_accounts set secrets_encrypted = '{stored}' where id = '{account}'"
    )
    adopted = await accounts.adopt(account)
    assert (adopted.returncode, adopted.stderr) == (0, "")
    first, last = adopted.stdout.splitlines()
    assert first == f"account {account} is being let go: 150 s at least"
    assert last.startswith(f"account {account} is ours")
    assert "anew" not in last
    finished = await accounts("adopt", "--finish", "--json")
    assert json.loads(finished.stdout) == {"finished": [account]}
    released = await accounts("release", "--account", account, "--json")
    assert json.loads(released.stdout) == {
        "account_id": account,
        "messages": 0,
        "newer_session_stays": False,
    }
    assert (await accounts("adopt")).returncode == 2


EVERYTHING = (
    "select (select jsonb_agg(a order by id) from integration_accounts a)::text"
    " || (select coalesce(jsonb_agg(t), '[]') from tgworker_accounts t)::text"
)


@pytest.mark.slow
async def test_a_session_that_the_application_encrypts_its_own_way_is_encrypted_anew_and_found_again(
    stack: Stack, database: Database, accounts: Commands, tmp_path: Path
) -> None:
    account = await first_account(database)
    key, another = bytes(range(32)), bytes(32)
    stored = sealed(SESSION, key)
    column = f"select secrets_encrypted from integration_accounts where id = '{account}'"

    async def store(text: str) -> None:
        await database.sql(
            f"update integration_accounts set secrets_encrypted = '{text}' where id = '{account}'"
        )

    form = {"TGWORKER_ADOPT_FORMAT": "aes-256-gcm"}
    # A wrong key, a damaged session, none, one that is no session, and nobody said how: nothing is changed.
    for text, more, why in (
        (stored, {**form, "TGWORKER_ADOPT_KEY": another.hex()}, "does not open as TGWORKER_ADOPT_FORMAT"),
        (stored[:60], {**form, "TGWORKER_ADOPT_KEY": key.hex()}, "does not open as TGWORKER_ADOPT_FORMAT"),
        ("", {**form, "TGWORKER_ADOPT_KEY": key.hex()}, "stored no session"),
        (sealed("{}", key), {**form, "TGWORKER_ADOPT_KEY": key.hex()}, "no Telethon StringSession"),
        (stored, {}, "say with TGWORKER_ADOPT_FORMAT"),
    ):
        await store(text)
        before = await database.sql(EVERYTHING)
        refused = await accounts("adopt", "--account", account, **more)
        assert (refused.returncode, refused.stdout) == (2, "")
        (line,) = refused.stderr.splitlines()
        assert line.startswith(f"tgworker: account {account} is not adopted: ")
        assert why in line
        assert SESSION not in line
        assert key.hex() not in line
        assert await database.sql(EVERYTHING) == before

    await store(stored)
    adopted = await accounts.adopt(account, **form, TGWORKER_ADOPT_KEY=key.hex())
    assert (adopted.returncode, adopted.stderr) == (0, "")
    assert "is ours; its session was encrypted anew" in adopted.stdout
    # The application's column is as it was; a worker with our key alone reads the session.
    assert await database.sql(column) == stored
    async with open_books(settings_of(stack, tmp_path)) as books:
        record = await books.accounts.find_account(account)
        assert record is not None
        token = record.account.secrets_encrypted
    assert FernetVault([accounts.key]).decrypt(token).value == SESSION
    # As often as one likes, and the application's key is needed no more.
    again = await accounts("adopt", "--account", account, "--json")
    assert json.loads(again.stdout) == {"account_id": account, "messages": 0, "encrypted_anew": False}
    released = await accounts("release", "--account", account)
    assert released.returncode == 0
    assert await database.sql(column) == stored


@pytest.mark.slow
async def test_a_function_of_ones_own_reads_what_no_named_form_does(
    stack: Stack, database: Database, accounts: Commands, tmp_path: Path
) -> None:
    account = await first_account(database)
    async with open_books(settings_of(stack, tmp_path)) as books:
        assert books.adoption is not None
        await books.adoption.adopt(account)
        await database.sql(STILL)
        await books.adoption.adopt(account)  # ours already, by a worker that could not read its session
    await database.sql(
        f"update integration_accounts set secrets_encrypted = 'v1:{SESSION[::-1]}' where id = '{account}'"
    )
    (tmp_path / "inbox_sessions.py").write_text(
        "def open_session(stored, key):\n"
        "    version, _, text = stored.partition(':')\n"
        "    assert (version, key) == ('v1', 'mirror')\n"
        "    return text[::-1]\n"
    )
    key = {"TGWORKER_ADOPT_KEY": "mirror"}
    missing = await accounts(
        "adopt", "--account", account, TGWORKER_ADOPT_FORMAT="inbox_sessions:open", **key
    )
    assert missing.returncode == 2
    assert missing.stderr == (
        "tgworker: TGWORKER_ADOPT_FORMAT names a function that its module does not have: "
        "give fernet, aes-256-gcm or module:function\n"
    )
    adopted = await accounts(
        "adopt", "--account", account, TGWORKER_ADOPT_FORMAT="inbox_sessions:open_session", **key
    )
    assert "encrypted anew" in adopted.stdout, adopted.stderr
