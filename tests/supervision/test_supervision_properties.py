"""Whatever is planned, the promises hold: plans are generated, each is played in one trio run."""

import pytest
from hypothesis import given, settings

from supervision.supervision_plans import Plan, perform, plans
from supervision.supervision_promises import PROMISES, tell


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(plan=plans())
def test_the_promises_hold_for_any_plan(plan: Plan) -> None:
    story = tell(plan, perform(plan))
    for promise in PROMISES:
        promise(story)
