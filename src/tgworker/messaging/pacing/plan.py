"""When a message may be sent: the one question that is asked of pacing. Pure: time is an argument.

Three things may stand in the way, looked at in this order: the waits that Telegram announced, the chat's own
bucket, and the buckets that all chats share. Nothing is reserved: a message that has to wait for its chat
takes no token that another chat could use meanwhile.
"""

from dataclasses import dataclass
from enum import StrEnum

from tgworker.messaging.pacing.bucket import Bucket, Rate
from tgworker.messaging.pacing.rates import Rates
from tgworker.messaging.pacing.tempo import Tempo
from tgworker.messaging.pacing.waits import SEND, STRANGERS, Scope, ScopeKind, Wait, Waits

TRIAL = "PEER_FLOOD: another first message is tried alone"
TRIAL_S = 60.0
"""Once first messages to strangers may be tried again, one of them goes alone; the others give it so long."""

SLOWMODE_MARGIN_S = 1.0
"""So much longer than its interval a slow chat is left alone: Telegram counts from when a message comes in
there, and the next one may be faster on its way."""

FORGET_SLOWMODE_S = 3600.0
"""So long after the last ``SLOWMODE_WAIT_X`` a chat is taken for one without slow mode again."""

MOST_CHATS = 1000
"""Above so many buckets those that are full are thrown away; they are as good as new ones."""


class Because(StrEnum):
    """Who has to wait."""

    METHOD = "method"
    """Nothing more leaves by this method: Telegram said so."""

    STRANGERS = "strangers"
    """Whoever does not know the account: Telegram said so."""

    CHAT = "chat"
    """This chat alone: Telegram said so, or its bucket is empty."""

    SHARED = "shared"
    """All chats together are as fast as they may be."""


@dataclass(frozen=True, slots=True)
class Go:
    """It may be sent now, and is counted."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """It may not be sent now.

    Attributes:
        until_s: When to ask again, on the clock of the question.
        because: Who has to wait.
        reason: For people: Telegram's error name, or which number it is.
    """

    until_s: float
    because: Because
    reason: str


@dataclass(frozen=True, slots=True)
class _Slowmode:
    every_s: float
    seen_at_s: float


@dataclass(frozen=True, slots=True)
class _Trial:
    chat_id: int
    until_s: float


class Pacing:
    """What is known of one account's pace.

    Args:
        rates: How fast it may be.
    """

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._waits = Waits()
        self._account: Bucket | None = None
        self._methods: dict[str, Bucket] = {}
        self._tempos: dict[str, Tempo] = {}
        self._chat_tempos: dict[int, Tempo] = {}
        self._chats: dict[int, Bucket] = {}
        self._slowmodes: dict[int, _Slowmode] = {}
        self._wary = False  # Telegram refused a first message to a stranger, and has taken none since
        self._trial: _Trial | None = None

    # ---------------------------------------------------------------- the question

    def ask(self, chat_id: int, now_s: float, *, method: str = SEND, stranger: bool = False) -> Go | NotYet:
        """Whether something may be sent into a chat now; if so, it is counted.

        Args:
            chat_id: The chat's marked id.
            now_s: The time.
            method: By which method, in Telegram's spelling.
            stranger: Whether it would be the first message to somebody who does not know the account.
        """
        if (self._waits or self._wary) and (
            held := self._held(chat_id, now_s, method=method, stranger=stranger)
        ) is not None:
            return held
        chat_rate = self._chat_rate(chat_id, now_s)
        chat = self._chats.get(chat_id) or _full(chat_rate, now_s)
        ready_s = chat.ready_at(chat_rate, now_s)
        if ready_s > now_s:
            return NotYet(ready_s, Because.CHAT, f"paced: one message every {chat_rate.every_s:g} s here")
        method_rate = self._method_rate(method, now_s)
        one_method = self._methods.get(method) or _full(method_rate, now_s)
        account = self._account or _full(self._rates.account, now_s)
        ready_s = max(one_method.ready_at(method_rate, now_s), account.ready_at(self._rates.account, now_s))
        if ready_s > now_s:
            return NotYet(ready_s, Because.SHARED, "paced: the account sends as fast as it may")
        if stranger and self._wary:
            self._trial = _Trial(chat_id, now_s + TRIAL_S)
        self._account = account.take(self._rates.account, now_s)
        self._methods[method] = one_method.take(method_rate, now_s)
        self._chats[chat_id] = chat.take(chat_rate, now_s)
        if len(self._chats) > MOST_CHATS:
            self._forget_full(now_s)
        return Go()

    def wait_of(self, scope: Scope, now_s: float) -> Wait | None:
        """The wait that Telegram announced for this, if it is not over."""
        return self._waits.of(scope, now_s) if self._waits else None

    def strangers(self, now_s: float) -> Wait | None:
        """Whether, and until when, nobody is written to who does not know the account."""
        return self.wait_of(STRANGERS, now_s)

    def is_wary(self) -> bool:
        """Whether it matters who is a stranger."""
        return self._wary

    @property
    def chats(self) -> int:
        """How many chats are remembered."""
        return len(self._chats)

    def waits(self, now_s: float) -> tuple[Wait, ...]:
        """Every wait that is not over, the next to end first."""
        return self._waits.open(now_s)

    # ---------------------------------------------------------------- what is learned

    def announced(self, wait: Wait, now_s: float, *, chat_id: int | None = None, ours: bool = True) -> bool:
        """Telegram announced a wait; returns whether it is longer than what was known.

        A flood wait does not say whether all messages together were too many, or those into one chat: so the
        method slows down, and the chat, too.

        Args:
            wait: The wait.
            now_s: The time.
            chat_id: Where the message was to go that was answered so.
            ours: Whether we were too fast, so that there is something to learn from it. A missing
                subscription (``FLOOD_PREMIUM_WAIT_X``) teaches nothing.
        """
        if ours and wait.scope.kind is ScopeKind.METHOD:
            method = wait.scope.key
            self._tempos[method] = self._tempos.get(method, Tempo()).flooded(now_s, wait.until_s)
            self._methods[method] = Bucket(1, wait.until_s)
            if chat_id is not None:
                tempo = self._chat_tempos.get(chat_id, Tempo())
                self._chat_tempos[chat_id] = tempo.flooded(now_s, wait.until_s)
        if ours and wait.scope.kind is ScopeKind.CHAT:
            self._learn_slowmode(int(wait.scope.key), wait.until_s - now_s, now_s)
        if wait.scope == STRANGERS:
            self._wary, self._trial = True, None
        return self._waits.add(wait)

    def recalled(self, wait: Wait) -> None:
        """An earlier process heard of this wait."""
        self._wary = self._wary or wait.scope == STRANGERS
        self._waits.add(wait)

    def sent(self, chat_id: int) -> None:
        """Telegram has taken a message. If it was the first one to a stranger, others may follow."""
        if self._trial is not None and self._trial.chat_id == chat_id:
            self._wary, self._trial = False, None

    # ---------------------------------------------------------------- inside

    def _held(self, chat_id: int, now_s: float, *, method: str, stranger: bool) -> NotYet | None:
        """The wait that Telegram announced and that holds this message up."""
        if (wait := self._waits.of(Scope.method(method), now_s)) is not None:
            return NotYet(wait.until_s, Because.METHOD, wait.reason)
        if stranger and (wait := self.strangers(now_s)) is not None:
            return NotYet(wait.until_s, Because.STRANGERS, wait.reason)
        trial = self._trial
        if stranger and trial is not None and trial.chat_id != chat_id and now_s < trial.until_s:
            return NotYet(trial.until_s, Because.STRANGERS, TRIAL)
        if (wait := self._waits.of(Scope.chat(chat_id), now_s)) is not None:
            return NotYet(wait.until_s, Because.CHAT, wait.reason)
        return None

    def _chat_rate(self, chat_id: int, now_s: float) -> Rate:
        slowmode = self._slowmodes.get(chat_id)
        if slowmode is not None and now_s - slowmode.seen_at_s < FORGET_SLOWMODE_S + slowmode.every_s:
            return Rate(slowmode.every_s + SLOWMODE_MARGIN_S, 1)
        rate = self._rates.chat if chat_id > 0 else self._rates.group
        tempo = self._chat_tempos.get(chat_id) if self._chat_tempos else None
        return rate if tempo is None else rate.slower(tempo.slowness_at(now_s))

    def _method_rate(self, method: str, now_s: float) -> Rate:
        tempo = self._tempos.get(method)
        return self._rates.method if tempo is None else self._rates.method.slower(tempo.slowness_at(now_s))

    def _learn_slowmode(self, chat_id: int, left_s: float, now_s: float) -> None:
        # What is left of the interval is at most the interval: the longest that was seen is nearest to it.
        known = self._slowmodes.get(chat_id)
        every_s = left_s if known is None else max(known.every_s, left_s)
        self._slowmodes[chat_id] = _Slowmode(every_s, now_s)
        self._chats[chat_id] = Bucket(1, now_s + left_s)

    def _forget_full(self, now_s: float) -> None:
        self._slowmodes = {
            chat_id: slowmode
            for chat_id, slowmode in self._slowmodes.items()
            if now_s - slowmode.seen_at_s < FORGET_SLOWMODE_S + slowmode.every_s
        }
        self._chat_tempos = {
            chat_id: tempo for chat_id, tempo in self._chat_tempos.items() if tempo.slowness_at(now_s) > 1
        }
        self._chats = {
            chat_id: bucket
            for chat_id, bucket in self._chats.items()
            if not bucket.is_full(self._chat_rate(chat_id, now_s), now_s)
        }


def _full(rate: Rate, now_s: float) -> Bucket:
    return Bucket(rate.burst, now_s)
