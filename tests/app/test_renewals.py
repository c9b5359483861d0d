"""A deaf account gets a new process seldom, whatever processes come and go."""

from pathlib import Path

import pytest

from tgworker.app.renewals import OF_ALL_S, OF_AN_ACCOUNT_S, Renewal, Renewals, may_renew


@pytest.mark.parametrize(
    ("after_s", "account", "allowed"),
    [
        (OF_ALL_S - 1, "bert", False),
        (OF_ALL_S, "bert", True),
        (OF_AN_ACCOUNT_S - 1, "anna", False),
        (OF_AN_ACCOUNT_S, "anna", True),
        (-60, "bert", False),
    ],
)
def test_once_a_day_for_an_account_and_once_an_hour_for_all(
    after_s: float, account: str, allowed: bool
) -> None:
    assert may_renew([Renewal("anna", 1000)], account, 1000 + after_s) is allowed


def test_what_was_spent_is_known_to_the_next_process(tmp_path: Path) -> None:
    today = [1000.0]
    path = tmp_path / "renewals.json"
    assert Renewals(path, now=lambda: today[0]).spend("anna")
    assert path.stat().st_mode & 0o777 == 0o600
    assert not Renewals(path, now=lambda: today[0]).spend("anna")
    today[0] += OF_ALL_S
    heir = Renewals(path, now=lambda: today[0])
    assert not heir.spend("anna")
    assert heir.spend("bert")
    today[0] += OF_AN_ACCOUNT_S
    assert heir.spend("anna")
    assert path.read_text().count("account") == 1  # nothing grows for ever


def test_what_cannot_be_written_down_is_not_spent(tmp_path: Path) -> None:
    assert not Renewals(tmp_path / "gone" / "renewals.json", now=lambda: 0).spend("anna")


def test_a_file_that_nobody_can_read_is_none(tmp_path: Path) -> None:
    path = tmp_path / "renewals.json"
    path.write_text('[{"account": "anna"}]')
    assert Renewals(path, now=lambda: 0).spend("anna")
