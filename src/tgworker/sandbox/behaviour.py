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
        random_id_window_s: How long a ``random_id`` is remembered; after that the same one makes another
            message. ``None``: for as many as 200,000 messages of the account.
        answers: A send is answered in its ``short`` form (``updateShortSentMessage``), or in ``full``.
        pushes: New messages are pushed in ``full``, or in their ``short`` form (``updateShortMessage``, which
            brings no access hash: Telegram does it for chats that the client knows).
        channel_pushes: New messages of channels are pushed in ``full``, or as ``too_long``
            (``updateChannelTooLong``: something happened, ask for the difference).
        imports: ``contacts.importContacts`` is ``accept``ed, or to be ``retry``-ed later: for whoever imports
            too many.
        duplicates: Two live connections with one authorization key ``die`` of ``AUTH_KEY_DUPLICATED``, key
            and all, or ``live``.
        nearest_dc: The data centre for clients without an account: at any other a number that nobody has is
            ``NETWORK_MIGRATE_X``. ``None``: the first.
        login_code: What ``auth.signIn`` takes; digits.
        login_code_lives_s: How long it takes it.
        login_token_lives_s: How long the token of a QR code can be accepted.
        difference_limit: How many updates one answer of ``updates.getDifference`` holds; more come in slices.
        channel_difference_limit: The same for ``updates.getChannelDifference``.
        difference_remembers: Whoever is more than so many updates behind gets ``differenceTooLong``.
        channel_difference_remembers: The same in a channel: ``channelDifferenceTooLong``, with its dialog.
        channel_hints: Whether ``updates.getDifference`` names the channels that changed since its ``date``
            (``updateChannelTooLong``).
        message_length_max: How long a message may be, in UTF-16 units, as ``help.getConfig`` says it.
        caption_length_limit_default: How long a caption may be, as ``help.getAppConfig`` says it.
        caption_length_limit_premium: The same for those who pay.
        media_dc: The data centre where files lie that come in from now on; ``None``: the home of who sends
            them.
        reactions: A reaction is pushed as an ``update`` (``updateMessageReactions``, which moves no ``pts``),
            or as an ``edit`` of the message that is not to be shown as one. Telegram does both.
        takeout_delay_s: How long whoever asks for his first takeout with a key has to wait, unless he allows
            it on another device (`Sandbox.allow_takeout`); 0: not at all. Telegram's is 24 h.
        takeout_range: How many numbers of a mailbox one range of ``messages.getSplitRanges`` has.
        finds_links: Whether the server adds formatting of its own: addresses, names and hashtags in texts.
            Telegram does.
    """

    repeats: Literal["original", "error"] = "original"
    random_id_window_s: float | None = None
    answers: Literal["short", "full"] = "short"
    pushes: Literal["full", "short"] = "full"
    channel_pushes: Literal["full", "too_long"] = "full"
    imports: Literal["accept", "retry"] = "accept"
    duplicates: Literal["die", "live"] = "die"
    nearest_dc: int | None = None
    login_code: str = "12345"
    login_code_lives_s: float = 300
    login_token_lives_s: float = 30
    difference_limit: int = 1000
    channel_difference_limit: int = 100
    difference_remembers: int = 200_000
    channel_difference_remembers: int = 100_000
    channel_hints: bool = True
    message_length_max: int = 4096
    caption_length_limit_default: int = 1024
    caption_length_limit_premium: int = 4096
    media_dc: int | None = None
    reactions: Literal["update", "edit"] = "update"
    takeout_delay_s: float = 0
    takeout_range: int = 1_000_000
    finds_links: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no switch's position. Raises ValueError."""
        for name, positions in _POSITIONS.items():
            if getattr(self, name) not in positions:
                raise ValueError(f"{name} is {' or '.join(positions)}, not {getattr(self, name)}")
        if not self.login_code.isdecimal():
            raise ValueError("login_code is made of digits")
        if self.login_code_lives_s <= 0 or self.login_token_lives_s <= 0:
            raise ValueError("login_code_lives_s and login_token_lives_s must be above 0")
        if self.random_id_window_s is not None and self.random_id_window_s <= 0:
            raise ValueError("random_id_window_s must be above 0, or none")
        if self.takeout_delay_s < 0:
            raise ValueError("takeout_delay_s must be 0 or more")
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more")


_POSITIONS = {
    "repeats": ("original", "error"),
    "answers": ("short", "full"),
    "pushes": ("full", "short"),
    "channel_pushes": ("full", "too_long"),
    "imports": ("accept", "retry"),
    "duplicates": ("die", "live"),
    "reactions": ("update", "edit"),
}

_AT_LEAST_ONE = (
    "difference_limit",
    "channel_difference_limit",
    "difference_remembers",
    "channel_difference_remembers",
    "message_length_max",
    "caption_length_limit_default",
    "caption_length_limit_premium",
    "takeout_range",
)
