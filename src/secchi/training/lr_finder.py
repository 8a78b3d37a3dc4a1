"""Which learning rate? Train a copy while the rate rises, and look at the loss.

Smith (2015), "Cyclical Learning Rates for Training Neural Networks": the rate rises exponentially
from step to step; the loss falls while the rate is useful and rises when it is too high. Everything
is done to a copy: the network, its running statistics, the generators and the order of the data are
afterwards what they were.
"""

import copy
import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from secchi.errors import SpecError
from secchi.seeding import stream
from secchi.training.evaluation import evaluate
from secchi.training.execution import ON_CPU, Execution, gpus, threads_for
from secchi.training.loop import Epochs, begin
from secchi.training.losses import TaskLoss
from secchi.training.optimizers import ParameterGroup, one_group
from secchi.training.rows import Inputs, Mixing, Rows
from secchi.training.spec import Training, spread
from secchi.values import is_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOWEST, HIGHEST = 1e-6, 10.0
"""The rates between which the search rises."""

_DIVERGED = 4.0  # times the lowest loss: there the search ends
_NEAR = 9  # steps that are averaged, and over which divergence is judged
_WINDOW = 0.3  # decades to either side over which a slope is taken
_CLEARLY = 0.25  # of the steepest slope
_FALLS = 0.02  # of the first loss: less is no fall
_BEYOND_NOISE = 4.0  # standard errors of the smoothed loss: less is neither a fall nor a rise
_ENOUGH_LOOKS = 15

DEFAULT = "still_improving"


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A learning rate, and the rule that it comes from.

    >>> Suggestion(0.01, "where the loss falls fastest").lr
    0.01
    """

    lr: float
    why: str


@dataclasses.dataclass(frozen=True)
class LearningRateSearch:
    """What a search saw.

    Attributes:
        rates: The learning rate of each step, of the last layer group.
        losses: The training loss of each step, before it was taken.
        smoothed: The same, averaged over the steps before and after each.
        valid_rates: The rates after which the validation rows were looked at.
        valid_losses: The losses on them.
        metric: What else was measured on them.
        valid_metrics: Its values.
        suggestions: Rates by the name of their rule, from the validation loss where it was looked
            at often, else from the smoothed training loss. Where the loss never fell there is
            one at most: a third of the rate from which it rises.
        seconds: How long it took.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    valid_rates: tuple[float, ...]
    valid_losses: tuple[float, ...]
    metric: str
    valid_metrics: tuple[float, ...]
    suggestions: dict[str, Suggestion]
    seconds: float

    @property
    def suggestion(self) -> float | None:
        """The rate of the first rule: the highest at which the loss is still clearly improving.

        None where the loss neither fell nor rose.
        """
        return next((one.lr for one in self.suggestions.values()), None)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if not self.suggestions:
            return (
                f"the loss neither fell nor rose at any rate from {self.rates[0]:.0e} to "
                f"{self.rates[-1]:.0e}"
                if self.rates
                else "the loss was no number from the start"
            )
        first, width = next(iter(self.suggestions)), max(map(len, self.suggestions))
        return "\n".join(
            f"{'->' if name == first else '':<2} {name:<{width}}  {one.lr:8.1e}  {one.why}"
            for name, one in self.suggestions.items()
        )

    def plot(self) -> "Figure":
        """Loss and metric against the rate, the suggestions marked."""
        from secchi.figures.rates import rate_search

        marks = {name: one.lr for name, one in self.suggestions.items()}
        return rate_search(
            self.rates,
            self.losses,
            self.smoothed,
            (self.valid_rates, self.valid_losses, self.valid_metrics),
            self.metric,
            marks,
        )

    def plot_schedule(self) -> "Figure":
        """The rate against the step."""
        from secchi.figures.rates import rate_ramp

        return rate_ramp(self.rates)


def find_lr(
    net: nn.Module,
    train_rows: Rows,
    valid_rows: Rows,
    training: Training,
    *,
    groups: Sequence[ParameterGroup] | None = None,
    first_epoch: int = 0,
    execution: Execution = ON_CPU,
    mixing: Mixing | None = None,
    units: Sequence[float] | None = None,
    equal_batches: bool = False,
    metric: str = "accuracy",
    steps: int = 100,
    looks: int = 100,
    most_valid_rows: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> LearningRateSearch:
    """Search for a learning rate, on a copy of a network.

    Args:
        net: The network; it stays as it is.
        train_rows: What the copy is trained on.
        valid_rows: What it is looked at by.
        training: How; its schedule and epochs have no say, and of several rates only the ratios.
        groups: As for :func:`secchi.training.loop.train`.
        first_epoch: The epoch whose augmentation is seen.
        execution: Where it computes.
        mixing: Mixes the inputs of a batch.
        units: As for :func:`secchi.training.loop.train`.
        equal_batches: Likewise.
        metric: What is measured on the validation rows beside the loss.
        steps: How many steps the rate takes from :data:`LOWEST` to :data:`HIGHEST`.
        looks: How often the validation rows are looked at.
        most_valid_rows: How many of them, at most.
        progress: Called with (steps taken, steps).

    Raises:
        SpecError: No steps, more rates than layer groups, or a loss that does not suit a target.

    >>> from secchi.data.task import Labels, Task
    >>> from secchi.training.rows import ArrayInputs
    >>> values = np.random.default_rng(0).normal(size=(90, 2)).astype(np.float32)
    >>> sides = ["left" if x < 0 else "right" for x in values[:, 0]]
    >>> rows = Rows(ArrayInputs(values), Labels.of(Task.classify(["left", "right"]).target, sides))
    >>> net = nn.Linear(2, 1)
    >>> before = net.weight.detach().clone()
    >>> search = find_lr(net, rows, rows, Training(batch_size=30), steps=60)
    >>> LOWEST < search.suggestion <= HIGHEST, bool((net.weight == before).all())
    (True, True)
    """
    if not (is_whole(steps) and steps >= 1):
        raise SpecError("this search cannot be", [f"steps is {steps!r}, not 1 or more"])
    started = time.perf_counter()
    trained, of_copy = _copied(net, groups or one_group(net))
    ratios = spread(training.rates, len(of_copy))
    training = dataclasses.replace(
        training, lr=tuple(ratio / ratios[-1] for ratio in ratios), ema=None
    )
    looked_at = _some(valid_rows, most_valid_rows, training.seed)
    rates = np.geomspace(LOWEST, HIGHEST, steps)
    losses: list[float] = []
    valid: list[tuple[float, float, float]] = []
    loss_of = TaskLoss(train_rows.labels.task, training, units)
    state = begin(execution.place(trained), training, of_copy, first_epoch, execution)
    epochs = Epochs(state, train_rows, training, loss_of, execution, mixing, equal_batches)
    trained.train()
    with (
        torch.random.fork_rng(devices=gpus(execution.device)),
        threads_for(trained, training.batch_size),
    ):
        for step, places in enumerate(itertools.islice(_steps(epochs), steps)):
            trained.train()
            loss = epochs.gradient(places, f"search step {step}")
            if loss is None or not (math.isfinite(loss) and epochs.clip()):
                break
            state.optimizer.step(float(rates[step]))
            losses.append(loss)
            if step % max(1, steps // looks) == 0:
                judged = evaluate(
                    trained,
                    looked_at,
                    metrics=[metric],
                    execution=execution,
                    training=training,
                    units=units,
                )
                if math.isfinite(judged.loss):
                    value = next(iter(judged.metrics.values()))
                    valid.append((float(rates[step]), judged.loss, value))
            if progress:
                progress(step + 1, steps)
            if step > steps // 10 and _has_diverged(losses):
                break
    smoothed = _smoothed(np.array(losses))
    found = suggestions(rates[: len(losses)], np.array(losses))
    if len(valid) >= _ENOUGH_LOOKS:
        looked, there = (np.array([row[part] for row in valid]) for part in (0, 1))
        found = suggestions(looked, there, noisy=False)  # always the same rows
    return LearningRateSearch(
        tuple(map(float, rates[: len(losses)])),
        tuple(losses),
        tuple(map(float, smoothed)),
        tuple(row[0] for row in valid),
        tuple(row[1] for row in valid),
        metric,
        tuple(row[2] for row in valid),
        found,
        time.perf_counter() - started,
    )


def _has_diverged(losses: list[float]) -> bool:
    """Whether the last losses are far above the lowest ones."""
    lately = np.median(losses[-_NEAR // 2 :])
    lowest = min(np.median(losses[i : i + _NEAR]) for i in range(0, len(losses), _NEAR))
    return bool(lately > _DIVERGED * lowest and lately > losses[0])


def _smoothed(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Averaged over the steps before and after each, the near ones more, so that nothing lags."""
    if len(losses) < _NEAR:
        return losses
    weights = np.hanning(_NEAR + 2)[1:-1]
    total = np.convolve(np.ones(len(losses)), weights, "same")
    averaged: NDArray[np.float64] = np.convolve(losses, weights, "same") / total
    return averaged


def suggestions(
    rates: NDArray[np.float64], losses: NDArray[np.float64], *, noisy: bool = True
) -> dict[str, Suggestion]:
    """Learning rates by several rules, from a loss against rates that rise.

    Args:
        rates: (steps,), rising evenly on a logarithmic scale.
        losses: (steps,); what stands behind the first that is no number has no say.
        noisy: Whether they are of other rows at each step; then they are smoothed, and what is no
            larger than the noise that smoothing leaves is neither a fall nor a rise.

    Returns:
        By name, the rule that is taken first; see :class:`LearningRateSearch`.

    >>> rates = np.geomspace(1e-5, 10, 61)
    >>> losses = 1 - np.exp(-((np.log10(rates) + 1) ** 2))  # a valley with its floor at 0.1
    >>> {name: f"{one.lr:.0e}" for name, one in suggestions(rates, losses).items()}
    {'still_improving': '6e-02', 'steepest': '2e-02', 'valley': '5e-03', 'minimum_tenth': '1e-02'}
    """
    finite = np.isfinite(losses)
    count = len(losses) if finite.all() else int(np.argmin(finite))
    if count < 3:
        return {}
    rates, losses = rates[:count], losses[:count]
    decades = np.log10(rates)
    losses, noise = (_smoothed(losses), _noise(losses)) if noisy else (losses, 0.0)
    # Of several steps: the first one alone is the least smooth, with none before it.
    start = losses[: max(1, min(_NEAR, count // 4))].mean() if noisy else losses[0]
    clear = max(_FALLS * abs(start), _BEYOND_NOISE * noise)
    bottom = _bottom(losses, start, clear)
    if bottom < 2 or start - losses[bottom] < clear:
        return _before_rise(rates, losses, noise)
    slopes = _slopes(decades, losses)[: bottom + 1]
    steepest = int(np.argmin(slopes))
    falling = np.flatnonzero(slopes <= _CLEARLY * slopes[steepest])
    valley = _valley(losses[: bottom + 1])
    return {
        DEFAULT: Suggestion(
            float(rates[falling[-1]]),
            "the highest rate at which the loss still falls clearly: a quarter as fast as at most",
        ),
        "steepest": Suggestion(float(rates[steepest]), "where the loss falls fastest"),
        "valley": Suggestion(
            float(rates[valley]), "two thirds down the longest stretch on which the loss falls"
        ),
        "minimum_tenth": Suggestion(
            float(max(rates[bottom] / 10, rates[0])), "a tenth of the rate with the lowest loss"
        ),
    }


def _bottom(losses: NDArray[np.float64], start: float, clear: float) -> int:
    """Where the loss is lowest before it rises again for the first time.

    A rise takes back a quarter of a clear fall. What falls behind it, as a training that was thrown
    off finds its way back, says nothing of the rates there.

    >>> _bottom(np.array([1.0, 0.5, 0.1, 0.6, 0.0]), start=1.0, clear=0.1)
    2
    """
    lowest = np.minimum.accumulate(losses)
    fallen = start - lowest
    rises = (fallen >= clear) & (losses - lowest > np.maximum(_CLEARLY * fallen, clear))
    end = int(np.argmax(rises)) if rises.any() else len(losses)
    return int(np.argmin(losses[:end]))


def _noise(losses: NDArray[np.float64]) -> float:
    """The standard error of the smoothed loss, from how losses scatter around it."""
    if len(losses) < _NEAR:
        return 0.0
    weights = np.hanning(_NEAR + 2)[1:-1]
    weights /= weights.sum()
    share = float((weights**2).sum())
    # A step counts in the average that it is compared with, and lies so much nearer to it.
    nearer = 1 - 2 * float(weights[_NEAR // 2]) + share
    scatter = np.abs(losses - _smoothed(losses))
    # 1.4826 times the median deviation is the standard deviation of a normal distribution.
    return 1.4826 * float(np.median(scatter) * np.sqrt(share / nearer))


def _before_rise(
    rates: NDArray[np.float64], losses: NDArray[np.float64], noise: float
) -> dict[str, Suggestion]:
    """What is left to say where the loss never falls, as after training."""
    usual = float(np.median(losses[: max(1, len(losses) // 3)]))
    higher = np.flatnonzero(losses > usual + max(0.1 * abs(usual), 1e-3, _BEYOND_NOISE * noise))
    if not len(higher) or rates[higher[0]] / 3 < rates[0]:
        return {}
    why = "a third of the rate from which the loss rises: at no rate does it fall clearly"
    return {"before_rise": Suggestion(float(rates[higher[0]] / 3), why)}


def _slopes(decades: NDArray[np.float64], losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """The loss's slope by decade at each rate: of a line through the points near it."""
    # Few looks lie further apart than that: then to the next one on either side.
    window = max(_WINDOW, 1.01 * float(np.diff(decades).max()))
    slopes = np.empty(len(losses))
    for place, centre in enumerate(decades):
        near = np.abs(decades - centre) <= window
        x, y = decades[near] - decades[near].mean(), losses[near]
        slopes[place] = (x * y).sum() / max((x * x).sum(), 1e-12)
    return slopes


def _valley(losses: NDArray[np.float64]) -> int:
    """Two thirds along the longest falling subsequence."""
    lengths = np.ones(len(losses), int)
    before = np.full(len(losses), -1)
    for place in range(1, len(losses)):
        higher = np.flatnonzero(losses[:place] > losses[place])
        if len(higher):
            best = higher[np.argmax(lengths[higher])]
            lengths[place], before[place] = lengths[best] + 1, best
    place = int(np.argmax(lengths))
    falling = [place]
    while before[falling[-1]] >= 0:
        falling.append(int(before[falling[-1]]))
    falling.reverse()
    return falling[2 * len(falling) // 3]


def _copied(
    net: nn.Module, groups: Sequence[ParameterGroup]
) -> tuple[nn.Module, list[ParameterGroup]]:
    """A copy of a network, and its parameters in the same groups."""
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    copied = copy.deepcopy(net)
    for parameter in copied.parameters():
        parameter.grad = None
    theirs = dict(copied.named_parameters())
    return copied, [
        ParameterGroup(name, [theirs[names[id(p)]] for p in parameters])
        for name, parameters in groups
    ]


def _steps(epochs: Epochs) -> Iterator[slice]:
    """The places of each step's rows, for as many epochs as are asked for."""
    for turn in itertools.count():
        epochs.arrange(f"search order {turn}")
        yield from epochs.cuts


class _Chosen:
    """Some rows of inputs, as inputs."""

    def __init__(self, inputs: Inputs, places: NDArray[np.int64]) -> None:
        self.width = inputs.width
        self._inputs = inputs
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[Any]:
        return self._inputs.take(self._places[rows], epoch)


def _some(rows: Rows, most: int, seed: int) -> Rows:
    """At most so many rows, drawn once."""
    if len(rows.labels) <= most:
        return rows
    drawn = stream(seed, "rows that a search looks at").permutation(len(rows.labels))[:most]
    places = np.sort(drawn)
    return Rows(_Chosen(rows.inputs, places), rows.labels.take(places))
