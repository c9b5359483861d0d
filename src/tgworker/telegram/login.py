"""Logging in: a conversation with Telegram under a fresh key, which is worth nothing until it is over."""

import asyncio
import base64
import ipaddress
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import trio
from telethon import password as srp
from telethon.errors import RPCError, SessionPasswordNeededError, SrpIdInvalidError
from telethon.sessions import StringSession
from telethon.tl import functions, types

from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.errors import TelegramAway
from tgworker.messaging.logging_in import (
    CodeSent,
    LoggedIn,
    LoginRefused,
    PasswordNeeded,
    QrCode,
    WrongAnswer,
)
from tgworker.messaging.models import Secret
from tgworker.telegram.books import LineLost
from tgworker.telegram.client import AccountClient
from tgworker.telegram.closing import hard_close_aio, sever
from tgworker.telegram.data_centres import introduced, option_for
from tgworker.telegram.invoke import invoke_aio
from tgworker.telegram.line import LineSender
from tgworker.telegram.line_errors import OF_THE_LINE, in_words
from tgworker.telegram.login_errors import NO_EMAIL, REFUSALS, SIGN_UP, login_outcome, moved_to
from tgworker.telegram.peers import peer_of

T = TypeVar("T")

STEP_S = 30.0
"""One step of a login, moves to other data centres included."""

FAREWELL_S = 5.0
"""So long Telegram is asked to forget a login that nobody keeps."""

CLOSE_PATIENCE_S = 1.0

MOST_MOVES = 3
"""So often one request is sent on to another data centre."""

UNKNOWN_QUESTION = "Telegram asks for the password in a way that is not known here: upgrade tgworker"

HANDSHAKES = 5
"""So often a key is made: one in 256 begins with a zero byte, which Telethon takes for a mistake."""

SHORTEST_QR_S = 1.0
"""At least so long a QR code is shown, whatever the clocks say."""


class RunSync(Protocol):
    """Runs what takes long without a loop: in a thread, or, on a test's clock, on the spot."""

    async def __call__(self, function: Callable[[], T]) -> T:
        """Run it, and return what it returns."""
        ...


async def in_thread(function: Callable[[], T]) -> T:
    """Run it in a thread; one that is cancelled is left to end by itself."""
    return await trio.to_thread.run_sync(function, abandon_on_cancel=True)


class TelethonLogin:
    """Fills `tgworker.messaging.logging_in.LoginLine`. Get one from `TelethonTelegram.open_login`.

    A line that breaks while a person looks for the code is made anew under the same key.

    Args:
        client: Makes lines, and introduces itself as the account will; it is never connected itself.
        loop: The asyncio loop that they live in.
        run_sync: How a password is made a number of, which takes 0.1 s.
    """

    def __init__(self, client: AccountClient, loop: Any, run_sync: RunSync) -> None:
        self._client = client
        self._loop = loop
        self._run_sync = run_sync
        begins: Any = client.session
        self._at: tuple[int, str, int] = (begins.dc_id, begins.server_address, begins.port)
        self._sender: LineSender | None = None
        self._config: Any = None
        self._config_at_s = 0.0
        self._phone = ""
        self._sent: Any = None
        self._token: bytes | None = None
        self._token_until_s = 0.0
        self._nudged = trio.Event()
        self._authorised = False
        self._kept = False

    # ------------------------------------------------ the port

    async def send_code(self, phone: str) -> CodeSent | LoggedIn | LoginRefused:
        """See the port."""
        self._phone = phone
        return _final(await self._step(self._send_code_aio))

    async def sign_in(self, code: Secret) -> LoggedIn | PasswordNeeded | WrongAnswer | LoginRefused:
        """See the port."""
        return await self._step(partial(self._sign_in_aio, code))

    async def check_password(self, password: Secret) -> LoggedIn | WrongAnswer | LoginRefused:
        """See the port. A question that Telegram has forgotten is asked once more."""
        for _ in range(2):
            asked = await self._step(self._ask_password_aio)
            if isinstance(asked, LoginRefused | WrongAnswer):
                return asked
            proof = await self._run_sync(partial(_proof, asked.question, password))
            if proof is None:
                return LoginRefused(UNKNOWN_QUESTION)
            outcome = await self._step(partial(self._check_password_aio, proof))
            if outcome is not None:
                return outcome
        return LoginRefused(REFUSALS["SRP_ID_INVALID"])

    async def import_token(self, token: Secret) -> LoggedIn | LoginRefused:
        """See the port."""
        return _final(await self._step(partial(self._import_token_aio, token)))

    async def show_qr(self) -> QrCode | LoggedIn | PasswordNeeded | LoginRefused:
        """See the port."""
        self._nudged = trio.Event()
        return _final(await self._step(self._show_qr_aio))

    async def wait_scanned(self) -> None:
        """See the port. What comes of it is worth asking for, too, when the line was lost meanwhile."""
        with trio.move_on_at(self._token_until_s):
            await self._nudged.wait()

    def keep(self, *, stays: bool = True) -> None:
        """See the port."""
        self._kept = stays

    async def aclose(self) -> None:
        """Get rid of everything, in any state, and undo at Telegram what nobody keeps. Shielded."""
        with trio.CancelScope(shield=True):
            with trio.move_on_after(FAREWELL_S):
                await self._loop.run_aio_coroutine(self._undo_aio())
            await self._loop.run_aio_coroutine(hard_close_aio(self._client, patience_s=CLOSE_PATIENCE_S))

    # ------------------------------------------------ over the bridge

    async def _step(self, step: Callable[[], Coroutine[Any, Any, T]]) -> T | WrongAnswer | LoginRefused:
        """Run one step in the asyncio loop under its deadline; Telegram's errors become outcomes."""
        with trio.move_on_after(STEP_S):
            try:
                outcome: T = await self._loop.run_aio_coroutine(step())
            except RPCError as error:
                return login_outcome(error)
            except OF_THE_LINE as error:
                raise TelegramAway(in_words(error)) from None
            except asyncio.CancelledError:  # the line's end, in a task that nobody cancelled
                raise TelegramAway("the line was closed") from None
            return outcome
        raise TelegramAway(f"Telegram did not answer within {STEP_S:g} s")

    async def _ask_aio(self, request: Any) -> Any:
        """One request, at the data centre that will have it."""
        for _ in range(MOST_MOVES):
            sender = await self._line_aio()
            try:
                return await invoke_aio(sender, request)
            except RPCError as error:
                dc_id = moved_to(error)
                if dc_id is None:
                    raise
                await self._move_aio(dc_id)
        return await invoke_aio(await self._line_aio(), request)

    async def _line_aio(self) -> LineSender:
        """The line; a new one, under the key that there is, if it broke."""
        if self._sender is not None and not self._sender.over:
            return self._sender
        key = None if self._sender is None else self._sender.auth_key
        for left in range(HANDSHAKES - 1, -1, -1):
            try:
                self._sender = await self._connect_aio(key)
            except ConnectionError as error:
                if error.errno is not None or isinstance(error, LineLost) or key is not None or not left:
                    raise
            else:
                break
        assert self._sender is not None
        return self._sender

    async def _connect_aio(self, key: Any) -> LineSender:
        client = self._client
        dc_id, host, port = self._at
        sender = LineSender(
            key,
            loggers=client._log,
            updates_queue=_Ear(self._hear),
            on_heard=lambda: None,
            on_lost=lambda _error: self._nudged.set(),
        )
        client._sender = sender  # closed with the client, whatever happens
        try:
            await sender.connect(
                client._connection(
                    host, port, dc_id, loggers=client._log, proxy=client._proxy, local_addr=client._local_addr
                )
            )
            greeting = introduced(client, functions.help.GetConfigRequest(), hears_updates=True)
            self._config = await invoke_aio(sender, greeting)
        except BaseException:
            sender.lose(None)
            raise
        self._config_at_s = trio.current_time()
        return sender

    async def _move_aio(self, dc_id: int) -> None:
        """Go on at another data centre, where another key is needed."""
        option = option_for(self._config.dc_options, dc_id, ipv6=self._client._use_ipv6)
        if option is None:
            raise ConnectionError(f"Telegram names no data centre {dc_id}")
        sever(self._client)
        self._sender = None
        self._at = (option.id, option.ip_address, option.port)

    def _hear(self, packet: Any) -> None:
        updates: Iterable[Any] = getattr(packet, "updates", None) or [getattr(packet, "update", packet)]
        if any(isinstance(update, types.UpdateLoginToken) for update in updates):
            self._nudged.set()

    # ------------------------------------------------ the steps

    async def _send_code_aio(self) -> CodeSent | LoggedIn | LoginRefused:
        client = self._client
        request = functions.auth.SendCodeRequest(
            self._phone, client.api_id, client.api_hash, types.CodeSettings()
        )
        sent: Any = await self._ask_aio(request)
        if isinstance(sent, types.auth.SentCodeSuccess):
            return self._logged_in(sent.authorization)
        if isinstance(sent.type, types.auth.SentCodeTypeSetUpEmailRequired):
            return LoginRefused(NO_EMAIL)
        self._sent = sent
        return CodeSent(_where(sent.type), getattr(sent.type, "length", None))

    async def _sign_in_aio(self, code: Secret) -> LoggedIn | PasswordNeeded | LoginRefused:
        if isinstance(self._sent.type, types.auth.SentCodeTypeEmailCode):
            by_mail = types.EmailVerificationCode(code.value)
            request = functions.auth.SignInRequest(
                self._phone, self._sent.phone_code_hash, email_verification=by_mail
            )
        else:
            request = functions.auth.SignInRequest(self._phone, self._sent.phone_code_hash, code.value)
        return await self._authorise_aio(request)

    async def _import_token_aio(self, token: Secret) -> LoggedIn | LoginRefused:
        client = self._client
        request = functions.auth.ImportBotAuthorizationRequest(0, client.api_id, client.api_hash, token.value)
        answer: Any = await self._ask_aio(request)
        return self._logged_in(answer)

    async def _check_password_aio(self, proof: Any) -> LoggedIn | LoginRefused | None:
        """``None``: Telegram has forgotten the question, or was asked another one since."""
        try:
            answer: Any = await self._ask_aio(functions.auth.CheckPasswordRequest(proof))
        except SrpIdInvalidError:
            return None
        return self._logged_in(answer)

    async def _ask_password_aio(self) -> "_Asked":
        return _Asked(await self._ask_aio(functions.account.GetPasswordRequest()))

    async def _authorise_aio(self, request: Any) -> LoggedIn | PasswordNeeded | LoginRefused:
        try:
            answer: Any = await self._ask_aio(request)
        except SessionPasswordNeededError:
            return await self._password_needed_aio()
        self._sent = None
        return self._logged_in(answer)

    async def _password_needed_aio(self) -> PasswordNeeded:
        self._authorised, self._sent = True, None  # half of it: to be undone all the same
        asked: Any = await self._ask_aio(functions.account.GetPasswordRequest())
        return PasswordNeeded(asked.hint)

    async def _show_qr_aio(self) -> QrCode | LoggedIn | PasswordNeeded | LoginRefused:
        client = self._client
        try:
            answer: Any = await self._ask_aio(
                functions.auth.ExportLoginTokenRequest(client.api_id, client.api_hash, [])
            )
            if isinstance(answer, types.auth.LoginTokenMigrateTo):
                await self._move_aio(answer.dc_id)
                answer = await self._ask_aio(functions.auth.ImportLoginTokenRequest(answer.token))
        except SessionPasswordNeededError:
            return await self._password_needed_aio()
        if isinstance(answer, types.auth.LoginTokenSuccess):
            return self._logged_in(answer.authorization)
        # By Telegram's clock, as it stood when the line was made: ours may be wrong.
        since_s = trio.current_time() - self._config_at_s
        lives_s = max((answer.expires - self._config.date).total_seconds() - since_s, SHORTEST_QR_S)
        self._token_until_s = trio.current_time() + lives_s
        token = base64.urlsafe_b64encode(answer.token).decode("ascii").rstrip("=")
        return QrCode(f"tg://login?token={token}", lives_s)

    def _logged_in(self, authorisation: Any) -> LoggedIn | LoginRefused:
        if isinstance(authorisation, types.auth.AuthorizationSignUpRequired):
            return LoginRefused(SIGN_UP)
        self._authorised = True
        me = peer_of(authorisation.user)
        if me is None or self._sender is None:
            return LoginRefused("Telegram did not say whose login this is: begin again")
        kind = AccountKind.BOT if getattr(authorisation.user, "bot", False) else AccountKind.USER
        return LoggedIn(self._session(self._sender.auth_key), me, kind)

    def _session(self, key: Any) -> Secret:
        session: Any = StringSession()
        dc_id, host, port = self._at
        session.set_dc(dc_id, _address(host), port)
        session.auth_key = key
        return Secret(session.save())

    async def _undo_aio(self) -> None:
        """Let Telegram forget what was begun; what it does not hear of runs out by itself."""
        if self._sender is None or self._sender.over or self._kept:
            return
        request: Any = None
        if self._authorised:
            request = functions.auth.LogOutRequest()
        elif self._sent is not None:
            request = functions.auth.CancelCodeRequest(self._phone, self._sent.phone_code_hash)
        if request is not None:
            try:
                await invoke_aio(self._sender, request)
            except (*OF_THE_LINE, asyncio.CancelledError):
                return  # nothing more can be done


@dataclass(frozen=True, slots=True)
class _Asked:
    """Telegram's question for a password."""

    question: Any = field(repr=False)


def _final(outcome: T | WrongAnswer) -> T | LoginRefused:
    """Of a step that has no second try."""
    return LoginRefused(outcome.reason) if isinstance(outcome, WrongAnswer) else outcome


class _Ear(asyncio.Queue[Any]):
    """Takes the server's updates, and keeps none.

    Args:
        hear: Gets each packet.
    """

    def __init__(self, hear: Callable[[Any], None]) -> None:
        super().__init__()
        self._heard = hear

    def put_nowait(self, item: Any) -> None:
        """Hand a packet over. Never blocks."""
        self._heard(item)


def _proof(asked: Any, password: Secret) -> Any | None:
    """What shows Telegram that a password is known (https://core.telegram.org/api/srp)."""
    try:
        return srp.compute_check(asked, password.value)
    except ValueError:
        return None


def _where(kind: Any) -> str:
    """Where a code is to be found, for people."""
    match kind:
        case types.auth.SentCodeTypeApp():
            return "in the Telegram app, on another device"
        case types.auth.SentCodeTypeSms() | types.auth.SentCodeTypeFirebaseSms():
            return "in a text message"
        case types.auth.SentCodeTypeCall():
            return "by a phone call"
        case types.auth.SentCodeTypeFlashCall() | types.auth.SentCodeTypeMissedCall():
            return "in the number of a missed call"
        case types.auth.SentCodeTypeEmailCode():
            return "in an e-mail"
        case types.auth.SentCodeTypeFragmentSms():
            return "on fragment.com"
        case _:
            return "as Telegram says"


def _address(host: str) -> str:
    """What a session names as its server: an address. A test server's name is told anew each time."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return "0.0.0.0"  # noqa: S104 - nobody listens there
