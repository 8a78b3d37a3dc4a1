"""Which trials tell what a factor does by itself, as the design has it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from secchi.experiments.reading.collected import Collected
from secchi.experiments.reading.measures import setting_text
from secchi.experiments.space import DRAWN

if TYPE_CHECKING:
    from secchi.experiments.trials import Finished


class Asked(NamedTuple):
    """Trials that are asked about some factors.

    Attributes:
        collected: What is known of them.
        finished: They, with their curves.
        remark: In what else they are alike, or differ; "" for nothing.
    """

    collected: Collected
    finished: "Sequence[Finished]"
    remark: str


def asked_about(
    by: Sequence[str], collected: Collected, finished: "Sequence[Finished]", design: str
) -> Asked:
    """The trials that tell what some factors do, where the others are averaged over.

    In a grid these are all. Where one factor changes at a time they are those in which the others
    are as in the base: the base has one value of each, and with it all changes of the others.

    Args:
        by: The factors.
        collected: All trials.
        finished: They, with their curves.
        design: Of their settings; one of :data:`secchi.experiments.space.DESIGNS`.
    """
    others = collected.usual(besides=by)
    if not by or not others or design == "grid":
        return Asked(collected, finished, "")
    if design in DRAWN:
        differ = "groups differ in the other factors, too, which effects() takes into account"
        return Asked(collected, finished, differ)
    some = [
        one
        for one, trial in zip(finished, collected.trials, strict=True)
        if all(trial.setting.get(name) == value for name, value in others.items())
    ]
    return Asked(Collected.of(some, collected.ratio), some, f"with {setting_text(others)}")
