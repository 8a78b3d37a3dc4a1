"""Training and validation: one loop over batches, straight from memory or a mapped file."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from secchi.data.task import Kind, Labels
from secchi.errors import DataError
from secchi.models.groups import uses_batch_statistics
from secchi.models.heads import log_probabilities
from secchi.seeding import stream, stream_seed
from secchi.training.averaging import WeightAverage
from secchi.training.history import Epoch, History, Outcome
from secchi.training.losses import task_losses, weighted_mean
from secchi.training.memory import where_it_fits
from secchi.training.metrics import metric
from secchi.training.optimizers import Optimizer, ParameterGroup, one_group
from secchi.training.schedules import At
from secchi.training.spec import Training
from secchi.training.state import TrainState
from secchi.training.steps import Batch, forward, gradient_step, pieces
from secchi.training.stopping import EarlyStopping, KeepBest

SMALL_STEP = 2**24
"""Multiplications in a step's forward pass below which it stays on one core: about 1 ms."""

EVALUATION_NUMBERS = 2**23
"""Numbers of inputs in a batch where no gradient is needed."""

FAST_NUMBERS, FAST_ROWS = 5 * 2**18, 32
"""Numbers of inputs, and rows, in such a batch at which a network of convolutions is fast on a
processor: what its layers give stays in the caches. On two cores a whole EfficientNet-Lite0 judged
270 pictures a second eight at a time, and 115 a second 64 at a time."""


class Inputs(Protocol):
    """Rows that can be taken: a :class:`secchi.features.cache.FeatureTable`, say.

    Attributes:
        width: Numbers in a row.

    >>> class Points:  # any rows that can be taken
    ...     width = 2
    ...     values = np.random.default_rng(0).normal(size=(90, 2)).astype(np.float32)
    ...     def __len__(self):
    ...         return len(self.values)
    ...     def take(self, rows, epoch=0):
    ...         return self.values[rows]

    >>> Points().take(np.array([3, 1])).shape
    (2, 2)
    """

    width: int

    def __len__(self) -> int: ...

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[np.generic]:
        """Some rows, of shape (rows, …), in memory.

        Args:
            rows: Their places.
            epoch: Augmented rows differ from epoch to epoch; others are always the same.
        """
        ...


Mixing = Callable[[Tensor, int], tuple[Tensor, Tensor | None]]
"""(inputs, seed): mixed inputs, and the share of each row's own truth, or None where unmixed.

All rows of a batch have one share, as :meth:`secchi.transforms.augment.Augmentation.mix` gives it:
then the weights of both truths add up to those of the rows, whatever the share is, and what a step
is divided by is known before its batches are made. Where rows have no weights any shares will do.
"""

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


class Execution(NamedTuple):
    """Where and how a network computes, which changes its numbers by rounding alone.

    Attributes:
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: ``"fp32"``, or ``"bf16"`` under autocast.
        micro: Rows that are computed at once in a training step; None takes the whole batch.
        compiled: Whether torch compiles the network first.

    >>> Execution("cuda", "bf16").precision
    'bf16'
    """

    device: str = "cpu"
    precision: str = "fp32"
    micro: int | None = None
    compiled: bool = False


ON_CPU = Execution()


class Rows(NamedTuple):
    """Inputs with what is true of them."""

    inputs: Inputs
    labels: Labels


class Evaluation(NamedTuple):
    """Losses, outputs and metrics of a network on some rows.

    Attributes:
        loss: The weighted mean.
        metrics: By name; those of several targets as ``target.metric``.
        outputs: float32 of shape (rows, task.outputs).
    """

    loss: float
    metrics: dict[str, float]
    outputs: Tensor


def train(
    net: nn.Module,
    train_rows: Rows,
    valid_rows: Rows,
    training: Training,
    *,
    metrics: Sequence[str] = ("accuracy",),
    groups: Sequence[ParameterGroup] | None = None,
    first_epoch: int = 0,
    execution: Execution = ON_CPU,
    mixing: Mixing | None = None,
    observe: Callable[[Epoch], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] | None = None,
    keeper: Keeper | None = None,
) -> History:
    """Train a network.

    The order of the batches and every random choice in a step follow from the training's seed,
    the epoch's number and the step's alone, so the same call gives the same numbers, and nothing
    has to be replayed where a killed run goes on.

    Args:
        net: What is trained, in place; it is left in evaluation mode.
        train_rows: What it learns from.
        valid_rows: What it is judged by after every epoch.
        training: How.
        metrics: Names for :func:`secchi.training.metrics.metric`.
        groups: Its parameters by layer group, first layers first; None takes them as one.
        first_epoch: The number of the first epoch.
        execution: Where it computes.
        mixing: Mixes the inputs of a batch (mixup, cutmix).
        observe: Sees every epoch's record when it is done, and changes nothing.
        progress: Called with (rows trained so far, rows to train in all).
        tell: Told what a person should know at once, in a line.
        keeper: Keeps the state on the way.

    Raises:
        DataError: One side has no rows, or only rows of weight zero; or batch normalisation, where
            it uses the statistics of batches, has but one row.
        SpecError: More learning rates than layer groups.

    >>> from secchi.data.task import Task
    >>> class Points:  # any rows that can be taken
    ...     width = 2
    ...     values = np.random.default_rng(0).normal(size=(90, 2)).astype(np.float32)
    ...     def __len__(self):
    ...         return len(self.values)
    ...     def take(self, rows, epoch=0):
    ...         return self.values[rows]
    >>> sides = ["left" if x < 0 else "right" for x in Points.values[:, 0]]
    >>> rows = Rows(Points(), Labels.of(Task.classify(["left", "right"]).target, sides))
    >>> net = nn.Linear(2, 1)
    >>> history = train(net, rows, rows, Training(lr=0.1, epochs=5, batch_size=30))
    >>> history.outcome.name, history.steps
    ('COMPLETED', 15)
    >>> judged = evaluate(net, rows, metrics=["accuracy"])
    >>> judged.metrics["accuracy"] > 0.8, judged.outputs.shape
    (True, torch.Size([90, 1]))
    """
    for name, side in (("training", train_rows), ("validation", valid_rows)):
        weights = side.labels.weights
        if not len(side.labels) or (weights is not None and not weights.any()):
            raise DataError(f"no {name} row counts: there are none, or all have the weight 0")
    net.to(execution.device)
    state = begin(net, training, groups, first_epoch, execution)
    if keeper:
        keeper.restore(state)
    epochs = Epochs(state, train_rows, training, execution, mixing, progress, tell, keeper)
    outcome = _verdict(state, training)
    with torch.random.fork_rng(devices=gpus(execution.device)):
        while outcome is None and len(state.epochs) < training.epochs:
            started = time.perf_counter()
            outcome = epochs.steps()
            if outcome is not None:
                break
            with _averages_of(state):
                valid = evaluate(net, valid_rows, metrics=metrics, execution=execution)
                _finish_epoch(state, training, valid, time.perf_counter() - started)
            if observe:
                observe(state.epochs[-1])
            if keeper:
                keeper.offer(state)
            outcome = _verdict(state, training)
    kept = _settle(state, outcome)
    net.eval()
    outcome = outcome or Outcome.COMPLETED
    return History(tuple(state.epochs), outcome, training, state.step, kept)


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
        Optimizer(training, groups or one_group(net)),
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
    state: TrainState, training: Training, valid: "Evaluation", seconds: float
) -> None:
    """Write an epoch's record, and let the rules see it."""
    train_loss = state.loss_sum / state.weight_sum if state.weight_sum else float("nan")
    epoch = Epoch(state.epoch, train_loss, valid.loss, valid.metrics, seconds)
    state.epochs.append(epoch)
    state.stopping = EarlyStopping(training.patience).update(state.stopping, epoch)
    keep = KeepBest(training.keep_best)
    state.keeping = keep.update(state.keeping, epoch)
    if keep.keeps(state.keeping):
        state.best = state.weights()
    state.epoch += 1
    state.batch, state.loss_sum, state.weight_sum = 0, 0.0, 0.0


def _verdict(state: TrainState, training: Training) -> Outcome | None:
    """Whether the epochs so far end the run, and how."""
    if not state.epochs:
        return None
    last = state.epochs[-1]
    if not (math.isfinite(last.train_loss) and math.isfinite(last.valid_loss)):
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
    """The steps of one epoch after the other."""

    def __init__(
        self,
        state: TrainState,
        rows: Rows,
        training: Training,
        execution: Execution,
        mixing: Mixing | None,
        progress: Callable[[int, int], None] | None = None,
        tell: Callable[[str], None] | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self._state = state
        self._rows = rows
        self._training = training
        self._execution = execution
        self._mixing = mixing
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
        order = stream(training.seed, f"batch order of epoch {state.epoch}").permutation(
            len(self._rows.labels)
        )
        with threads_for(state.net, training.batch_size):
            while state.batch < len(self._cuts):
                outcome = self._step(order[self._cuts[state.batch]])
                if outcome is not None:
                    return outcome
                if self._progress:
                    self._progress(state.step * self._per_step, self._total)
                if self._keeper:
                    self._keeper.offer(state)
        return None

    @cached_property
    def least(self) -> int:
        """The fewest rows that are computed at once; asked for in training mode.

        One row has no statistics, so one that is left over joins those before it where batch
        normalisation uses them. Batches of one row are left to whoever asked for them.
        """
        by_batches = uses_batch_statistics(self._state.net)
        return min(2 if by_batches else 1, self._training.batch_size)

    @cached_property
    def _cuts(self) -> list[slice]:
        """Where the order of an epoch's rows is cut into those of its steps."""
        return list(pieces(len(self._rows.labels), self._per_step, self.least))

    @property
    def _total(self) -> int:
        return self._training.epochs * len(self._cuts) * self._per_step

    def _step(self, chosen: NDArray[np.int64]) -> Outcome | None:
        state, training = self._state, self._training
        purpose = f"step {state.batch} of epoch {state.epoch}"
        loss = self.gradient(chosen, purpose)
        if loss is None:
            return Outcome.OUT_OF_MEMORY
        if not (math.isfinite(loss) and math.isfinite(self.clipped_length())):
            return Outcome.DIVERGED
        at = At(state.step, training.epochs * len(self._cuts), len(self._cuts))
        schedule = training.schedule
        moment = training.base_momentum
        moment = schedule.momentum(at, moment) if moment else 0.0
        # In the first step the optimizer makes what it remembers. Weights may have moved in part
        # where that does not fit, so there is no other try: those before the epoch come back.
        if where_it_fits(partial(self._move, schedule.factor(at), moment)) is None:
            return Outcome.OUT_OF_MEMORY
        here = self._weight(chosen)
        state.loss_sum += loss * here
        state.weight_sum += here
        state.step += 1
        state.batch += 1
        return None

    def _move(self, factor: float, momentum: float) -> bool:
        """Move the weights, and their average; True when that is done."""
        self._state.optimizer.step(factor, momentum)
        if self._state.average:
            self._state.average.update()
        return True

    def _weight(self, chosen: NDArray[np.int64]) -> float:
        """How much rows count together, mixed or not."""
        weights = self._rows.labels.weights
        return float(len(chosen) if weights is None else weights[chosen].sum())

    def gradient(self, chosen: NDArray[np.int64], purpose: str) -> float | None:
        """Leave the gradient of a step in the parameters; its loss, or None without the memory.

        Where memory is short, fewer rows are computed at once and their gradients added up.
        """
        state, before = self._state, self._state.micro
        while (loss := where_it_fits(partial(self._attempt, chosen, purpose))) is None:
            state.optimizer.zero_grad()
            if state.micro <= self.least:
                return None
            state.micro = -(-state.micro // 2)
        if state.micro != before and self._tell:
            self._tell(self._about_memory())
            self._tell = None
        return loss

    def _attempt(self, chosen: NDArray[np.int64], purpose: str) -> float:
        _seed(stream_seed(self._training.seed, purpose), self._execution.device)
        try:
            loss = gradient_step(
                self._net,
                self._state.optimizer,
                self._rows.labels.task,
                self._batches(chosen, purpose),
                total=self._weight(chosen),
                micro=self._state.micro,
                least=self.least,
                smoothing=self._training.label_smoothing,
                precision=self._execution.precision,
            )
        except ValueError as error:
            if _ONE_ROW not in str(error):
                raise
            raise DataError(
                "batch normalisation cannot use the statistics of one row: train on more rows, in "
                "batches of two or more, or with batch_statistics=False"
            ) from error
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

    def clipped_length(self) -> float:
        """Clip the gradient where that is asked for; how long it was, by some measure of length."""
        parameters = self._state.optimizer.parameters
        if self._training.clip is not None:
            return float(nn.utils.clip_grad_norm_(parameters, self._training.clip))
        gradients = [p.grad for p in parameters if p.grad is not None]
        return float(torch.stack(torch._foreach_norm(gradients)).sum()) if gradients else 0.0

    def _batches(self, chosen: NDArray[np.int64], purpose: str) -> Iterator[Batch]:
        """The batches of a step, each made when it is asked for and not held here."""
        for rows in pieces(len(chosen), self._training.batch_size, self.least):
            yield self._batch(chosen[rows], f"mixing of batch {rows.start} of {purpose}")

    def _batch(self, chosen: NDArray[np.int64], purpose: str) -> Batch:
        batch = _batch(self._rows, chosen, self._execution.device, self._state.epoch)
        if not self._mixing:
            return batch
        seed = stream_seed(self._training.seed, purpose)
        inputs, own = _mixed(batch.inputs, self._mixing, seed)
        return batch._replace(inputs=inputs, own=own)


def evaluate(
    net: nn.Module, rows: Rows, *, metrics: Sequence[str] = (), execution: Execution = ON_CPU
) -> Evaluation:
    """Judge a network, in evaluation mode.

    Args:
        net: The network; it is left in evaluation mode.
        rows: What it is judged by.
        metrics: Names for :func:`secchi.training.metrics.metric`.
        execution: Where it computes.

    :func:`train` has an example.
    """
    task = rows.labels.task
    outputs = outputs_of(net, rows.inputs, task.outputs, execution)
    values = [torch.from_numpy(truth) for truth in rows.labels.values]
    weights = rows.labels.weights
    with _threads(1):
        each = task_losses(task, outputs, values)
        loss = weighted_mean(each, None if weights is None else torch.from_numpy(weights))
        return Evaluation(float(loss), score(rows.labels, outputs, metrics), outputs)


def outputs_of(net: nn.Module, inputs: Inputs, width: int, execution: Execution = ON_CPU) -> Tensor:
    """What a network gives for rows, in evaluation mode.

    Args:
        net: The network; it is left in evaluation mode.
        inputs: The rows.
        width: Numbers that it gives for each.
        execution: Where it computes.

    Returns:
        float32 of shape (rows, width), on the processor.
    """
    net.to(execution.device).eval()
    size = EVALUATION_NUMBERS // inputs.width
    if execution.device == "cpu" and _convolves(net):
        size = min(FAST_NUMBERS // inputs.width, FAST_ROWS)
    size = min(max(1, size), max(1, len(inputs)))
    outputs = torch.empty(len(inputs), width)
    start = 0
    with threads_for(net, size), torch.no_grad():
        while start < len(inputs):
            chosen = np.arange(start, min(start + size, len(inputs)))
            given = where_it_fits(partial(_outputs_at, net, inputs, chosen, execution))
            if given is not None:
                outputs[chosen] = given
                start += size
            elif size > 1:
                size = -(-size // 2)
            else:
                raise MemoryError("not even one row can be judged in the memory that there is")
    return outputs


def _outputs_at(
    net: nn.Module, inputs: Inputs, chosen: NDArray[np.int64], execution: Execution
) -> Tensor:
    given = torch.from_numpy(inputs.take(chosen)).to(execution.device)
    return forward(net, given, execution.precision).cpu()


def score(labels: Labels, outputs: Tensor, metrics: Sequence[str]) -> dict[str, float]:
    """Metrics of a network's outputs.

    Args:
        labels: What is true.
        outputs: (rows, task.outputs).
        metrics: Names for :func:`secchi.training.metrics.metric`.
    """
    several = len(labels.task.targets) > 1
    scores: dict[str, float] = {}
    for (target, columns), truth in zip(labels.task.columns(), labels.values, strict=True):
        if target.kind is Kind.REGRESSION:
            answers = outputs[:, columns.start].numpy()
        else:
            answers = log_probabilities(target, outputs[:, columns]).exp().numpy()
        for name in metrics:
            key = f"{target.name}.{name}" if several else name
            finite = bool(np.isfinite(answers).all())
            value = metric(name)(target, answers, truth, labels.weights) if finite else np.nan
            scores[key] = float(value)
    return scores


def threads_for(net: nn.Module, batch_size: int) -> contextlib.AbstractContextManager[None]:
    """Keep a small step on one core.

    Sharing it costs more than it saves, and a hundred times more where the other core is busy.
    A convolution multiplies by its weights at every place, so a step with one is never small.
    Frozen layers are computed ahead, so only what trains counts; all of it where nothing does.
    """
    small = batch_size * sum(p.numel() for p in _counted(net)) < SMALL_STEP
    return _threads(1) if small and not _convolves(net) else contextlib.nullcontext()


def _counted(net: nn.Module) -> list[nn.Parameter]:
    everything = list(net.parameters())
    return [p for p in everything if p.requires_grad] or everything


def _convolves(net: nn.Module) -> bool:
    return any(p.ndim > 2 for p in _counted(net))


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _batch(rows: Rows, chosen: NDArray[np.int64], device: str, epoch: int = 0) -> Batch:
    labels = rows.labels.take(chosen)
    return Batch(
        torch.from_numpy(rows.inputs.take(chosen, epoch)).to(device),
        tuple(torch.from_numpy(values).to(device) for values in labels.values),
        None if labels.weights is None else torch.from_numpy(labels.weights).to(device),
    )


def _mixed(inputs: Tensor, mixing: Mixing, seed: int) -> tuple[Tensor, Tensor | None]:
    """Inputs mixed, of floating point; pictures as bytes have their channels last."""
    if inputs.dtype != torch.uint8:
        return mixing(inputs, seed)
    mixed, own = mixing(inputs.permute(0, 3, 1, 2).float(), seed)
    return mixed.permute(0, 2, 3, 1), own


def gpus(device: str) -> list[int]:
    """The GPUs whose generators a step on a device draws from."""
    return [torch.cuda.current_device()] if device == "cuda" else []


def _seed(seed: int, device: str) -> None:
    """Seed the generators that a step draws from, and no other GPU's."""
    torch.default_generator.manual_seed(seed)
    if device == "cuda":
        torch.cuda.manual_seed(seed)
    elif device == "mps":
        torch.mps.manual_seed(seed)
