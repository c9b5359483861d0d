"""Typed values out of a mapping of strings; whatever is wrong becomes a line with its remedy."""

import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from environs import Env, EnvValidationError, ValidationError

from tgworker.messaging.models import Secret
from tgworker.settings._variables import REMEDIES

T = TypeVar("T")
ChoiceT = TypeVar("ChoiceT", bound=StrEnum)
Check = Callable[[str], None]
"""Raises `ValidationError` with what the value *is*: "is not a URL"."""

# What environs and marshmallow say, in the words of this program; our own checks raise such words directly.
_PHRASES = {
    "Not a valid integer.": "is not a whole number",
    "Not a valid number.": "is not a number",
    "Special numeric values (nan or infinity) are not permitted.": "is not a finite number",
    "Not a valid boolean.": "is neither 1 nor 0",
}


class Reader:
    """Reads typed values. After a problem it returns some fallback, which is never to be used.

    Args:
        values: What is set, with nothing that is empty.
        problems: Takes one line for each problem; no line holds a value.
    """

    def __init__(self, values: Mapping[str, str], problems: list[str]) -> None:
        self._values = values
        self._env = _Environment(values)
        self._problems = problems

    def has(self, name: str) -> bool:
        """Whether the variable is set."""
        return name in self._values

    def refuse(self, name: str, phrase: str, remedy: str | None = None) -> None:
        """Note a problem; the remedy is the variable's own unless another one is given."""
        self._problems.append(f"{name} {phrase}: {remedy or REMEDIES[name]}")

    def text(self, name: str, default: str | None = None, check: Check | None = None) -> str:
        """A string without blanks around it; a missing one is a problem unless there is a default."""
        if not self.has(name):
            if default is None:
                self.refuse(name, "is not set")
            return default or ""
        return self._read(name, lambda: self._env.str(name, validate=check).strip(), "")

    def secret(self, name: str, default: str | None = None, check: Check | None = None) -> Secret:
        """A string that is shown to nobody."""
        return Secret(self.text(name, default, check))

    def whole(self, name: str, default: int, most: int = 2**31 - 1) -> int:
        """A whole number above 0; it fits into 31 bits, as Telegram's numbers do, if nothing else is said."""
        return self._read(name, lambda: self._env.int(name, default, validate=_within(most)), default)

    def seconds(self, name: str, default: float) -> float:
        """A finite number of seconds above 0."""
        return self._read(name, lambda: self._env.float(name, default, validate=_within(math.inf)), default)

    def wait(self, name: str, default: float, most: float) -> float:
        """A number of seconds from 0 on."""
        return self._read(name, lambda: self._env.float(name, default, validate=_from_zero(most)), default)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Yes or no."""
        return self._read(name, lambda: self._env.bool(name, default=default), fallback=default)

    def choice(self, name: str, default: ChoiceT) -> ChoiceT:
        """One of the default's kind."""
        words = [str(choice) for choice in type(default)]

        def check(value: str) -> None:
            if value.strip() not in words:
                raise ValidationError(f"is none of {', '.join(words)}")

        return type(default)(self.text(name, str(default), check) or str(default))

    def _read(self, name: str, read: Callable[[], T], fallback: T) -> T:
        try:
            return read()
        except EnvValidationError as error:
            for message in error.error_messages:
                self.refuse(name, _PHRASES.get(message, message))
            return fallback


class _Environment(Env):
    """environs over a given mapping: by itself it would read ``os.environ``."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__()
        self._given = values

    def _get_value(self, env_key: str, default: Any) -> Any:
        return self._given.get(env_key, default)


def _from_zero(highest: float) -> Callable[[float], None]:
    def check(value: float) -> None:
        if not 0 <= value <= highest:
            raise ValidationError("is below 0" if value < 0 else "is too large a number")

    return check


def _within(highest: float) -> Callable[[float], None]:
    def check(value: float) -> None:
        if not 0 < value <= highest:
            raise ValidationError("is not above 0" if value <= 0 else "is too large a number")

    return check
