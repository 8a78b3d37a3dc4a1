"""Which factor matters: main effects, interactions of two, and what is noise."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from secchi.errors import SpecError, did_you_mean
from secchi.experiments.reading.collected import Collected, Places
from secchi.experiments.reading.measures import NO_NUMBER, corrected_text, measure_text, p_text
from secchi.experiments.reading.variance import Variance, entangled, levels, variance_of
from secchi.experiments.settings import canonical
from secchi.files import finite
from secchi.intervals import LEVEL, holm
from secchi.text import counted, names_of, number, table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Effect:
    """What one factor, or two together beyond each by itself, does to a measure.

    Attributes:
        name: ``"lr"``, ``"lr x dropout"`` for an interaction, ``"lr and weight_decay"`` for factors
            that cannot be told apart.
        factors: All that are in it.
        share: Of the variance among all trials (eta squared).
        range: How far its values move the mean, from the least to the most; NaN for two factors.
        freedom: Its degrees of freedom; 0 where the design does not tell it from the others.
        p: How often chance alone would make some effect of the experiment as large: the p-value of
            an F-test, corrected for how many effects are tested; NaN where it is not tested, since
            it has no degrees of freedom, or nothing is known of noise.
    """

    name: str
    factors: tuple[str, ...]
    share: float
    range: float
    freedom: int
    p: float

    @property
    def beyond_noise(self) -> bool:
        """Whether it is more than chance would make it; never where nothing is known of noise."""
        return self.p < 1 - LEVEL


@dataclasses.dataclass(frozen=True)
class Effects:
    """How much of the variance among trials each factor makes, the largest share first.

    Attributes:
        measure: What was measured.
        effects: Of each factor, and of every two whose values the design combines. Factors of
            which one follows from the other have one effect together.
        repeat: The share of the repeats: what moves all settings of one repeat together.
        rest: The share that is none of these: noise, and interactions of three factors or more.
        trials: How many trials they are of.
        left_out: How many settings were left out, for every trial of theirs failed.
        balanced: Whether every combination of values has equally many trials. If not, shares are
            found by least squares, each beyond that of the others, and do not add up to 1.
        binned: Factors with so many values that neighbours were taken together.
        caution: What the noise of the repeats does not tell of; "" for nothing.
    """

    measure: str
    effects: tuple[Effect, ...]
    repeat: float
    rest: float
    trials: int
    left_out: int
    balanced: bool
    binned: tuple[str, ...]
    caution: str = ""

    def __getitem__(self, name: str) -> Effect:
        """One effect by its name, such as ``"lr"`` or ``"lr x dropout"``.

        Raises:
            SpecError: There is none of that name.
        """
        found = {one.name: one for one in self.effects}
        if name not in found:
            known = f"{did_you_mean(name, found)}; there are: {', '.join(found) or 'none'}"
            raise SpecError("this effect cannot be", [f"there is none called {name!r}{known}"])
        return found[name]

    @property
    def verdict(self) -> str:
        """One sentence: what matters, and what is noise."""
        if not self.trials:
            return f"there is nothing to tell apart: {NO_NUMBER}"
        if not self.effects:
            return "nothing varies, so nothing has an effect"
        tested = [one for one in self.effects if not math.isnan(one.p)]
        if not tested:
            return "nothing can be said about noise: it takes three repeats or more, which differ"
        found = [f"{one.name} ({one.share:.0%})" for one in tested if one.beyond_noise]
        noise = [one.name for one in tested if not one.beyond_noise]
        others = [one.name for one in self.effects if one not in tested]
        corrected = corrected_text(len(tested), "tests")
        said = (
            f"beyond the noise{corrected}: {', '.join(found)}"
            if found
            else f"no effect is beyond the noise{corrected}"
        )
        said += f"; within it: {', '.join(noise)}" if found and noise else ""
        return said + (f"; not tested: {', '.join(others)}" if others else "")

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the shares should know."""
        said = []
        if not self.balanced:
            said.append(
                "the design is not balanced: shares are by least squares, each beyond the others, "
                "and do not add up"
            )
        said += [
            f"{names_of(one.factors)} cannot be told apart: their values go together"
            for one in self.effects
            if len(one.factors) > 1 and not math.isnan(one.range)
        ]
        said += [
            f"{one.name} cannot be told from the other factors"
            for one in self.effects
            if not one.freedom
        ]
        if self.binned:
            said.append(f"neighbouring values were taken together: {', '.join(self.binned)}")
        if self.left_out:
            said.append(
                f"{counted(self.left_out, 'setting', 'settings')} left out: every trial failed"
            )
        return tuple(said)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, the verdict among them; numbers that are not finite are None."""
        document = dataclasses.asdict(self)
        for plain_effect, one in zip(document["effects"], self.effects, strict=True):
            plain_effect["beyond_noise"] = one.beyond_noise
        document |= {"verdict": self.verdict, "remarks": self.remarks}
        plain: dict[str, Any] = finite(document)
        return plain

    def to_frame(self) -> "pd.DataFrame":
        """One row an effect, the largest share first."""
        import pandas as pd

        columns = ("name", "share", "range", "freedom", "p", "beyond_noise")
        records = [{name: getattr(one, name) for name in columns} for one in self.effects]
        return pd.DataFrame(records, columns=columns)

    def plot(self) -> "Figure":
        """Draw the share of every effect, those beyond the noise marked."""
        from secchi.experiments.reading.drawing import effects_figure

        return effects_figure(self)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        rows = [["", "share", "range of means", "p corrected"]]
        for one in self.effects:
            rows.append([one.name, f"{one.share:.1%}", number(one.range), p_text(one.p) or "-"])
        rows.append(["repeat", f"{self.repeat:.1%}", "", ""])
        rows.append(["the rest", f"{self.rest:.1%}", "", ""])
        head = f"variance of {measure_text(self.measure)} over {self.trials:,} trials"
        tested = any(not math.isnan(one.p) for one in self.effects)
        caution = [self.caution] if self.caution and tested else []
        return "\n".join([head, table(rows), *self.remarks, self.verdict, *caution])


def effects_of(collected: Collected, measure: str, caution: str = "") -> Effects:
    """The effects of all factors; see :meth:`secchi.experiments.result.Result.effects`."""
    values = collected.finals(measure)
    there = np.asarray(np.isfinite(values).any(axis=1))
    settings = [one for one, known in zip(collected.settings, there, strict=True) if known]
    values = values[there]
    columns = {name: [one.get(name) for one in settings] for name in collected.varied}
    columns = {name: each for name, each in columns.items() if len(set(map(canonical, each))) > 1}
    groups, codes, cut = _levels(columns, len(collected.repeats))
    variance = variance_of(values, codes, any(cut), collected.ratio)
    effects = [
        *(
            (_name([group]), group, _range(variance, code))
            for group, code in zip(groups, codes, strict=True)
        ),
        *((_name(pair), pair[0] + pair[1], math.nan) for pair in itertools.combinations(groups, 2)),
    ]
    p = holm(np.array([part.p for part in variance.parts]))
    found = [
        Effect(name, factors, part.share, moved, part.freedom, float(q))
        for (name, factors, moved), part, q in zip(effects, variance.parts, p, strict=True)
        # Two factors that are never combined have no interaction.
        if part.freedom or not math.isnan(moved)
    ]
    return Effects(
        measure,
        tuple(sorted(found, key=lambda one: -one.share)),
        variance.repeat,
        variance.rest,
        int(np.isfinite(values).sum()),
        int((~there).sum()),
        variance.balanced,
        tuple(name for group, coarse in zip(groups, cut, strict=True) if coarse for name in group),
        caution,
    )


def _levels(
    columns: dict[str, list[Any]], repeats: int
) -> tuple[list[tuple[str, ...]], list[Places], list[bool]]:
    """The factors, those together that cannot be told apart; their levels, and which are coarse."""
    names = list(columns)
    alike = entangled(levels(list(columns.values()), repeats)[0])
    groups = [tuple(names[place] for place in group) for group in alike]
    codes, cut = levels([columns[group[0]] for group in groups], repeats)
    return groups, codes, cut


def _name(groups: Sequence[tuple[str, ...]]) -> str:
    """One group of factors, or several and their interaction, as text.

    >>> _name([("lr", "weight_decay"), ("dropout",)])
    '(lr and weight_decay) x dropout'
    """
    texts = [" and ".join(group) for group in groups]
    if len(groups) == 1:
        return texts[0]
    return " x ".join(
        f"({text})" if len(group) > 1 else text for text, group in zip(texts, groups, strict=True)
    )


def _range(variance: Variance, code: Places) -> float:
    """From the least to the most of the means over all settings with each value."""
    means = np.bincount(code, variance.means) / np.bincount(code)
    return float(means.max() - means.min())
