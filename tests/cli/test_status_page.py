"""The page of ``status`` for people: what it says first."""

from typing import Any

import pytest

from tgworker.cli.status import _page

ANSWER: dict[str, Any] = {
    "worker_id": "telegram-main",
    "status": "online",
    "pid": 7,
    "version": "1",
    "loops": {},
    "lag": None,
    "accounts": [],
    "queues": {"claimed": 0, "in_flight": 0, "unsettled": 0},
    "unsure": 0,
}


@pytest.mark.parametrize(
    ("away", "second"),
    [(False, ""), (True, "the store does not answer (why: see the log): it is asked until it does")],
)
def test_a_store_that_is_away_is_said_at_once(away: bool, second: str) -> None:
    first, line, *_ = _page({**ANSWER, "store_away": away}).splitlines()
    assert (first, line) == ("telegram-main: online (pid 7, version 1)", second)
