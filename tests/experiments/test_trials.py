"""A trial's key: the same for the same, in any process, and for nothing else."""

import json
import subprocess
import sys
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from secchi.experiments.trials import Trial, trials_of

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
SETTINGS = st.dictionaries(st.text(max_size=5), PLAIN, max_size=4)


@settings(deadline=None)
@given(SETTINGS, st.integers(0, 9))
def test_a_key_outlives_json_and_the_order_of_factors(setting: dict[str, Any], repeat: int) -> None:
    trial = Trial(setting, repeat)
    again = Trial(dict(reversed(json.loads(json.dumps(setting)).items())), repeat)
    assert again.key == trial.key
    assert len(trial.key) == 24
    assert {trial, again} == {trial}


@settings(deadline=None)
@given(SETTINGS, SETTINGS, st.integers(0, 3), st.integers(0, 3))
def test_other_trials_have_other_keys(
    one: dict[str, Any], other: dict[str, Any], first: int, second: int
) -> None:
    same = _typed(one) == _typed(other) and first == second
    assert (Trial(one, first) == Trial(other, second)) is same


def test_a_key_is_the_same_in_another_process_and_another_year() -> None:
    assert Trial({"lr": 0.1, "hidden": (4, 8)}, 2).key == "fe7ff9532139a5e2513e8bfa"
    code = (
        "from secchi.experiments.trials import Trial;"
        "print(Trial({'hidden': [4, 8.0], 'lr': 0.1}, 2).key)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == Trial({"lr": 0.1, "hidden": (4, 8)}, 2).key


def test_a_truth_value_is_no_number() -> None:
    assert Trial({"nesterov": True}, 0) != Trial({"nesterov": 1}, 0)
    assert Trial({"lr": 1}, 0) == Trial({"lr": 1.0}, 0)
    assert Trial({}, 0) != 0


def test_settings_of_a_repeat_are_neighbours() -> None:
    settings = [{"lr": rate} for rate in (0.1, 1.0)]
    few, more = trials_of(settings, 2), trials_of(settings, 3)
    assert [(trial.setting["lr"], trial.repeat) for trial in few] == [
        (0.1, 0),
        (1.0, 0),
        (0.1, 1),
        (1.0, 1),
    ]
    assert more[: len(few)] == few


def test_trials_are_made_without_torch() -> None:
    code = (
        "import sys; from secchi.experiments.trials import Trial;"
        "assert not {'torch', 'pandas', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _typed(value: Any) -> Any:
    """With a truth value told apart from a number, and 1.0 not from 1."""
    if isinstance(value, dict):
        return {name: _typed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_typed(each) for each in value]
    return ("bool", value) if isinstance(value, bool) else value
