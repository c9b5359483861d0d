"""Every command for the local stack's control connection that the docs show is one that it understands."""

import json
import re
from pathlib import Path
from typing import get_args

import httpx
import pytest

from tgworker.devstack import Action, Binaries, Fault, open_stack

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "local-stack.md"
SHOWN = re.compile(r"^\$ curl -X (\w+) \$CONTROL(\S+)(?: -d '(.*)')?$", re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)` \|.*\| `(\{\"action\".*\})` \|$", re.MULTILINE)


def test_every_fault_is_in_the_table_with_an_example() -> None:
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert [name for name, _ in rows] == list(get_args(Action))
    for name, example in rows:
        assert Fault(**json.loads(example)).action == name


@pytest.mark.slow
async def test_the_stack_understands_every_command_of_the_page(stack_binaries: Binaries) -> None:
    shown = SHOWN.findall(PAGE.read_text(encoding="utf-8"))
    assert len(shown) == 10
    async with open_stack(stack_binaries, control_port=0) as stack:
        assert stack.control is not None
        async with httpx.AsyncClient(base_url=stack.control, timeout=30) as control:
            for method, path, body in shown:
                answer = await control.request(method, path, content=body)
                assert answer.status_code == 200, (path, answer.text)
        await stack.stopped.wait()
