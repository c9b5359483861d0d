"""The parts of the benchmarks: pairs, goals, the table of lines and its page."""

import pytest

from benchmarks.line import Goal, at_least, at_most
from benchmarks.lines import LINES
from benchmarks.pairs import Pairs, interleave, quantile, rounded
from project.checkout import ROOT


async def test_both_sides_run_in_turns_after_a_run_that_does_not_count() -> None:
    order: list[str] = []

    async def ours() -> float:
        order.append("o")
        return 10.0 * len(order)

    async def bare() -> float:
        order.append("b")
        return 1.0 * len(order)

    pairs = await interleave(ours, bare, pairs=3)
    assert "".join(order) == "ob" + "ob" + "bo" + "ob"
    assert pairs == Pairs(ours_s=(30.0, 60.0, 70.0), bare_s=(4.0, 5.0, 8.0))


def test_the_ratio_is_the_median_of_neighbours_not_of_sides() -> None:
    # The machine slowed down eightfold for the last two pairs, which were twice as slow on both sides or so.
    pairs = Pairs(ours_s=(2.0, 2.0, 16.0, 24.0, 16.0), bare_s=(1.0, 1.0, 8.0, 8.0, 8.0))
    assert pairs.ratios == (2.0, 2.0, 2.0, 3.0, 2.0)
    assert pairs.ratio == 2.0
    assert pairs.detail(per_run=1_000) == {
        "ours_us": 16_000.0,
        "bare_us": 8_000.0,
        "ratio_p10": 2.0,
        "ratio_p90": 3.0,
        "pairs": 5,
        "operations_per_run": 1_000,
    }


def test_a_quantile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert quantile(values, 0.0) == 1.0
    assert quantile(values, 0.99) == 99.0
    assert quantile(values, 1.0) == 100.0
    assert quantile([7.0], 0.5) == 7.0


def test_figures_have_four_digits() -> None:
    assert [rounded(value) for value in (0.0123456, 123456.0, 0.0)] == [0.01235, 123500.0, 0.0]


@pytest.mark.parametrize(
    ("goal", "text", "met", "missed"),
    [(at_most(0.2), "≤ 0.2", 0.2, 0.2001), (at_least(100), "≥ 100", 100.0, 99.9)],
)
def test_a_goal_has_a_side_and_includes_its_limit(goal: Goal, text: str, met: float, missed: float) -> None:
    assert str(goal) == text
    assert goal.met_by(met)
    assert not goal.met_by(missed)


def test_each_line_has_an_id_of_its_own_and_its_row_in_the_reference() -> None:
    assert len({line.id for line in LINES}) == len(LINES)
    page = (ROOT / "docs/reference/benchmarks.md").read_text()
    rows = {row.split("|")[1].strip(): row for row in page.splitlines() if row.startswith("| `")}
    assert list(rows) == [f"`{line.id}`" for line in LINES]
    for line in LINES:
        assert f"| {line.goal} {line.unit} |".replace(" ratio |", " |") in rows[f"`{line.id}`"]
