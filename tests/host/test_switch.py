"""``TGWORKER_TELEGRAM_LOOP``: which loop the lines of a worker run in."""

import pytest
import trio
import trio_asyncio

import tgworker.app.telegram
from tgworker.app.telegram import make_telegram
from tgworker.cli._errors import Usage
from tgworker.cli._telethon import known_telethon
from tgworker.messaging.models import Account, AccountId, Peer, Secret
from tgworker.messaging.outcomes import Sent
from tgworker.sandbox import Sandbox, open_sandbox
from tgworker.settings import TelegramLoop, TelegramServer, TelegramSettings
from tgworker.telegram.host import HostLoop, HostMoved


def wanted(sandbox: Sandbox, loop: TelegramLoop) -> TelegramSettings:
    server = TelegramServer(
        host=sandbox.host, port=sandbox.port, public_key=sandbox.public_key_pem, dc=sandbox.dc
    )
    return TelegramSettings(api_id=1, api_hash=Secret("hash"), server=server, loop=loop)


@pytest.mark.parametrize(
    ("loop", "kind"),
    [(TelegramLoop.OWN, HostLoop), (TelegramLoop.TRIO_ASYNCIO, trio_asyncio.TrioEventLoop)],
)
async def test_a_line_runs_in_the_loop_that_is_asked_for_and_works(loop: TelegramLoop, kind: object) -> None:
    async with open_sandbox(users=2) as sandbox:
        telegram = make_telegram(wanted(sandbox, loop))
        me, other = sandbox.users
        account = Account(AccountId("me"), "owner", None, None, "")
        with trio.fail_after(20):
            async with telegram.open(account, Secret(me.session)) as line:
                assert type(line._loop) is kind
                await line.connect(None, ())
                peer = await line.resolve(f"@{other.username}")
                assert isinstance(peer, Peer)
                assert isinstance(await line.send_text(peer, "hello", random_id=7), Sent)
        assert [line.text for line in sandbox.chat(other.id, me.id)] == ["hello"]


async def test_a_release_that_moved_something_is_a_usage_error_unless_the_stock_loop_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def moved() -> None:
        raise HostMoved("trio-asyncio 9 does not fit")

    monkeypatch.setattr(tgworker.app.telegram, "check_host", moved)
    async with open_sandbox(users=2) as sandbox:
        with pytest.raises(Usage, match="trio-asyncio 9 does not fit"), known_telethon():
            make_telegram(wanted(sandbox, TelegramLoop.OWN))
        with known_telethon():
            make_telegram(wanted(sandbox, TelegramLoop.TRIO_ASYNCIO))
