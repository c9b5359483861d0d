"""Why a line was lost: the first reason that anybody gave."""

import asyncio

import trio
from telethon.errors import RPCError

from tgworker.messaging.account_kinds import AccountKind
from tgworker.messaging.errors import AccountRefused, TelegramAway, TelegramFloods
from tgworker.telegram.line_errors import in_words
from tgworker.telegram.rpc_errors import account_refusal, of_a_bot

CLOSED = "the connection was closed here"
KEY_DOUBTED = "Telegram does not know the session's key (-404); it is asked once more before that is believed"
FLOODED = "Telegram accepts no connections from here for now (-429)"


class Loss:
    """Of one line.

    Args:
        kind: Whose line it is: where the account is refused, a bot logs in again in another way.
    """

    def __init__(self, kind: AccountKind = AccountKind.USER) -> None:
        self._kind = kind
        self._lost = trio.Event()
        self._said: str | AccountRefused | TelegramFloods = ""

    def say(self, reason: str | AccountRefused | TelegramFloods) -> None:
        """The line is lost. The first reason stays."""
        if not self._lost.is_set():
            if self._kind is AccountKind.BOT and isinstance(reason, AccountRefused):
                reason = of_a_bot(reason)
            self._said = reason
            self._lost.set()

    def explain(self, error: BaseException) -> None:
        """Say why ``connect`` failed, if the line itself has not said so already."""
        refusal = account_refusal(error) if isinstance(error, RPCError) else None
        self.say(refusal or (CLOSED if isinstance(error, asyncio.CancelledError) else in_words(error)))

    @property
    def reason(self) -> str:
        """In words; nothing while the line lives."""
        return str(self._said)

    async def wait(self) -> str:
        """Wait until the line is lost; returns why. See `tgworker.messaging.ports.Connection.wait_lost`."""
        await self._lost.wait()
        error = self.error()
        if isinstance(error, AccountRefused | TelegramFloods):
            raise error
        return str(error)

    def error(self) -> AccountRefused | TelegramAway:
        """As an exception: a new one each time, because several may wait for it."""
        match self._said:
            case AccountRefused() as refusal:
                return AccountRefused(refusal.state, refusal.reason)
            case TelegramFloods():
                return TelegramFloods(str(self._said))
            case _:
                return TelegramAway(self._said)
