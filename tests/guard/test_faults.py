"""Accounts that wedge or freeze the worker: who starts last, who is quarantined, and for how long."""

import json
from pathlib import Path

import pytest

from tgworker.guard import AccountFault, FaultBook, Held
from tgworker.guard._faults import held, remembered

DAY_S = 86_400.0


def faults(*at_s: float, account: str = "a", what: str = "wedged") -> list[AccountFault]:
    return [AccountFault(account, at, what) for at in at_s]


def test_one_fault_is_an_accident() -> None:
    assert held(faults(0), 1) == {}


def test_after_the_second_it_starts_last() -> None:
    assert held(faults(0, 10), 11) == {"a": Held(0, "")}


@pytest.mark.parametrize(
    ("count", "hours"), [(3, 1), (4, 4), (5, 16), (6, 24), (7, 24), (400, 24)], ids=lambda value: str(value)
)
def test_from_the_third_on_it_is_quarantined_for_a_time_that_grows(count: int, hours: float) -> None:
    own = faults(*range(count))
    until_s = count - 1 + hours * 3600
    assert held(own, count) == {
        "a": Held(until_s, f"quarantined: it has wedged the worker, {count} faults in a row")
    }
    assert held(own, until_s) == {"a": Held(0, "")}, "then it may try again, after the others"


def test_two_days_without_a_fault_are_forgiveness() -> None:
    own = faults(0, 1, 2)
    assert held(own, 2 + 2 * DAY_S - 1)
    assert held(own, 2 + 2 * DAY_S) == {}
    assert remembered(own, 2 + 2 * DAY_S - 1) == own
    assert remembered(own, 2 + 2 * DAY_S) == []


def test_accounts_are_told_apart() -> None:
    both = [*faults(0, 1), *faults(2, account="b", what="frozen")]
    assert held(both, 3) == {"a": Held(0, "")}


def test_the_book_outlives_the_guard(tmp_path: Path) -> None:
    now = iter([0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0])
    path = tmp_path / "faults.json"
    clock = lambda: next(now)  # noqa: E731 - a clock that ticks
    assert FaultBook(path, now=clock).add("a", "wedged") is None
    assert FaultBook(path, now=clock).add("a", "frozen") == Held(0, "")
    assert FaultBook(path, now=clock).add("a", "frozen") == Held(
        2 + 3600, "quarantined: it has frozen the worker, 3 faults in a row"
    )
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(FaultBook(path, now=clock).held()) == ["a"]


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"account": "a"}]', '{"a": 1}', "\xff"])
def test_a_damaged_book_costs_memory_and_nothing_else(tmp_path: Path, content: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(content, encoding="latin-1")
    book = FaultBook(path, now=lambda: 0.0)
    assert book.held() == {}
    book.add("a", "wedged")
    assert json.loads(path.read_text()) == [{"account": "a", "at_s": 0.0, "what": "wedged"}]


def test_a_book_that_cannot_be_written_is_remembered_all_the_same(tmp_path: Path) -> None:
    book = FaultBook(tmp_path / "missing" / "faults.json", now=lambda: 0.0)
    for _ in range(3):
        with pytest.raises(OSError, match="missing"):
            book.add("a", "frozen")
    assert book.held()["a"].until_s == 3600
