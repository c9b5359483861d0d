"""History jobs for whole accounts: the session they ask for, the list they read, what they wait for."""

from dataclasses import replace

import trio
import trio.testing

from messaging.messaging_fakes import ScriptedConnection
from messaging.test_history import chat, job, reader
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.events import HistoryRead
from tgworker.messaging.history_reader import METHOD
from tgworker.messaging.models import AccountHistory, ChatList, HistoryJob
from tgworker.messaging.outcomes import Deferred, HoldsUp, NotYetAllowed, Refused

DAY_S = 86400.0


def whole(history: AccountHistory | None = None, takeout: str | None = None) -> HistoryJob:
    return replace(job("whole"), to="all", peer=None, whole=history or AccountHistory(), takeout=takeout)


def listing(*chat_ids: int, cursor: str | None = None) -> ChatList:
    return ChatList(chat_ids, (), cursor)


async def test_chats_are_listed_in_a_session_and_filed_page_by_page(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.connection.list_script.extend([listing(500, -77, cursor="more"), listing(501)])
        here.desk.hand_over(whole())
        await trio.sleep(1)
        assert here.connection.takeouts == [(0, "open")]
        assert here.store.takeouts == [("whole", "its 77")]
        assert here.connection.listed == [(0, None, 77), (0, "more", 77)]
        assert here.store.filed == [("whole", (500, -77), "more"), ("whole", (501,), None)]
        # It is let go: whoever claims it again, once its chats have ended, finishes it.
        assert (list(here.desk.jobs), here.store.finished) == ([], [])
        assert here.report.of(HistoryRead) == []


async def test_the_session_is_finished_once_all_chats_have_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.desk.hand_over(whole(AccountHistory(is_listed=True, failed=1), takeout="its 91"))
        await trio.sleep(1)
        assert here.connection.takeouts == [(0, "close 91 True")]
        assert here.store.finished == [("whole", None)]


async def test_whoever_takes_it_over_goes_on_with_the_list_in_the_same_session(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.connection.list_script.append(listing(9))
        here.desk.hand_over(whole(AccountHistory("place"), takeout="its 91"))
        await trio.sleep(1)
        assert (here.connection.takeouts, here.connection.listed) == ([], [(0, "place", 91)])


async def test_an_export_that_is_not_allowed_yet_holds_nothing_up_and_is_asked_for_every_five_minutes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.connection.takeout_script.append(NotYetAllowed(DAY_S, "TAKEOUT_INIT_DELAY_86400"))
        here.connection.chat = chat(1)
        here.desk.hand_over(whole())
        here.desk.hand_over(job("next"))
        await trio.sleep(1)
        ((job_id, seconds, note),) = here.store.put_off
        assert (job_id, seconds) == ("whole", 300)
        assert note == (
            "TAKEOUT_INIT_DELAY_86400: Telegram lets this login export the account from 2026-11-27 00:00 UTC"
            " on; allow it in Telegram's message on another device of the account, and it begins within 5"
            " minutes"
        )
        assert here.store.finished == [("next", None)]
        assert here.connection.listed == []


async def test_the_last_wait_is_no_longer_than_telegram_s(autojump_clock: trio.testing.MockClock) -> None:
    async with reader() as here:
        here.connection.takeout_script.append(NotYetAllowed(12, "TAKEOUT_INIT_DELAY_12"))
        here.desk.hand_over(whole())
        await trio.sleep(1)
        assert [seconds for _, seconds, _ in here.store.put_off] == [12]


async def test_where_no_session_is_to_be_had_the_chats_are_read_without_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.connection.takeout_script.append(Refused("TAKEOUT_NOT_NOW"))
        here.connection.list_script.append(listing(500))
        here.desk.hand_over(whole())
        await trio.sleep(1)
        assert here.connection.listed == [(0, None, None)]
        assert (here.store.takeouts, here.store.filed) == ([], [("whole", (500,), None)])


async def test_a_bot_is_told_that_it_cannot(autojump_clock: trio.testing.MockClock) -> None:
    async with reader() as here:
        here.connection.takeout_script.append(Refused("BOT_METHOD_INVALID"))
        here.connection.list_script.append(Refused("BOT_METHOD_INVALID"))
        here.desk.hand_over(whole())
        await trio.sleep(1)
        words = "BOT_METHOD_INVALID: Telegram lets bots read no histories: ask with a user's account"
        assert here.store.finished == [("whole", words)]


async def test_the_session_of_a_job_that_the_application_has_ended_is_finished(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.desk.hand_over(whole(AccountHistory(is_listed=True, is_ended=True), takeout="its 91"))
        await trio.sleep(1)
        assert here.connection.takeouts == [(0, "close 91 False")]
        assert (here.store.takeouts, here.store.finished) == ([("whole", None)], [])
        assert list(here.desk.jobs) == []


async def test_a_list_that_is_refused_ends_the_job_and_its_session(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.connection.list_script.append(Refused("SOMETHING_WRONG"))
        here.desk.hand_over(whole())
        await trio.sleep(1)
        assert here.connection.takeouts == [(0, "open"), (0, "close 77 False")]
        assert here.store.finished == [("whole", "SOMETHING_WRONG")]


async def test_a_bug_ends_the_job_and_its_session(autojump_clock: trio.testing.MockClock) -> None:
    async with reader() as here:
        here.connection.list_script.append(LookupError("a text that nobody may read"))
        here.desk.hand_over(whole())
        await trio.sleep(1)
        assert [what for _, what in here.connection.takeouts] == ["open", "close 77 False"]
        assert here.store.finished == [("whole", "a bug, report it: LookupError")]


async def test_a_line_that_breaks_leaves_it_and_its_session_to_the_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.connection.list_script.append(TelegramAway("the line broke"))
        here.desk.hand_over(whole())
        await trio.sleep(1)
        assert [str(each) for each in here.ended] == ["the line broke"]
        assert [what for _, what in here.connection.takeouts] == ["open"]
        assert (here.store.finished, [each.id for each in here.desk.jobs]) == ([], ["whole"])


async def test_one_that_loses_its_line_each_time_is_given_up_and_its_session_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.desk.hand_over(replace(whole(takeout="its 91"), tries=10))
        await trio.sleep(1)
        assert here.connection.takeouts == [(0, "close 91 False")]
        assert here.store.finished[0][1] is not None


async def test_an_announced_wait_for_the_list_is_waited_out(autojump_clock: trio.testing.MockClock) -> None:
    async with reader() as here:
        here.connection.list_script.extend([Deferred(17, "FLOOD_WAIT_17", HoldsUp.METHOD), listing(5)])
        here.desk.hand_over(whole())
        await trio.sleep(100)
        assert [at for at, _, _ in here.connection.listed] == [0, 17]
        # (Histories have a wait of their own.)
        assert here.gate.wait_of(METHOD) is None


async def test_a_chat_is_read_in_the_session_and_without_it_once_another_export_took_its_place(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader(ScriptedConnection()) as here:
        here.connection.chat = chat(*range(1, 251))
        one = replace(job(limit=250), part_of=whole().id, takeout="its 91")
        here.connection.page_script.append(Refused("TAKEOUT_INVALID"))
        here.desk.hand_over(one)
        await trio.sleep(1)
        assert here.connection.read_in == [91, None, None, None]
        assert here.store.takeouts == [("job", None)]
        assert (here.store.finished, len(here.store.history)) == ([("job", None)], 250)


async def test_a_session_that_opens_under_no_key_is_done_without(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with reader() as here:
        here.connection.chat = chat(1)
        here.desk.hand_over(replace(job(), part_of=whole().id, takeout="under a key that is gone"))
        await trio.sleep(1)
        assert set(here.connection.read_in) == {None}
        assert here.store.finished == [("job", None)]
