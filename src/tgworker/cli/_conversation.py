"""A login as a person at a terminal has it."""

import trio

from tgworker.cli._answers import Answers
from tgworker.cli._errors import Usage
from tgworker.cli._qr import QrPainter
from tgworker.messaging.logging_in import TRIES, CodeSent, PasswordNeeded, Problem, QrCode, bare_code
from tgworker.messaging.models import Secret
from tgworker.messaging.values import phone_digits

LONGEST_CODE = 64


class AtTerminal:
    """Fills `tgworker.messaging.logging_in.Asker`.

    Args:
        answers: What the person says.
        nursery: Where the seconds of a QR code are counted down.
    """

    def __init__(self, answers: Answers, nursery: trio.Nursery) -> None:
        self._answers = answers
        self._nursery = nursery
        self._painter: QrPainter | None = None

    async def phone(self, known: str | None) -> str:
        """The number of the account.

        Args:
            known: What it was when the account logged in last: taken if nothing else is said.

        Raises:
            Usage: No number was given.
        """
        question = "phone number, with its country code"
        if known is not None:
            question += f" (Enter for the one that ends in {known[-2:]})"
        for _ in range(TRIES):
            said = await self._answers.ask(question)
            if not said and known is not None:
                return known
            digits = phone_digits(said)
            if digits is not None:
                return digits
            self._answers.say(
                "this is no phone number: give it with its country code, such as +49 170 1234567"
            )
        raise Usage("no phone number was given: begin again, and give it with its country code")

    async def code(self, sent: CodeSent, problem: Problem | None) -> Secret:
        """See the port. Blanks and dashes in it do not count."""
        self._tell(problem)
        if problem is None:
            digits = f" ({sent.digits} digits)" if sent.digits else ""
            self._answers.say(f"Telegram has sent a code: it is {sent.where}{digits}")
        return bare_code(Secret((await self._answers.ask("code"))[:LONGEST_CODE]))

    async def token(self) -> Secret:
        """A bot's token, which nobody sees."""
        return Secret((await self._answers.ask_hidden("bot token, from @BotFather")).value.strip())

    async def password(self, needed: PasswordNeeded, problem: Problem | None) -> Secret:
        """See the port."""
        self.done()
        self._tell(problem)
        hint = "".join(filter(str.isprintable, needed.hint or ""))
        return await self._answers.ask_hidden("two-step password" + (f" (hint: {hint})" if hint else ""))

    async def show(self, qr: QrCode) -> None:
        """See the port."""
        if self._painter is None:
            self._painter = QrPainter()
        self._painter.show(self._nursery, qr)
        await trio.lowlevel.checkpoint()

    def done(self) -> None:
        """No QR code is shown any more."""
        if self._painter is not None:
            self._painter.stop()
            self._painter = None

    def _tell(self, problem: Problem | None) -> None:
        if problem is not None:
            more = "one more try" if problem.left == 1 else f"{problem.left} more tries"
            self._answers.say(f"{problem.reason}: {more}")
