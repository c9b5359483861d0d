"""The README's table of capabilities: each row names a test that exists."""

import re

import pytest

from docs.test_failure_modes import defined_in
from docs.test_tables import rows
from project.checkout import ROOT

TABLE = rows((ROOT / "README.md").read_text(encoding="utf-8"), "capability")

OLD_WORKER = {
    "account sync",
    "outbound",
    "attachments",
    "inbound messages",
    "own messages from other devices",
    "chat actions",
    "read receipts",
    "presence and typing",
    "history sync",
    "message jobs",
    "heartbeat",
}
"""What the worker before this one could do."""


def test_nothing_that_the_old_worker_could_do_is_missing() -> None:
    assert {row[0] for row in TABLE} >= OLD_WORKER


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_a_capability_names_its_test(row: list[str]) -> None:
    (named,) = re.findall(r"`(\S+::\S+)`", row[3])
    file, _, test = named.partition("::")
    assert test in defined_in(file)
