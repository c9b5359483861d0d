"""The table of failure modes: every entry is there once and names tests that exist; what is open says so."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from docs.test_tables import page, rows

TESTS = Path(__file__).parents[1]
ENTRIES = range(1, 45)
OPEN: set[int] = set()
"""None is."""

TABLE = [row for part in page("failure-modes.md").split("\n## ")[1:] for row in rows(part, "entry")]


@cache
def defined_in(name: str) -> frozenset[str]:
    """The tests that a file defines."""
    tree = ast.parse((TESTS / name).read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_every_entry_stands_there_once_and_in_order() -> None:
    assert [int(row[0]) for row in TABLE] == list(ENTRIES)


def test_what_is_open_says_so_and_nothing_else_does() -> None:
    assert {int(row[0]) for row in TABLE if row[2].startswith("open:")} == OPEN


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_an_entry_names_its_tests(row: list[str]) -> None:
    named = re.findall(r"`([^`]+)`", row[3]) if len(row) > 3 else []
    assert named or int(row[0]) in OPEN
    for name in named:
        file, _, test = name.partition("::")
        assert test in defined_in(file), name
