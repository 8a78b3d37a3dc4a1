"""Training and validation: one loop over batches, straight from memory or a mapped file."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from secchi.errors import DataError, SpecError
from secchi.models.groups import uses_batch_statistics
from secchi.seeding import stream, stream_seed
from secchi.training.averaging import WeightAverage
from secchi.training.evaluation import Evaluation, evaluate
from secchi.training.execution import ON_CPU, Execution, gpus, seed_generators, threads_for
from secchi.training.history import Epoch, History, Outcome
from secchi.training.losses import TaskLoss
from secchi.training.memory import where_it_fits
from secchi.training.optimizers import Optimizer, ParameterGroup, lengths, one_group
from secchi.training.penalties import Penalties
from secchi.training.rows import Batches, Mixing, Rows
from secchi.training.schedules import At
from secchi.training.spec import Training
from secchi.training.state import TrainState
from secchi.training.steps import Batch, all_finite, gradient_step, pieces
from secchi.training.stopping import EarlyStopping, KeepBest

_ONE_ROW = "Expected more than 1 value per channel"
"""Of torch's error where batch normalisation has one row whose maps have one place."""


class Keeper(Protocol):
    """Keeps the state of a run while it goes on, so that it can be killed anywhere."""

    def restore(self, state: TrainState) -> bool:
        """Bring a state to what was kept; False where nothing was."""
        ...

    def offer(self, state: TrainState) -> None:
        """Called after every step; keeps the state where it is time to."""
        ...


def train(
    net: nn.Module,
    train_rows: Rows,
    valid_rows: Rows | None,
    training: Training,
    *,
    metrics: Sequence[str] = ("accuracy",),
    groups: Sequence[ParameterGroup] | None = None,
    first_epoch: int = 0,
    execution: Execution = ON_CPU,
    mixing: Mixing | None = None,
    units: Sequence[float] | None = None,
    equal_batches: bool = False,
    observe: Callable[[Epoch], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] | None = None,
    keeper: Keeper | None = None,
) -> History:
    """Train a network.

    The order of the batches and every random choice in a step follow from the training's seed,
    the epoch's number and the step's alone, so the same call gives the same numbers, and nothing
    has to be replayed where a killed run goes on. What a network draws in step s of epoch e, such
    as the masks of dropout, it draws from torch's generators seeded with
    ``secchi.seeding.stream_seed(training.seed, f"step {s} of epoch {e}")``; the order of an epoch
    is ``secchi.seeding.stream(training.seed, f"batch order of epoch {e}").permutation(rows)``, of
    the rows that weigh more than 0. The others are in no batch, as if they were not there.

    Args:
        net: What is trained, in place; it is left in evaluation mode.
        train_rows: What it learns from.
        valid_rows: What it is judged by after every epoch. None where nothing is held out: then
            there are no metrics, and the validation loss is NaN.
        training: How.
        metrics: Names for :func:`secchi.training.metrics.metric`.
        groups: Its parameters by layer group, first layers first; None takes them as one.
        first_epoch: The number of the first epoch.
        execution: Where it computes.
        mixing: Mixes the inputs of a batch (mixup, cutmix).
        units: One a target: of a number, what one step of the loss is, as its spread over the
            training rows; see :class:`secchi.training.losses.TaskLoss`. None takes 1 for all.
        equal_batches: Whether rows that are left over are dropped where the training's
            ``drop_last`` is None.
        observe: Sees every epoch's record when it is done, and changes nothing.
        progress: Called with (rows trained so far, rows to train in all).
        tell: Told what a person should know at once, in a line.
        keeper: Keeps the state on the way.

    Raises:
        DataError: One side has no rows, or only rows of weight zero; or batch normalisation, where
            it uses the statistics of batches, has but one row.
        SpecError: More learning rates than layer groups, a loss that does not suit a target, or
            rules that watch the validation loss where there are no validation rows.

    >>> from secchi.data.task import Labels, Task
    >>> from secchi.training.rows import ArrayInputs
    >>> values = np.random.default_rng(0).normal(size=(90, 2)).astype(np.float32)
    >>> sides = ["left" if x < 0 else "right" for x in values[:, 0]]
    >>> rows = Rows(ArrayInputs(values), Labels.of(Task.classify(["left", "right"]).target, sides))
    >>> net = nn.Linear(2, 1)
    >>> history = train(net, rows, rows, Training(lr=0.1, epochs=5, batch_size=30))
    >>> history.outcome.name, history.steps
    ('COMPLETED', 15)
    >>> judged = evaluate(net, rows, metrics=["accuracy"])
    >>> judged.metrics["accuracy"] > 0.8, judged.outputs.shape
    (True, torch.Size([90, 1]))
    """
    _check_rows(train_rows, valid_rows, training)
    loss = TaskLoss(train_rows.labels.task, training, units)
    execution.place(net)
    state = begin(net, training, groups, first_epoch, execution)
    if keeper:
        keeper.restore(state)
    epochs = Epochs(
        state, train_rows, training, loss, execution, mixing, equal_batches, progress, tell, keeper
    )
    judged = valid_rows is not None
    outcome = _verdict(state, training, judged)
    with torch.random.fork_rng(devices=gpus(execution.device)):
        while outcome is None and len(state.epochs) < training.epochs:
            started = time.perf_counter()
            outcome = epochs.steps()
            if outcome is not None:
                break
            with _averages_of(state):
                valid = valid_rows and evaluate(
                    net,
                    valid_rows,
                    metrics=metrics,
                    execution=execution,
                    training=training,
                    units=units,
                )
                _finish_epoch(state, training, valid, time.perf_counter() - started)
            if observe:
                observe(state.epochs[-1])
            if keeper:
                keeper.offer(state)
            outcome = _verdict(state, training, judged)
    kept = _settle(state, outcome)
    net.eval()
    outcome = outcome or Outcome.COMPLETED
    return History(
        tuple(state.epochs),
        outcome,
        training,
        state.step,
        kept,
        state.step_losses,
        state.step_rates,
    )


def _check_rows(train_rows: Rows, valid_rows: Rows | None, training: Training) -> None:
    """Refuse sides of which no row counts, and rules that would watch nothing."""
    _counted(train_rows, "training")
    if valid_rows is not None:
        _counted(valid_rows, "validation")
    else:
        watching = [name for name in ("patience", "keep_best") if getattr(training, name)]
        if watching:
            fault = "watches the validation loss, and there are no validation rows"
            raise SpecError("this training cannot be", [f"{name} {fault}" for name in watching])


def _counted(rows: Rows, side: str) -> NDArray[np.int64]:
    """The places of the rows that weigh more than 0.

    Raises:
        DataError: There are none.
    """
    weights = rows.labels.weights
    places = np.arange(len(rows.labels)) if weights is None else np.flatnonzero(weights)
    if not len(places):
        raise DataError(f"no {side} row counts: there are none, or all have the weight 0")
    return places


def begin(
    net: nn.Module,
    training: Training,
    groups: Sequence[ParameterGroup] | None,
    first_epoch: int,
    execution: Execution,
) -> TrainState:
    """The state of a training before its first step."""
    micro = min(execution.micro or training.batch_size, training.batch_size)
    return TrainState(
        net,
        Optimizer(training, groups or one_group(net), spared=lengths(net)),
        WeightAverage(net, training.ema) if training.ema else None,
        first_epoch,
        micro,
        EarlyStopping(training.patience).init(),
        KeepBest(training.keep_best).init(),
    )


def _averages_of(state: TrainState) -> contextlib.AbstractContextManager[None]:
    """The network with the averages of its weights, where they are what is judged and kept."""
    return state.average.applied() if state.average else contextlib.nullcontext()


def _finish_epoch(
    state: TrainState, training: Training, valid: Evaluation | None, seconds: float
) -> None:
    """Write an epoch's record, and let the rules see it."""
    train_loss = state.loss_sum / state.weight_sum if state.weight_sum else float("nan")
    valid_loss, metrics = (valid.loss, valid.metrics) if valid else (math.nan, {})
    epoch = Epoch(state.epoch, train_loss, valid_loss, metrics, seconds)
    state.epochs.append(epoch)
    state.stopping = EarlyStopping(training.patience).update(state.stopping, epoch)
    keep = KeepBest(training.keep_best)
    state.keeping = keep.update(state.keeping, epoch)
    if keep.keeps(state.keeping):
        state.best = state.weights()
    state.epoch += 1
    state.batch, state.loss_sum, state.weight_sum = 0, 0.0, 0.0


def _verdict(state: TrainState, training: Training, judged: bool) -> Outcome | None:
    """Whether the epochs so far end the run, and how.

    Weights that a last step lost are seen by the validation loss, or else looked at.
    """
    if not state.epochs:
        return None
    last = state.epochs[-1]
    if judged:
        sound = math.isfinite(last.valid_loss)
    else:
        sound = all_finite([p.detach() for p in state.optimizer.parameters])
    if not (sound and math.isfinite(last.train_loss)):
        return Outcome.DIVERGED
    done = len(state.epochs) >= training.epochs
    if not done and EarlyStopping(training.patience).stops(state.stopping):
        return Outcome.STOPPED_EARLY
    return None


def _settle(state: TrainState, outcome: Outcome | None) -> int | None:
    """Leave in the network the weights that are kept; the epoch that they are of, if not the last.

    Where training went wrong they are those of the last good epoch, where the best are kept
    those of the best, where an average is kept the average.
    """
    state.optimizer.zero_grad()
    if state.best:
        state.net.load_state_dict(state.best)
        last = state.epochs[-1].number if state.epochs else None
        return state.keeping.best if state.keeping.best != last else None
    if outcome in (Outcome.DIVERGED, Outcome.OUT_OF_MEMORY):
        state.net.load_state_dict(state.good)
    elif state.average:
        state.average.settle()
    return None


class Epochs:
    """The steps of one epoch after the other.

    Args:
        state: What they change.
        rows: What is learned from.
        training: How.
        loss: What wrong answers cost.
        execution: Where they are computed.
        mixing: Mixes the inputs of a batch.
        equal_batches: As for :func:`train`, like the rest.
        progress: Told of every step.
        tell: Told what a person should know.
        keeper: Offered the state after every step.
    """

    def __init__(
        self,
        state: TrainState,
        rows: Rows,
        training: Training,
        loss: TaskLoss,
        execution: Execution,
        mixing: Mixing | None,
        equal_batches: bool = False,
        progress: Callable[[int, int], None] | None = None,
        tell: Callable[[str], None] | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self._state = state
        self._rows = _counted(rows, "training")
        self._training = training
        self._loss = loss
        self._execution = execution
        self._equal_batches = equal_batches
        self._source = Batches(rows, execution.device, training.seed, mixing)
        self._penalties = Penalties(training, state.optimizer.parameters, state.net)
        self._progress = progress
        self._tell = tell
        self._keeper = keeper
        self._per_step = training.batch_size * training.accumulate
        self._net: nn.Module = state.net
        if execution.compiled:
            self._net = torch.compile(state.net)  # type: ignore[assignment]

    def steps(self) -> Outcome | None:
        """What is left of an epoch's steps; how the run ended, where it did."""
        state, training = self._state, self._training
        state.net.train()
        if state.batch == 0:
            with _averages_of(state):
                state.good = state.weights()
        self.arrange(f"batch order of epoch {state.epoch}")
        with threads_for(state.net, training.batch_size):
            while state.batch < len(self.cuts):
                outcome = self._step(self.cuts[state.batch])
                if outcome is not None:
                    return outcome
                if self._progress:
                    self._progress(state.step * self._per_step, self._total)
                if self._keeper:
                    self._keeper.offer(state)
        return None

    def arrange(self, purpose: str) -> None:
        """Draw the order of the rows for the steps that follow.

        Args:
            purpose: Names the stream that it is drawn from.
        """
        order = stream(self._training.seed, purpose).permutation(len(self._rows))
        self._source.arrange(self._rows[order], self._state.epoch)

    @cached_property
    def least(self) -> int:
        """The fewest rows that are computed at once; asked for in training mode.

        One row has no statistics, so one that is left over joins those before it where batch
        normalisation uses them. Batches of one row are left to whoever asked for them.
        """
        by_batches = uses_batch_statistics(self._state.net)
        return min(2 if by_batches else 1, self._training.batch_size)

    @cached_property
    def cuts(self) -> list[slice]:
        """Where the order of an epoch's rows is cut into those of its steps.

        Asked for in training mode.
        """
        rows = self._training.rows_of_epoch(len(self._rows), self._equal_batches)
        return list(pieces(rows, self._per_step, self.least))

    @property
    def _total(self) -> int:
        return self._training.epochs * len(self.cuts) * self._per_step

    def _step(self, places: slice) -> Outcome | None:
        state, training = self._state, self._training
        purpose = f"step {state.batch} of epoch {state.epoch}"
        loss = self.gradient(places, purpose)
        if loss is None:
            return Outcome.OUT_OF_MEMORY
        if not (math.isfinite(loss) and self.clip()):
            return Outcome.DIVERGED
        at = At(state.step, training.epochs * len(self.cuts), len(self.cuts))
        schedule = training.schedule
        factor = schedule.factor(at)
        moment = training.base_momentum
        moment = schedule.momentum(at, moment) if moment else 0.0
        # In the first step the optimizer makes what it remembers. Weights may have moved in part
        # where that does not fit, so there is no other try: those before the epoch come back.
        if where_it_fits(partial(self._move, factor, moment)) is None:
            return Outcome.OUT_OF_MEMORY
        here = self._source.weight(places)
        state.loss_sum += loss * here
        state.weight_sum += here
        state.step_losses.append(loss)
        state.step_rates.append(training.rates[-1] * factor)
        state.step += 1
        state.batch += 1
        return None

    def _move(self, factor: float, momentum: float) -> bool:
        """Move the weights, and their average; True when that is done."""
        self._state.optimizer.step(factor, momentum)
        if self._state.average:
            self._state.average.update()
        return True

    def gradient(self, places: slice, purpose: str) -> float | None:
        """Leave the gradient of a step in the parameters; its loss, or None without the memory.

        Where memory is short, fewer rows are computed at once and their gradients added up.

        Args:
            places: Its rows, in the order that :meth:`arrange` drew.
            purpose: Names the streams that it draws from.
        """
        state, before = self._state, self._state.micro
        while (loss := where_it_fits(partial(self._attempt, places, purpose))) is None:
            state.optimizer.zero_grad()
            if state.micro <= self.least:
                return None
            state.micro = -(-state.micro // 2)
        if state.micro != before and self._tell:
            self._tell(self._about_memory())
            self._tell = None
        return loss

    def _attempt(self, places: slice, purpose: str) -> float:
        seed_generators(stream_seed(self._training.seed, purpose), self._execution.device)
        try:
            loss = gradient_step(
                self._net,
                self._state.optimizer,
                self._loss,
                self._batches(places, purpose),
                total=self._source.weight(places),
                micro=self._state.micro,
                least=self.least,
                precision=self._execution.precision,
            )
        except ValueError as error:
            if _ONE_ROW not in str(error):
                raise
            raise DataError(
                "batch normalisation cannot use the statistics of one row: train on more rows, in "
                "batches of two or more, or with batch_statistics=False"
            ) from error
        self._penalties.add_gradients()
        return float(loss)

    def _about_memory(self) -> str:
        state, training = self._state, self._training
        parts = -(-training.batch_size // state.micro)
        message = (
            f"out of memory: a batch of {training.batch_size} is computed in {parts} parts of "
            f"{state.micro} from now on, and their gradients are added up"
        )
        if uses_batch_statistics(state.net):
            return f"{message}; batch normalisation sees {state.micro} rows at a time instead"
        return f"{message}: the same steps"

    def clip(self) -> bool:
        """Clip the gradient where that is asked for; whether it was one of numbers."""
        parameters = self._state.optimizer.parameters
        if self._training.clip is not None:
            return math.isfinite(nn.utils.clip_grad_norm_(parameters, self._training.clip))
        return all_finite([p.grad for p in parameters if p.grad is not None])

    def _batches(self, places: slice, purpose: str) -> Iterator[Batch]:
        """The batches of a step, each made when it is asked for and not held here."""
        first = places.start
        for rows in pieces(places.stop - first, self._training.batch_size, self.least):
            here = slice(first + rows.start, first + rows.stop)
            yield self._source.at(here, f"mixing of batch {rows.start} of {purpose}")
