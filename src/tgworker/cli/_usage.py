"""What is wrong with the words of a command line: one line that names the option and the remedy.

The words themselves are not repeated, except where they can only be a command's or an option's name: a text,
a session or a phone number that slipped into the wrong place must not be shown.
"""

import difflib
import re
from enum import Enum
from types import MappingProxyType
from typing import get_args

from cyclopts import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)

_NAME = re.compile(r"-{0,2}[a-z][a-z-]{0,19}")

_KINDS = MappingProxyType({int: "a whole number", float: "a number", bool: "true or false"})


def usage_line(error: CycloptsError) -> str:
    """The line for what cyclopts found."""
    chain = error.command_chain or ()
    problem = _problem(error, " ".join(chain) or "tgworker")
    return f"{problem}: see '{' '.join(['tgworker', *chain])} --help'"


def _problem(error: CycloptsError, command: str) -> str:
    match error:
        case UnknownCommandError():
            word = (error.unused_tokens or [""])[0]
            # cyclopts would import every command here, Telethon and all, to ask for synonyms.
            known = [] if error.app is None else [name for name in error.app if not name.startswith("-")]
            return f"{command} has no command{_shown(word)} ({_guess(word, known)})"
        case UnknownOptionError():
            word = (error.token.keyword or error.token.value).partition("=")[0]
            known = [name for argument in error.argument_collection for name in argument.names]
            guess = difflib.get_close_matches(word, known, n=1)
            return f"{command} has no option{_shown(word)}" + (f" (is it {guess[0]}?)" if guess else "")
        case UnusedCliTokensError():
            return f"{command} was given words that belong to no option (a text with blanks needs quotes)"
        case MissingArgumentError() if error.argument is not None:
            return f"{command} needs {error.argument.name} with a value"
        case RepeatArgumentError():
            return f"{error.token.keyword} was given twice"
        case CoercionError() if error.argument is not None:
            return f"{error.argument.name} is not {_wanted(error.target_type)}"
        case ValidationError() if error.argument is not None:
            return f"{error.argument.name} {error.exception_message}"
        case _:
            return f"{command} was called in a way that it does not know ({type(error).__name__})"


def _shown(word: str) -> str:
    return f" {word}" if _NAME.fullmatch(word) else " of that name"


def _guess(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"is it {close[0]}?" if close else f"there are: {', '.join(known)}"


def _wanted(kind: object) -> str:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"one of {', '.join(str(one.value) for one in kind)}"
    if get_args(kind):
        return f"one of {', '.join(str(one) for one in get_args(kind))}"
    return _KINDS.get(kind, "what it should be") if isinstance(kind, type) else "what it should be"
