"""Telling accounts what happened: over all of their connections, and at no cost where there are none."""

from collections.abc import Callable, Iterable
from typing import Any

from telethon.tl import types

from tgworker.sandbox.accounts import Account, Line
from tgworker.sandbox.cloud import Cloud
from tgworker.sandbox.letters import Letter
from tgworker.sandbox.room_views import people_view
from tgworker.sandbox.update_log import Entry
from tgworker.sandbox.update_views import update_view
from tgworker.sandbox.views import short_message_view


def tell_message(
    cloud: Cloud, account: Account, letter: Letter, entry: Entry, *, skip: Line | None = None
) -> None:
    """Push a new message of a mailbox, in the form that the sandbox uses."""
    if cloud.behaviour.pushes == "short" and letter.is_plain():
        push(account, lambda: short_message_view(account, letter, entry), skip=skip)
    else:
        tell(cloud, account, entry, letter.mentions(), skip=skip)


def tell(
    cloud: Cloud, account: Account, entry: Entry, about: Iterable[int], *, skip: Line | None = None
) -> None:
    """Push a line of an account's log to its connections.

    Args:
        cloud: The sandbox.
        account: Whose line it is.
        entry: The line.
        about: The peers whom it mentions, as marked ids.
        skip: A connection that gets to know otherwise.
    """
    push(
        account,
        lambda: updates_view(cloud, account, [update_view(account, entry)], about, brief=True),
        skip=skip,
    )


def updates_view(
    cloud: Cloud, account: Account, updates: list[Any], about: Iterable[int], *, brief: bool = False
) -> Any:
    """Updates with the peers that they mention, as ``account`` sees them; see `people_view`."""
    people = people_view(cloud, account, [account.id, *about], brief=brief)
    return types.Updates(updates, people.users, people.chats, cloud.now(), 0)


def push(account: Account, view: Callable[[], Any], *, skip: Line | None = None) -> None:
    """Send an update to an account's connections; ``view`` makes it, and is only called if there are any."""
    lines = [line for line in account.lines if line is not skip]
    if lines:
        body = bytes(view())
        for line in lines:
            line.push(body)
