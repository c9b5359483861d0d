"""Logging in: every way, every no, and what is left behind when nobody finishes."""

import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import pytest
import trio
from telethon.network import authenticator
from trio.testing import MockClock

from telegram.telegram_world import World, open_world
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.logging_in import (
    CodeSent,
    LoggedIn,
    LoginRefused,
    PasswordNeeded,
    Problem,
    QrCode,
    WrongAnswer,
    log_in,
)
from tgworker.messaging.models import Secret
from tgworker.sandbox import Fault
from tgworker.telegram import ConfigUnusable
from tgworker.telegram.login import STEP_S, TelethonLogin
from tgworker.telegram.login_errors import SIGN_UP

T = TypeVar("T")

CODE, WRONG = Secret("12345"), Secret("99999")
PASSWORD = "open sesame"


@pytest.fixture
async def world(autojump_clock: MockClock) -> AsyncGenerator[World]:
    began = time.time()
    async with open_world(more_dcs=[4], calendar=lambda: began + trio.current_time()) as world:
        yield world


async def on_the_spot(function: Callable[[], T]) -> T:
    return function()


def begin(world: World) -> AbstractAsyncContextManager[TelethonLogin]:
    return world.telegram.open_login({}, run_sync=on_the_spot)


class Person:
    """Answers from lists; remembers what was asked."""

    def __init__(
        self,
        world: World,
        *,
        codes: Iterable[str] = (),
        passwords: Iterable[str] = (),
        scans: int = 0,
    ) -> None:
        self.world, self.codes, self.passwords, self.scans = world, iter(codes), iter(passwords), scans
        self.asked: list[object] = []
        self.shown: list[QrCode] = []

    async def code(self, sent: CodeSent, problem: Problem | None) -> Secret:
        self.asked.append(problem or sent)
        return Secret(next(self.codes))

    async def password(self, needed: PasswordNeeded, problem: Problem | None) -> Secret:
        self.asked.append(problem or needed)
        return Secret(next(self.passwords))

    async def show(self, qr: QrCode) -> None:
        self.shown.append(qr)
        if len(self.shown) == self.scans:
            self.world.sandbox.scan(self.world.id(0), qr.url)


def refused(step: object) -> str:
    assert isinstance(step, LoginRefused), step
    return step.reason


async def whose(world: World, session: Secret) -> int:
    return (await world.telegram.describe_session(session)).me.chat_id


async def test_phone_and_code(autojump_clock: MockClock, world: World) -> None:
    before = world.sandbox.logins(world.id(0))
    async with world.telegram.open_login({"device_model": "Desk"}, run_sync=on_the_spot) as login:
        sent = await login.send_code(f"+{world.sandbox.users[0].phone}")
        assert sent == CodeSent("in the Telegram app, on another device", 5)
        step = await login.sign_in(CODE)
        assert isinstance(step, LoggedIn)
        assert step.me.chat_id == world.id(0)
        login.keep()
    assert world.sandbox.logins(world.id(0)) == before + 1
    assert await whose(world, step.session) == world.id(0)
    assert step.session.value not in repr(step)
    assert trio.current_time() == 0


@pytest.mark.slow
async def test_a_two_step_password(autojump_clock: MockClock, world: World) -> None:
    world.sandbox.set_password(world.id(0), PASSWORD, hint="what opens?")
    person = Person(world, codes=["1", "12345"], passwords=["open barley", PASSWORD])
    async with begin(world) as login:
        step = await log_in(login, person, phone=world.sandbox.users[0].phone)
        assert isinstance(step, LoggedIn)
        login.keep()
    assert person.asked == [
        CodeSent("in the Telegram app, on another device", 5),
        Problem("this is not the code (PHONE_CODE_INVALID)", 2),
        PasswordNeeded("what opens?"),
        Problem("this is not the password (PASSWORD_HASH_INVALID)", 2),
    ]
    assert "what opens?" not in repr(person.asked)
    assert await whose(world, step.session) == world.id(0)


async def test_a_qr_code_is_shown_anew_until_it_is_scanned(autojump_clock: MockClock, world: World) -> None:
    world.sandbox.behave(login_token_lives_s=10)
    person = Person(world, scans=3)
    async with begin(world) as login:
        step = await log_in(login, person, phone=None)
        assert isinstance(step, LoggedIn)
        login.keep()
    assert len({qr.url for qr in person.shown}) == 3
    assert 17 <= trio.current_time() <= 21  # two of them ran out; the third was noticed at once
    assert person.shown[0].url not in repr(person.shown)
    assert await whose(world, step.session) == world.id(0)


async def test_a_qr_code_of_somebody_with_a_password(autojump_clock: MockClock, world: World) -> None:
    world.sandbox.set_password(world.id(0), PASSWORD)
    person = Person(world, scans=1, passwords=[PASSWORD])
    async with begin(world) as login:
        assert isinstance(await log_in(login, person, phone=None), LoggedIn)


async def test_a_scan_that_is_not_told_is_found_out_when_the_code_has_run_out(
    autojump_clock: MockClock, world: World
) -> None:
    world.sandbox.behave(login_token_lives_s=10)
    world.sandbox.faults.set(Fault("deaf", method="push"))
    async with begin(world) as login:
        assert isinstance(await log_in(login, Person(world, scans=1), phone=None), LoggedIn)
    assert 8 <= trio.current_time() <= 11


@pytest.mark.parametrize("by_qr", [False, True])
async def test_the_login_moves_to_the_data_centre_where_the_account_lives(
    autojump_clock: MockClock, world: World, by_qr: bool
) -> None:
    world.sandbox.move_user(world.id(0), 4)
    person = Person(world, codes=["12345"], scans=1)
    async with begin(world) as login:
        step = await log_in(login, person, phone=None if by_qr else world.sandbox.users[0].phone)
        assert isinstance(step, LoggedIn)
        login.keep()
    assert await whose(world, step.session) == world.id(0)  # its own key, at its own address


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("flood_wait", "auth.sendCode", seconds=7500), "before 2 h 5 min have passed"),
        (Fault("flood_wait", "auth.sendCode", seconds=61), "before 61 s have passed"),
        (Fault("flood_wait", "auth.sendCode", seconds=3000), "before 50 min have passed"),
        (Fault("rpc_error", "auth.sendCode", message="PHONE_NUMBER_FLOOD"), "try again in a day"),
        (Fault("rpc_error", "auth.sendCode", message="API_ID_INVALID"), "https://my.telegram.org"),
        (Fault("rpc_error", "auth.sendCode", code=500, message="INTERNAL"), "trouble of its own"),
        (Fault("rpc_error", "auth.sendCode", message="NEVER_HEARD_OF"), "refused the login: NEVER_HEARD_OF"),
    ],
)
async def test_a_no_to_the_number_says_what_to_do(
    autojump_clock: MockClock, world: World, fault: Fault, reason: str
) -> None:
    world.sandbox.faults.set(fault)
    async with begin(world) as login:
        said = refused(await login.send_code(world.sandbox.users[0].phone))
    assert reason in said
    assert world.sandbox.users[0].phone not in said
    assert "\n" not in said


async def test_numbers_that_nobody_can_log_in_with(autojump_clock: MockClock, world: World) -> None:
    banned = world.sandbox.users[1]
    world.sandbox.revoke(banned.id, "USER_DEACTIVATED_BAN")
    async with begin(world) as login:
        assert "with its country code" in refused(await login.send_code("1"))
        assert "https://telegram.org/support" in refused(await login.send_code(banned.phone))
        assert isinstance(await login.send_code("+999660000000"), CodeSent)
        assert refused(await login.sign_in(CODE)) == SIGN_UP


@pytest.mark.slow
async def test_three_wrong_codes_and_three_wrong_passwords(autojump_clock: MockClock, world: World) -> None:
    phone = world.sandbox.users[0].phone
    async with begin(world) as login:
        step = await log_in(login, Person(world, codes="123"), phone=phone)
        assert refused(step).startswith("3 wrong codes: begin again")
    world.sandbox.set_password(world.id(0), PASSWORD)
    before = world.sandbox.logins(world.id(0))
    async with begin(world) as login:
        step = await log_in(login, Person(world, codes=["12345"], passwords="123"), phone=phone)
        assert refused(step).startswith("3 wrong passwords: what is asked for is the two-step")
    assert world.sandbox.logins(world.id(0)) == before


async def test_a_code_that_is_too_old(autojump_clock: MockClock, world: World) -> None:
    world.sandbox.behave(login_code_lives_s=20)
    async with begin(world) as login:
        await login.send_code(world.sandbox.users[0].phone)
        await trio.sleep(20)
        assert "too old" in refused(await login.sign_in(CODE))


@pytest.mark.slow
async def test_a_password_question_that_was_forgotten_is_asked_once_more(
    autojump_clock: MockClock, world: World
) -> None:
    world.sandbox.set_password(world.id(0), PASSWORD)
    async with begin(world) as login:
        await half(world, login)
        world.sandbox.faults.set(Fault("rpc_error", "auth.checkPassword", message="SRP_ID_INVALID", count=1))
        assert isinstance(await login.check_password(Secret(PASSWORD)), LoggedIn)


async def half(world: World, login: TelethonLogin) -> None:
    await login.send_code(world.sandbox.users[0].phone)
    assert isinstance(await login.sign_in(CODE), PasswordNeeded)


async def test_a_login_that_nobody_keeps_is_undone_at_telegram(
    autojump_clock: MockClock, world: World
) -> None:
    before = world.sandbox.logins(world.id(0))
    async with begin(world) as login:
        await login.send_code(world.sandbox.users[0].phone)
        assert isinstance(await login.sign_in(CODE), LoggedIn)
    assert world.sandbox.logins(world.id(0)) == before
    world.sandbox.set_password(world.id(0), PASSWORD)
    with trio.CancelScope() as scope:  # cancelled half-way: what a person's Ctrl-C does
        async with begin(world) as login:
            await half(world, login)
            assert world.sandbox.logins(world.id(0)) == before + 1
            scope.cancel()
            await trio.sleep_forever()
    assert world.sandbox.logins(world.id(0)) == before
    async with begin(world) as login:
        await login.send_code(world.sandbox.users[0].phone)
    assert world.sandbox.statistics().requests["auth.cancelCode"] == 1
    assert trio.current_time() == 0


async def test_telegram_that_does_not_answer_is_left_after_its_time(
    autojump_clock: MockClock, world: World
) -> None:
    world.sandbox.faults.set(Fault("blackhole", method="raw"))
    with pytest.raises(TelegramAway, match="did not answer within 30 s"):
        async with begin(world) as login:
            await login.send_code(world.sandbox.users[0].phone)
    assert trio.current_time() == STEP_S


async def test_leaving_takes_no_longer_than_its_time_when_telegram_is_gone(
    autojump_clock: MockClock, world: World
) -> None:
    async with begin(world) as login:
        await login.send_code(world.sandbox.users[0].phone)
        await login.sign_in(CODE)
        world.sandbox.faults.set(Fault("blackhole", method="raw"))
    assert trio.current_time() == 5


async def test_a_line_that_breaks_while_a_person_looks_for_the_code_is_made_anew(
    autojump_clock: MockClock, world: World
) -> None:
    async with begin(world) as login:
        await login.send_code(world.sandbox.users[0].phone)
        world.sandbox.drop_connections()
        await trio.sleep(1)
        step = await login.sign_in(WRONG)
        assert isinstance(step, WrongAnswer)
        world.sandbox.drop_connections()
        await trio.sleep(1)
        assert isinstance(await login.sign_in(CODE), LoggedIn)


async def test_a_key_that_could_not_be_made_is_made_again(
    autojump_clock: MockClock, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = authenticator.do_authentication, iter([True, True, False])

    async def clumsy_aio(sender: Any) -> Any:
        assert not next(failures), "Step 3.2 answer was DhGenRetry"
        return await real(sender)

    monkeypatch.setattr(authenticator, "do_authentication", clumsy_aio)
    async with begin(world) as login:
        assert isinstance(await login.send_code(world.sandbox.users[0].phone), CodeSent)


async def test_a_config_that_cannot_be_done_is_refused_before_anything(
    autojump_clock: MockClock, world: World
) -> None:
    with pytest.raises(ConfigUnusable, match=r"config\.device_model must be a text"):
        async with world.telegram.open_login({"device_model": 1}):
            pass
    assert world.sandbox.statistics().connections == 0
