"""Login requests on a clock: the loop and its conversations over a real store, and a scripted Telegram."""

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from contracts.store_kit import OWNER
from embedded.embedded_kit import EmbeddedKit, open_kit
from messaging.messaging_fakes import RecordingPulse, Reports, Weather, growing
from tgworker.messaging.bell import Bell
from tgworker.messaging.errors import AccountRefused, TelegramAway
from tgworker.messaging.events import LoginEnded, StoreBack
from tgworker.messaging.limits import Limits
from tgworker.messaging.logging_in import (
    CodeSent,
    LoggedIn,
    LoginRefused,
    PasswordNeeded,
    QrCode,
    WrongAnswer,
)
from tgworker.messaging.login_ports import LoginId, LoginNews, LoginRequest, LoginState
from tgworker.messaging.login_requests import NO_METHOD, NO_NAME, NO_PHONE, TOO_LONG, run_logins
from tgworker.messaging.models import AccountId, AccountState, Peer, PeerKind, Secret

TICKET = "70000000-0000-4000-8000-000000000001"
ADA = LoggedIn(Secret("the session"), Peer(7, PeerKind.USER, is_self=True, phone="442079460018"))
SENT = CodeSent("in the Telegram app", 5)
PHONE = "+44 20 7946 0018"

T = TypeVar("T")


class ScriptedLine:
    """Fills `LoginLine`: each step answers what is next in the script; ``None`` hangs."""

    def __init__(self, script: deque[Any]) -> None:
        self._script = script
        self.heard: list[tuple[str, str | None]] = []
        self.kept = False
        self.left_at: float | None = None

    async def send_code(self, phone: str) -> Any:
        return await self._step("phone", phone)

    async def sign_in(self, code: Secret) -> Any:
        return await self._step("code", code.value)

    async def check_password(self, password: Secret) -> Any:
        return await self._step("password", password.value)

    async def import_token(self, token: Secret) -> Any:
        return await self._step("token", token.value)

    async def show_qr(self) -> Any:
        return await self._step("qr", None)

    async def wait_scanned(self) -> None:
        await trio.sleep(5)

    def keep(self, *, stays: bool = True) -> None:
        self.kept = stays

    async def _step(self, kind: str, value: str | None) -> Any:
        self.heard.append((kind, value))
        await trio.lowlevel.checkpoint()
        step = self._script.popleft()
        if step is None:
            await trio.sleep_forever()
        if isinstance(step, Exception):
            raise step
        return step


class Door:
    """Fills `LoginDoor`."""

    def __init__(self) -> None:
        self.script: deque[Any] = deque()
        self.lines: list[ScriptedLine] = []
        self.configs: list[Mapping[str, Any]] = []

    @asynccontextmanager
    async def open_login(self, config: Mapping[str, Any]) -> AsyncGenerator[ScriptedLine]:
        self.configs.append(config)
        if "proxy" in config:
            raise AccountRefused(AccountState.NEEDS_LOGIN, "config.proxy: that is none")
        line = ScriptedLine(self.script)
        self.lines.append(line)
        try:
            yield line
        finally:
            line.left_at = trio.current_time()


class Sealed:
    """Fills `Sealer`."""

    def encrypt(self, session: Secret) -> str:
        return f"sealed {len(session.value)}"


class Weathered:
    """A real store behind a scripted weather. Fills `LoginStore`."""

    def __init__(self, kit: EmbeddedKit) -> None:
        self.store, self.weather = kit.store, Weather()

    async def count_logins(self) -> int:
        return await self._face("count", self.store.count_logins)

    async def claim_logins(
        self, ticket: str, *, known: Collection[LoginId], limit: int
    ) -> list[LoginRequest]:
        claim = partial(self.store.claim_logins, ticket, known=known, limit=limit)
        return list(await self._face("claim", claim))

    async def tell_login(self, ticket: str, login_id: LoginId, news: LoginNews) -> None:
        await self._face("tell", partial(self.store.tell_login, ticket, login_id, news))

    async def take_answer(self, ticket: str, login_id: LoginId) -> Secret | None:
        return await self._face("take", partial(self.store.take_answer, ticket, login_id))

    async def end_login(self, ticket: str, login_id: LoginId, state: LoginState, error: str) -> None:
        await self._face("end", partial(self.store.end_login, ticket, login_id, state, error))

    async def store_login(
        self, ticket: str, login_id: LoginId, secrets_encrypted: str, *, user_id: int, phone: str | None
    ) -> AccountId:
        keep = partial(
            self.store.store_login, ticket, login_id, secrets_encrypted, user_id=user_id, phone=phone
        )
        return await self._face("store", keep)

    async def _face(self, operation: str, call: Callable[[], Awaitable[T]]) -> T:
        """``lost``: the store has done it, and its answer does not arrive."""
        await self.weather.face(f"{operation} before", lambda: None)
        result = await call()
        await self.weather.face(f"{operation} after", lambda: None)
        return result


class Room:
    def __init__(self, kit: EmbeddedKit) -> None:
        self.kit, self.store, self.door = kit, Weathered(kit), Door()
        self.report, self.pulse = Reports(), RecordingPulse()
        self.added: list[float] = []
        self.bell = Bell()
        self.began = trio.current_time()

    def ask(self, **columns: Any) -> LoginId:
        wanted = {"owner_id": OWNER, "phone": PHONE, **columns}
        wanted.setdefault("created_at", self.kit.calendar.today.isoformat())
        return LoginId(self.kit.app.insert("tgworker_login_requests", **wanted))

    def answer(self, login: LoginId, **columns: Any) -> None:
        self.kit.app.update("tgworker_login_requests", login, **columns)

    def row(self, login: LoginId) -> Mapping[str, Any]:
        row = self.kit.app.row("tgworker_login_requests", login)
        assert row is not None
        return row

    @property
    def ended(self) -> list[tuple[float, str, str | None]]:
        return [
            (round(at - self.began, 6), e.state, e.error)
            for at, e in self.report.at
            if isinstance(e, LoginEnded)
        ]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await run_logins(
            self.pulse,
            store=self.store,
            door=self.door,
            vault=Sealed(),
            tickets=lambda: TICKET,
            bell=self.bell,
            limits=Limits(jobs_every_s=1),
            delays=growing,
            report=self.report,
            added=lambda: self.added.append(round(trio.current_time() - self.began, 6)),
            task_status=task_status,
        )


@pytest.fixture
async def room(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> AsyncGenerator[Room]:
    with open_kit(tmp_path / "data") as kit:
        room = Room(kit)
        async with trio.open_nursery() as nursery:
            await nursery.start(room.run)
            nursery.start_soon(room.pulse.watch)
            yield room
            nursery.cancel_scope.cancel()


async def test_phone_code_and_password_through_the_row(
    autojump_clock: trio.testing.MockClock, room: Room
) -> None:
    room.door.script += [SENT, WrongAnswer("not the code"), PasswordNeeded("what opens?"), ADA]
    await trio.sleep(0.5)
    login = room.ask(name="ada", config='{"device_model": "Desk"}')
    await trio.sleep(1)
    assert (room.row(login)["state"], room.row(login)["hint"]) == ("code_sent", "in the Telegram app")
    room.answer(login, code="11111")
    await trio.sleep(1)
    found = room.row(login)
    assert (found["state"], found["code"], found["error"], found["tries_left"]) == (
        "code_sent",
        None,
        "not the code",
        2,
    )
    room.answer(login, code=" ")  # a form that was sent empty
    await trio.sleep(1)
    assert (room.row(login)["state"], room.row(login)["tries_left"]) == ("code_sent", 2)
    room.answer(login, code=" 123-45 ")
    await trio.sleep(1)
    assert (room.row(login)["state"], room.row(login)["hint"]) == ("password_needed", "what opens?")
    room.answer(login, password="open sesame")
    await trio.sleep(1)
    assert room.row(login)["state"] == "done"
    (account,) = await room.kit.store.active_accounts()
    assert (account.id, account.secrets_encrypted) == (room.row(login)["integration_account_id"], "sealed 11")
    (line,) = room.door.lines
    assert line.heard == [
        ("phone", "442079460018"),
        ("code", "11111"),
        ("code", "12345"),
        ("password", "open sesame"),
    ]
    assert line.kept
    assert room.door.configs == [{"device_model": "Desk"}]
    assert room.ended == [(5.0, "done", None)]
    assert room.added == [5.0]
    told = repr(room.report.at)
    assert not [secret for secret in ("12345", "sesame", "what opens", "the session") if secret in told]


async def test_a_qr_code_is_shown_until_it_is_scanned(
    autojump_clock: trio.testing.MockClock, room: Room
) -> None:
    room.door.script += [QrCode("tg://login?token=a", 5), QrCode("tg://login?token=b", 5), ADA]
    login = room.ask(method="qr", phone=None)
    await trio.sleep(1.5)
    assert (room.row(login)["state"], room.row(login)["qr_url"]) == ("qr_shown", "tg://login?token=a")
    await trio.sleep(5)
    assert room.row(login)["qr_url"] == "tg://login?token=b"
    await trio.sleep(5)
    assert (room.row(login)["state"], room.row(login)["qr_url"]) == ("done", None)
    assert room.door.lines[0].kept


async def test_nobody_answers_within_five_minutes(autojump_clock: trio.testing.MockClock, room: Room) -> None:
    room.door.script += [SENT]
    login = room.ask()
    await trio.sleep(310)
    assert room.ended in ([(300.0, "expired", TOO_LONG)], [(301.0, "expired", TOO_LONG)])
    assert (room.row(login)["state"], room.row(login)["error"]) == ("expired", TOO_LONG)
    assert room.door.lines[0].left_at is not None
    assert not room.door.lines[0].kept


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"phone": None}, NO_PHONE),
        ({"phone": "ring me"}, NO_PHONE),
        ({"method": "smoke"}, NO_METHOD),
        ({"method": None}, NO_METHOD),
        ({"name": " "}, NO_NAME),
        ({"name": "a" * 65}, NO_NAME),
        ({"name": "a\nb"}, NO_NAME),
        ({"config": '{"proxy": "x"}'}, "config.proxy: that is none"),
    ],
)
async def test_what_cannot_be_done_fails_with_its_reason(
    autojump_clock: trio.testing.MockClock, room: Room, columns: dict[str, Any], reason: str
) -> None:
    login = room.ask(**columns)
    await trio.sleep(1.5)
    assert (room.row(login)["state"], room.row(login)["error"]) == ("failed", reason)
    assert room.door.lines == []


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (LoginRefused("this number is banned"), "this number is banned"),
        (TelegramAway("no route"), "Telegram cannot be reached (no route): try again"),
    ],
)
async def test_telegram_says_no(
    autojump_clock: trio.testing.MockClock, room: Room, step: object, reason: str
) -> None:
    room.door.script += [step]
    login = room.ask()
    await trio.sleep(1.5)
    assert (room.row(login)["state"], room.row(login)["error"]) == ("failed", reason)
    assert not room.door.lines[0].kept


async def test_the_application_takes_it_back_while_the_code_is_waited_for(
    autojump_clock: trio.testing.MockClock, room: Room
) -> None:
    room.door.script += [SENT]
    login = room.ask()
    await trio.sleep(1.5)
    room.answer(login, state="cancelled")
    await trio.sleep(1)
    assert [each[1:] for each in room.ended] == [("cancelled", None)]
    assert room.door.lines[0].left_at is not None
    assert room.row(login)["state"] == "cancelled"


async def test_a_login_taken_back_amid_its_last_step_does_not_stay_at_telegram(
    autojump_clock: trio.testing.MockClock, room: Room
) -> None:
    room.door.script += [QrCode("tg://login?token=a", 5), ADA]
    login = room.ask(method="qr")
    await trio.sleep(1.5)
    room.answer(login, state="cancelled")
    await trio.sleep(6)
    assert not room.door.lines[0].kept
    assert await room.kit.store.active_accounts() == []


async def test_four_are_answered_at_a_time_and_the_fifth_waits(
    autojump_clock: trio.testing.MockClock, room: Room
) -> None:
    room.door.script += [SENT] * 5
    logins = [room.ask() for _ in range(5)]
    await trio.sleep(2.5)
    states = [room.row(login)["state"] for login in logins]
    assert sorted(states) == ["code_sent"] * 4 + ["new"]
    room.answer(logins[states.index("code_sent")], state="cancelled")
    await trio.sleep(2.5)
    assert sorted(room.row(login)["state"] for login in logins) == ["cancelled"] + ["code_sent"] * 4


async def test_a_lost_answer_of_the_store_does_not_lose_the_account(
    autojump_clock: trio.testing.MockClock, room: Room
) -> None:
    room.door.script += [SENT, ADA]
    room.store.weather.will("store after", "away")
    login = room.ask()
    await trio.sleep(1.5)
    room.answer(login, code="12345")
    await trio.sleep(3)
    assert room.row(login)["state"] == "done"
    assert room.door.lines[0].kept
    assert len(await room.kit.store.active_accounts()) == 1


async def test_a_code_that_is_lost_on_its_way_is_asked_for_again(
    autojump_clock: trio.testing.MockClock, room: Room
) -> None:
    room.door.script += [SENT, ADA]
    login = room.ask()
    await trio.sleep(1.5)
    room.store.weather.will("take after", "away")
    room.answer(login, code="12345")
    await trio.sleep(2.2)
    found = room.row(login)
    assert (found["state"], found["code"]) == ("code_sent", None)
    assert found["error"] == "the answer may have been lost on its way: give it again"
    room.answer(login, code="12345")
    await trio.sleep(2)
    assert room.row(login)["state"] == "done"


async def test_an_outage_is_outlasted(autojump_clock: trio.testing.MockClock, room: Room) -> None:
    room.door.script += [SENT]
    room.store.weather.will("count before", "away", "hang")
    login = room.ask()
    await trio.sleep(60)
    assert room.row(login)["state"] == "code_sent"
    assert room.report.of(StoreBack)
