"""What was measured, for people and for programs. Pure."""

import json
from collections.abc import Mapping, Sequence

from benchmarks.line import Json, Line, Measured, NotMeasured

Results = Mapping[str, Measured | NotMeasured]


def verdict(line: Line, result: Measured | NotMeasured) -> str:
    """One word or two: whether the goal is met."""
    if isinstance(result, NotMeasured):
        return "not measured"
    return "met" if line.goal.met_by(result.value) else "missed"


def as_json(lines: Sequence[Line], results: Results) -> str:
    """One JSON object on one line: ``{"lines": {ID: {"value", "unit", "goal", "detail"}}}``.

    ``detail.goal_is`` says on which side of ``goal`` the value should be, ``detail.met`` whether it is. A
    line that could not be measured has the value ``null`` and says why in ``detail.error``.
    """
    return json.dumps({"lines": {line.id: _entry(line, results[line.id]) for line in lines}}, allow_nan=False)


def _entry(line: Line, result: Measured | NotMeasured) -> dict[str, Json]:
    value: Json
    detail: dict[str, Json] = {"goal_is": line.goal.side.value}
    if isinstance(result, NotMeasured):
        value = None
        detail["error"] = result.reason
    else:
        value = result.value
        detail |= {"met": line.goal.met_by(result.value), **result.detail}
    return {"value": value, "unit": line.unit, "goal": line.goal.limit, "detail": detail}


def as_table(lines: Sequence[Line], results: Results) -> str:
    """A table: ID, value, goal, whether it is met; and what each line is."""
    rows = [("line", "value", "goal", "", "what")]
    rows += [
        (line.id, _value(line, results[line.id]), str(line.goal), verdict(line, results[line.id]), line.what)
        for line in lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{line_id:<{widths[0]}}  {value:>{widths[1]}}  {goal:<{widths[2]}}  {word:<{widths[3]}}  {what}"
        for line_id, value, goal, word, what in rows
    )


def _value(line: Line, result: Measured | NotMeasured) -> str:
    if isinstance(result, NotMeasured):
        return "-"
    return f"{result.value:g}" if line.unit == "ratio" else f"{result.value:g} {line.unit}"
