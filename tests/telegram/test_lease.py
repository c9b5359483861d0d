"""An account that is no more ours: nothing is written to its line, whoever wants to, and the line is over."""

from collections.abc import AsyncGenerator

import pytest
import trio
from trio.testing import MockClock

from telegram.telegram_world import World, open_world
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.models import AccountId
from tgworker.messaging.outcomes import Released, Unknown


class Lease:
    """Whose the account is."""

    def __init__(self) -> None:
        self.ours = True
        self.asked: set[AccountId] = set()

    def __call__(self, account_id: AccountId) -> bool:
        self.asked.add(account_id)
        return self.ours


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    async with open_world() as world:
        yield world


@pytest.fixture
def lease(world: World) -> Lease:
    lease = Lease()
    world.telegram._may_write = lease
    return lease


async def test_once_the_lease_has_run_out_no_message_leaves_and_the_line_is_lost(
    autojump_clock: MockClock, world: World, lease: Lease
) -> None:
    async with world.online(0) as line:
        peer = await world.peer(line, 1)
        await line.send_text(peer, "ours", random_id=1)
        lease.ours = False
        outcome = await line.send_text(peer, "theirs by now", random_id=2)
        assert isinstance(outcome, Unknown | Released)
        with trio.fail_after(1):
            await line.wait_lost()
        with pytest.raises(TelegramAway):
            await line.ping()
        lease.ours = True  # a line that is over stays so
        assert isinstance(await line.send_text(peer, "too late", random_id=3), Released)
    assert world.texts(1, 0) == ["ours"]
    assert lease.asked == {world.account(0).id}


async def test_no_line_is_made_without_a_lease(autojump_clock: MockClock, world: World, lease: Lease) -> None:
    lease.ours = False
    async with world.open(0) as line:
        with pytest.raises(TelegramAway):
            await line.connect(None, [])
    assert trio.current_time() == 0
