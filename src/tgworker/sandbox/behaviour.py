"""How the pretended Telegram behaves where the real one may behave in several ways."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Switches; `tgworker.sandbox.Sandbox.behave` turns them while the sandbox runs.

    Attributes:
        repeats: A ``random_id`` that was sent before is answered with the ``original`` message
            (``updates`` with ``updateMessageID`` and ``updateNewMessage`` of ``pts_count`` 0), or with the
            ``error`` 500 ``RANDOM_ID_DUPLICATE``. Telegram does both.
        answers: A send is answered in its ``short`` form (``updateShortSentMessage``), or in ``full``.
        pushes: New messages are pushed in ``full``, or in their ``short`` form (``updateShortMessage``, which
            brings no access hash: Telegram does it for chats that the client knows).
        duplicates: Two live connections with one authorization key ``die`` of ``AUTH_KEY_DUPLICATED``, key
            and all, or ``live``.
        login_code: What ``auth.signIn`` takes; digits.
        difference_limit: How many updates one answer of ``updates.getDifference`` holds; more come in slices.
        message_length_max: How long a message may be, as ``help.getConfig`` says it. (More is taken all the
            same, up to 4096.)
    """

    repeats: Literal["original", "error"] = "original"
    answers: Literal["short", "full"] = "short"
    pushes: Literal["full", "short"] = "full"
    duplicates: Literal["die", "live"] = "die"
    login_code: str = "12345"
    difference_limit: int = 1000
    message_length_max: int = 4096

    def __post_init__(self) -> None:
        """Refuse what is no switch's position. Raises ValueError."""
        for name, positions in _POSITIONS.items():
            if getattr(self, name) not in positions:
                raise ValueError(f"{name} is {' or '.join(positions)}, not {getattr(self, name)}")
        if not self.login_code.isdecimal():
            raise ValueError("login_code is made of digits")
        if self.difference_limit < 1:
            raise ValueError("difference_limit must be 1 or more")


_POSITIONS = {
    "repeats": ("original", "error"),
    "answers": ("short", "full"),
    "pushes": ("full", "short"),
    "duplicates": ("die", "live"),
}
