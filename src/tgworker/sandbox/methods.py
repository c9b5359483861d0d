"""Names of Telegram's methods: ``messages.sendMessage`` and not ``SendMessageRequest``."""

from functools import cache, lru_cache
from typing import Any

from telethon.tl import TLRequest
from telethon.tl.alltlobjects import tlobjects

_ROOT = "telethon.tl.functions"


def method_name(request_type: type[Any]) -> str:
    """The name of a request type in Telegram's spelling."""
    return _spelt(request_type.__module__, request_type.__name__)


@cache
def _spelt(module: str, class_name: str) -> str:
    name = class_name.removesuffix("Request")
    name = name[:1].lower() + name[1:]
    namespace = module.removeprefix(_ROOT).removeprefix(".")
    return f"{namespace}.{name}" if namespace else name


@lru_cache(maxsize=4096)
def plain_name(method: str) -> str:
    """A method's name without case, ``Request`` and other accidents of spelling."""
    return method.lower().removesuffix("request")


@cache
def known_names() -> frozenset[str]:
    """Every name under which a method may be asked for, as `plain_name` has it."""
    names = {plain_name(method_name(each)) for each in tlobjects.values() if issubclass(each, TLRequest)}
    return frozenset(names | {name.rpartition(".")[2] for name in names})


def is_called(method: str, asked: str) -> bool:
    """Whether ``asked``, in any spelling, with or without namespace, names ``method``."""
    name, wanted = plain_name(method), plain_name(asked)
    return wanted in (name, name.rpartition(".")[2])
