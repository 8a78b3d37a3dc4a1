"""What can be asked of a trial by name, and how values of factors are written."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from secchi.errors import SpecError, did_you_mean
from secchi.training.metrics import LOWER_IS_BETTER, metric_range
from secchi.values import is_number

GAP = "gap"
"""The generalisation gap: the validation loss less the training loss."""

LOSSES = ("train_loss", "valid_loss")

NO_NUMBER = "no trial has a number; result.failures() says which failed and why"
"""What is told in place of numbers where there are none."""


def lower_is_better(measure: str) -> bool:
    """Whether less of it is better, as of every loss.

    >>> lower_is_better("valid_loss"), lower_is_better("valid_accuracy")
    (True, False)
    """
    name = measure.removeprefix("train_").removeprefix("valid_")
    return name == GAP or name.rpartition(".")[2] in LOWER_IS_BETTER


def measure_range(measure: str) -> tuple[float, float]:
    """The least and the most that it can be; see :func:`secchi.training.metrics.metric_range`.

    >>> measure_range("valid_accuracy"), measure_range("train_loss"), measure_range("gap")
    ((0.0, 1.0), (0.0, inf), (-inf, inf))
    """
    if measure == GAP:
        return -math.inf, math.inf
    name = measure.removeprefix("train_").removeprefix("valid_")
    return metric_range(name.rpartition(".")[2])


def target_of(measure: str) -> str:
    """The target that it is of, where there are several; nothing where there is one.

    >>> target_of("valid_pet.accuracy"), target_of("valid_accuracy")
    ('pet', '')
    """
    return measure.removeprefix("valid_").rpartition(".")[0]


def is_share(measure: str) -> bool:
    """Whether it is the share of rows of which something is true, such as of right answers.

    >>> is_share("valid_accuracy"), is_share("valid_top_3"), is_share("valid_balanced_accuracy")
    (True, True, False)
    """
    name = measure.removeprefix("valid_").rpartition(".")[2]
    return name in ("accuracy", "error_rate") or name.startswith("top_")


def usual_measure(known: Sequence[str]) -> str:
    """What is meant where nobody says: the first metric, or else the validation loss.

    >>> usual_measure(["train_loss", "valid_loss", "valid_r", "gap"]), usual_measure(LOSSES)
    ('valid_r', 'valid_loss')
    """
    metrics = [name for name in known if name.startswith("valid_") and name not in LOSSES]
    return metrics[0] if metrics else "valid_loss"


def check_measure(measure: str, known: Sequence[str]) -> None:
    """Refuse what was not measured.

    Raises:
        SpecError: There is no measure of that name.
    """
    if measure not in known:
        hint = did_you_mean(measure, known)
        fault = f"there is none called {measure!r}{hint}; known: {', '.join(known)}"
        raise SpecError("this measure cannot be", [fault])


def check_factors(by: Sequence[str], known: Sequence[str]) -> None:
    """Refuse what is no factor of the experiment, or is given twice.

    Raises:
        SpecError: With every fault.
    """
    varied = ", ".join(known) or "none"
    faults = [
        f"there is no factor {name!r}{did_you_mean(name, known)}; varied: {varied}"
        for name in dict.fromkeys(by)
        if name not in known
    ]
    faults += [f"{name!r} is given twice" for name in dict.fromkeys(by) if by.count(name) > 1]
    if faults:
        raise SpecError("trials cannot be grouped so", faults)


def all_numbers(values: Sequence[Any]) -> bool:
    """Whether each is a number, so that it has a place on an axis."""
    return all(is_number(value) for value in values)


def value_text(value: Any) -> str:
    """A value of a factor as a person reads it.

    >>> value_text(0.30000000000000004), value_text([16, 32]), value_text(None), value_text("relu")
    ('0.3', '[16, 32]', 'none', 'relu')
    """
    if value is None:
        return "none"
    if is_number(value):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def setting_text(setting: Mapping[str, Any]) -> str:
    """A setting as a person reads it.

    >>> setting_text({"lr": 0.1, "hidden": [16, 32]}), setting_text({})
    ('lr = 0.1, hidden = [16, 32]', 'the only setting')
    """
    if not setting:
        return "the only setting"
    return ", ".join(f"{name} = {value_text(value)}" for name, value in setting.items())


def p_text(p: float) -> str:
    """A p-value as a person reads it; nothing of one that is not known.

    >>> p_text(0.2104), p_text(1e-9), p_text(math.nan)
    ('0.210', '< 0.001', '')
    """
    if math.isnan(p):
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def corrected_text(count: int, what: str) -> str:
    """What is said of p-values that were corrected for how many there are; nothing of a single one.

    >>> corrected_text(33, "comparisons"), corrected_text(1, "tests")
    (' after correction for 33 comparisons', '')
    """
    return f" after correction for {count:,} {what}" if count > 1 else ""


def measure_text(measure: str) -> str:
    """A measure as an axis names it.

    >>> measure_text("valid_accuracy"), measure_text("train_loss"), measure_text("gap")
    ('validation accuracy', 'training loss', 'generalisation gap of the loss')
    >>> measure_text("valid_final_grade.balanced_accuracy")
    'validation final_grade.balanced accuracy'
    """
    if measure == GAP:
        return "generalisation gap of the loss"
    split, _, name = measure.partition("_")
    target, dot, metric = name.rpartition(".")
    return f"{_SPLITS[split]} {target}{dot}{metric.replace('_', ' ')}"


def unit_fault(measure: str, factors: Sequence[str]) -> str | None:
    """Why a loss cannot compare the values of some factors; None where it can.

    Args:
        measure: What is asked for.
        factors: Those that change what losses are in units of.

    >>> unit_fault("valid_rmse", ["slope"]), unit_fault("valid_loss", [])
    (None, None)
    >>> print(unit_fault("valid_loss", ["slope"]))
    the validation loss is in units of the spread of the training rows, which is another one for \
each slope: measure what is in units of its own, as with metrics=['rmse'], or scale no target \
(target_scale 'none')
    """
    if not factors or measure not in (*LOSSES, GAP):
        return None
    return (
        f"the {measure_text(measure)} is in units of the spread of the training rows, which is "
        f"another one for each {' and '.join(factors)}: measure what is in units of its own, as "
        "with metrics=['rmse'], or scale no target (target_scale 'none')"
    )


_SPLITS = {"train": "training", "valid": "validation"}
