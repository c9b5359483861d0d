"""How long a message may be: what the server says of it."""

import asyncio
from dataclasses import dataclass
from typing import Any

from telethon.tl import functions, types

from tgworker.messaging.models import DEFAULT_TEXT_LIMIT
from tgworker.telegram.line import LineSender

REFRESH_S = 6 * 3600.0
"""How often a line asks again. The server's word is good for an hour (``config.expires``), but the limits
have stood for ten years."""

PATIENCE_S = 2.0
"""So long a line that is connected waits for the limits; they are asked for together with all the rest.
Without an answer the last known ones hold."""

DEFAULT_CAPTION_LIMIT = 1024

_SENSIBLE = range(64, 1_000_001)


@dataclass(frozen=True, slots=True)
class TextLimits:
    """How long texts may be, in UTF-16 code units.

    (Telegram's pages say "code points", which are never more: a text that fits here fits there.)

    Attributes:
        text: Of a message (``message_length_max``, https://core.telegram.org/constructor/config).
        caption: Of what stands under a file (``caption_length_limit_default`` or ``…_premium``,
            https://core.telegram.org/api/config#caption-length-limit-default).
    """

    text: int = DEFAULT_TEXT_LIMIT
    caption: int = DEFAULT_CAPTION_LIMIT


class LimitsQuestion:
    """Asks for the limits without waiting for the answer.

    Args:
        sender: A connected sender.
        app_config: Whether the account may ask how long a caption may be.

    Raises:
        LineLost: The line is not open.
    """

    def __init__(self, sender: LineSender, *, app_config: bool = True) -> None:
        self._config = sender.send(functions.help.GetConfigRequest())
        self._asked = {self._config}
        self._app_config = sender.send(functions.help.GetAppConfigRequest(0)) if app_config else None
        if self._app_config is not None:
            self._asked.add(self._app_config)

    async def answer_aio(self, known: TextLimits, *, premium: bool) -> TextLimits:
        """What the server answers within `PATIENCE_S`; where it does not, what was ``known``.

        Cancellation: the question is forgotten.
        """
        try:
            await asyncio.wait(self._asked, timeout=PATIENCE_S)
            return limits_of(_result(self._config), _result(self._app_config), known, premium=premium)
        finally:
            self.forget()

    def forget(self) -> None:
        """Ask no more."""
        for future in self._asked:
            if not future.cancel() and not future.cancelled():
                future.exception()  # seen


def limits_of(config: Any, app_config: Any, known: TextLimits, *, premium: bool) -> TextLimits:
    """The limits in a ``config`` and a ``help.appConfig``; ``known`` where they say nothing sensible."""
    text: Any = getattr(config, "message_length_max", None)
    caption: Any = None
    values = getattr(getattr(app_config, "config", None), "value", None) or ()
    wanted = "caption_length_limit_premium" if premium else "caption_length_limit_default"
    for each in values:
        if isinstance(each.value, types.JsonNumber) and each.key == wanted:
            caption = int(each.value.value)
    return TextLimits(
        text=text if text in _SENSIBLE else known.text,
        caption=caption if caption in _SENSIBLE else known.caption,
    )


def _result(future: "asyncio.Future[Any] | None") -> Any | None:
    """What a future has brought; ``None`` if nothing, or an error: no more than a hint is missing."""
    if future is None or not future.done() or future.cancelled():
        return None
    return None if future.exception() is not None else future.result()
