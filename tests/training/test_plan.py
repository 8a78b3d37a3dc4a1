"""The rates of a run before it starts are those of its steps."""

import pytest

from secchi.training.plan import SchedulePlan
from secchi.training.spec import Training


@pytest.mark.parametrize(("equal", "steps"), [(False, 8), (True, 6)])
def test_a_plan_has_the_steps_that_are_taken(equal: bool, steps: int) -> None:
    plan = SchedulePlan.of(Training(epochs=2, batch_size=16), ["network"], 50, equal)
    assert len(plan.rates["network"]) == steps
    assert plan.epochs[steps // 2] == 1.0
