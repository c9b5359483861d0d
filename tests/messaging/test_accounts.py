"""The account sync: which children are started, stopped and left alone, and when."""

import operator
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from messaging.messaging_fakes import ANNA, BERT, FakeStore, RecordingPulse, Reports, account, growing
from tgworker.messaging.accounts import Hold, changes, run_accounts
from tgworker.messaging.dispatch import Dispatch
from tgworker.messaging.events import AccountChanged, StoreBack, StoreUnavailable
from tgworker.messaging.leases import Nudge
from tgworker.messaging.limits import Limits
from tgworker.messaging.models import Account, AccountId, AccountState, Secret
from tgworker.messaging.same_account import Same, SameAccount
from tgworker.vault import FernetVault, new_key


class FakeChildren:
    """Fills `ports.AccountChildren`; a stop takes a second."""

    def __init__(self) -> None:
        self._running: dict[AccountId, Account] = {}
        self.log: list[tuple[float, str, AccountId]] = []

    def running(self) -> Mapping[AccountId, Account]:
        return dict(self._running)

    def start(self, account: Account) -> None:
        assert account.id not in self._running, "one account, one child"
        self._running[account.id] = account
        self.log.append((trio.current_time(), "start", account.id))

    async def stop(self, account_id: AccountId) -> None:
        await trio.sleep(1)
        self._running.pop(account_id, None)
        self.log.append((trio.current_time(), "stop", account_id))


@dataclass
class Sync:
    """A sync that runs."""

    store: FakeStore
    children: FakeChildren
    dispatch: Dispatch
    pulse: RecordingPulse
    report: Reports
    synced: trio.Event


@asynccontextmanager
async def syncing(
    store: FakeStore,
    children: FakeChildren | None = None,
    holds: Mapping[AccountId, Hold] = MappingProxyType({}),
    nudge: Nudge | None = None,
    same: Same = operator.eq,
) -> AsyncGenerator[Sync]:
    """Run the sync for the length of the block; it is never silent for 60 s."""
    here = Sync(store, children or FakeChildren(), Dispatch(), RecordingPulse(), Reports(), trio.Event())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.pulse.watch)
        await nursery.start(
            partial(
                run_accounts,
                here.pulse,
                store=store,
                children=here.children,
                dispatch=here.dispatch,
                limits=Limits(),
                delays=growing,
                report=here.report,
                synced=here.synced,
                holds=holds,
                nudge=nudge,
                same=same,
            )
        )
        yield here
        nursery.cancel_scope.cancel()


async def test_accounts_are_compared_with_the_table_each_60_s(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore(account(ANNA))
    async with syncing(store) as here:
        await trio.sleep(150)
        store.accounts.append(account(BERT))
        await trio.sleep(50)
        assert store.weather.times("active_accounts") == [0, 60, 120, 180]
        assert here.children.log == [(0, "start", ANNA), (180, "start", BERT)]
        assert set(here.pulse.cycles) == {120}


async def test_an_account_that_is_no_longer_active_is_stopped(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore(account(ANNA), account(BERT))
    async with syncing(store) as here:
        await trio.sleep(1)
        store.accounts = [account(BERT)]
        await trio.sleep(70)
        assert here.children.log[2:] == [(61, "stop", ANNA)]
        assert set(here.children.running()) == {BERT}


async def test_a_changed_account_is_stopped_before_it_is_started_anew(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore(account(ANNA), account(BERT))
    async with syncing(store) as here:
        await trio.sleep(1)
        store.accounts[0] = account(ANNA, token="a new login")
        await trio.sleep(70)
        assert here.children.log[2:] == [(61, "stop", ANNA), (61, "start", ANNA)]
        assert here.children.running()[ANNA].secrets_encrypted == "a new login"


async def test_stopping_many_accounts_is_no_hang(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore(*(account(AccountId(f"account {n}")) for n in range(100)))
    async with syncing(store) as here:
        await trio.sleep(1)
        store.accounts = []
        await trio.sleep(200)  # a second each; the watch fails after 60 s of silence
        assert here.children.running() == {}


async def test_children_go_on_while_the_store_is_away(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore(account(ANNA))
    async with syncing(store) as here:
        await trio.sleep(1)
        store.weather.will("active_accounts", "away", "hang", "away")
        await trio.sleep(149)
        # 60 away; 61 cut at 71; 73 away; 76
        assert store.weather.times("active_accounts") == [0, 60, 61, 73, 76, 136]
        assert here.children.log == [(0, "start", ANNA)]
        assert [event.retry_in_s for event in here.report.of(StoreUnavailable)] == [1, 2, 3]
        assert here.report.of(StoreBack) == [StoreBack("accounts", 16)]


async def test_nothing_is_synced_before_the_store_was_read(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore()
    store.weather.will("active_accounts", "away", "hang")
    async with syncing(store) as here:
        await trio.sleep(12)
        assert not here.synced.is_set()
        await here.synced.wait()
        assert trio.current_time() == 13


async def test_accounts_are_synced_although_the_store_cannot_note_who_is_online(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore(account(ANNA))
    store.weather.will("active_accounts", "away")
    store.weather.will("record_synced", "away", "away")
    async with syncing(store) as here:
        with here.dispatch.open_desk(ANNA):
            await here.synced.wait()
            assert trio.current_time() == 1
            await trio.sleep(10)
            assert store.synced == [(1 + 2 + 3, frozenset({ANNA}))]


async def test_the_store_is_told_who_is_online(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore(account(ANNA), account(BERT))
    async with syncing(store) as here:
        with ExitStack() as online:
            await trio.sleep(1)
            online.enter_context(here.dispatch.open_desk(ANNA))
            await trio.sleep(100)
    assert store.synced == [(60, frozenset({ANNA}))], "nobody was online at 0"


async def test_a_new_incarnation_finds_the_children_of_its_predecessor(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, children = FakeStore(account(ANNA)), FakeChildren()
    async with syncing(store, children):
        await trio.sleep(1)
    async with syncing(store, children):
        await trio.sleep(1)
    assert children.log == [(0, "start", ANNA)]


async def test_an_account_that_starts_last_does_so_at_its_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore(account(ANNA), account(BERT))
    async with syncing(store, holds={ANNA: Hold(30, None)}) as here:
        await here.synced.wait()
        assert trio.current_time() == 0, "nobody waits for it"
        await trio.sleep(100)
        assert here.children.log == [(0, "start", BERT), (30, "start", ANNA)]
        assert store.weather.times("active_accounts") == [0, 30, 90]
        assert [event.reason for event in here.report.of(AccountChanged)] == [None]


async def test_a_quarantined_account_waits_says_why_once_and_is_tried_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore(account(ANNA), account(BERT))
    async with syncing(store, holds={ANNA: Hold(150, "it has frozen the worker")}) as here:
        await trio.sleep(149)
        assert set(here.children.running()) == {BERT}
        assert here.report.of(AccountChanged) == [
            AccountChanged(ANNA, AccountState.WAITING, "it has frozen the worker")
        ]
        assert store.states == [(AccountState.WAITING, "it has frozen the worker", None)]
        await trio.sleep(2)
        assert here.children.log[1:] == [(150, "start", ANNA)]


async def test_why_an_account_waits_is_stored_however_long_the_store_is_away(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = FakeStore(account(ANNA))
    store.weather.will("record_account", "away", "hang")
    async with syncing(store, holds={ANNA: Hold(1000, "it has wedged the worker")}) as here:
        await trio.sleep(1 + 10 + 2)
        assert store.states == []
        await trio.sleep(0.1)
        assert store.states == [(AccountState.WAITING, "it has wedged the worker", None)]
        assert len(here.report.of(AccountChanged)) == 1
        assert here.children.log == []


async def test_a_held_account_that_is_removed_is_forgotten(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore(account(ANNA), account(BERT))
    async with syncing(store, holds={ANNA: Hold(500, "it has frozen the worker")}) as here:
        await trio.sleep(1)
        store.accounts = [account(BERT)]
        await trio.sleep(130)
        assert here.children.log == [(0, "start", BERT), (61, "stop", ANNA)], "once"
        store.accounts = [account(ANNA), account(BERT)]
        await trio.sleep(60)
        assert len(here.report.of(AccountChanged)) == 2, "and told again when it comes back"


async def test_a_hold_of_somebody_else_s_account_is_nothing(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore(account(ANNA))
    async with syncing(store, holds={BERT: Hold(70, "it has frozen the worker")}) as here:
        await trio.sleep(80)
        assert here.report.of(AccountChanged) == []
        assert here.children.log == [(0, "start", ANNA)]


async def test_who_asks_hears_when_the_table_was_followed(autojump_clock: trio.testing.MockClock) -> None:
    store = FakeStore(account(ANNA), account(BERT))
    nudge = Nudge()
    async with syncing(store, nudge=nudge) as here:
        await trio.sleep(10)
        store.accounts = [account(BERT)]
        await nudge.wait_looked()
        # A stop takes a second: who asked is answered when the account is dead, and not before.
        assert (trio.current_time(), here.children.log[2:]) == (11, [(11, "stop", ANNA)])
        await nudge.wait_looked()
        assert trio.current_time() == 11
        assert store.weather.times("active_accounts") == [0, 10, 11]


async def test_who_asks_while_a_look_is_on_its_way_is_answered_by_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, nudge = FakeStore(account(ANNA), account(BERT)), Nudge()
    async with syncing(store, nudge=nudge) as here, trio.open_nursery() as nursery:
        await trio.sleep(10)
        store.accounts = [account(BERT)]
        nursery.start_soon(nudge.wait_looked)
        await trio.sleep(0.5)  # Anna is being stopped: the table was read before what follows
        store.accounts = []
        await nudge.wait_looked()
        assert here.children.log[2:] == [(11, "stop", ANNA), (12, "stop", BERT)]


async def test_who_asks_while_the_store_is_away_is_answered_when_it_is_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, nudge = FakeStore(account(ANNA)), Nudge()
    async with syncing(store, nudge=nudge):
        await trio.sleep(10)
        store.weather.will("active_accounts", "away", "away")
        asked_s = trio.current_time()
        await nudge.wait_looked()
        times = store.weather.times("active_accounts")
        assert (times[1], len(times), times[-1]) == (asked_s, 4, trio.current_time())


async def test_a_session_under_another_key_disturbs_no_account(
    autojump_clock: trio.testing.MockClock,
) -> None:
    old, new = new_key(), new_key()
    before, after, both = FernetVault([old]), FernetVault([new]), CountingVault(FernetVault([new, old]))
    store = FakeStore(account(ANNA, token=before.encrypt("anna")), account(BERT, token=before.encrypt("b")))
    async with syncing(store, same=SameAccount(both)) as here:
        await trio.sleep(10)
        store.accounts[0] = account(ANNA, token=after.encrypt("anna"))
        await trio.sleep(200)
        assert here.children.log == [(0, "start", ANNA), (0, "start", BERT)]
        assert both.decrypted == 2  # once for both tokens, and not at each sync
        store.accounts[0] = account(ANNA, token=after.encrypt("another session"))
        store.accounts[1] = account(BERT, token=FernetVault([new_key()]).encrypt("b"))
        await trio.sleep(60)
        assert [(name, who) for _, name, who in here.children.log[2:]] == [
            ("stop", ANNA),
            ("stop", BERT),
            ("start", ANNA),
            ("start", BERT),
        ]


def test_what_else_changes_in_a_row_is_another_line() -> None:
    vault = FernetVault([new_key()])
    was = account(ANNA, token=vault.encrypt("anna"))
    same = SameAccount(vault)
    assert same(was, replace(was, secrets_encrypted=vault.encrypt("anna")))
    assert not same(was, replace(was, config={"proxy": "socks5://127.0.0.1:1"}))
    anew = replace(was, secrets_encrypted=vault.encrypt("anna"), config={"device_model": "x"})
    assert not same(was, anew)
    assert not same(replace(was, secrets_encrypted="x"), replace(was, secrets_encrypted="y"))


class CountingVault:
    """Counts what is decrypted."""

    def __init__(self, vault: FernetVault) -> None:
        self._vault = vault
        self.decrypted = 0

    def encrypt(self, session: str | Secret) -> str:
        return self._vault.encrypt(session)

    def decrypt(self, token: str) -> Secret:
        self.decrypted += 1
        return self._vault.decrypt(token)


ROWS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["token 1", "token 2"]))


def _accounts(rows: Mapping[str, str]) -> list[Account]:
    return [account(AccountId(name), token=token) for name, token in rows.items()]


@given(wanted=ROWS, there=ROWS)
def test_after_the_changes_exactly_what_should_run_runs_as_it_should(
    wanted: dict[str, str], there: dict[str, str]
) -> None:
    active = _accounts(wanted)
    running = {one.id: one for one in _accounts(there)}
    todo = changes(active, running)
    assert len(set(todo.stop)) == len(todo.stop)
    kept = {key: one for key, one in running.items() if key not in todo.stop}
    assert not {one.id for one in todo.start} & kept.keys(), "nothing is started beside itself"
    assert kept | {one.id: one for one in todo.start} == {one.id: one for one in active}
    for one in active:
        if running.get(one.id) == one:
            assert one.id in kept, "what has not changed is left alone"


@given(rows=ROWS)
def test_no_change_means_nothing_to_do(rows: dict[str, str]) -> None:
    active = _accounts(rows)
    todo = changes(active, {one.id: replace(one) for one in active})
    assert (todo.stop, todo.start) == ((), ())
