"""What a wrong answer costs, one row at a time."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from secchi.data.task import Kind, Target, Task
from secchi.errors import DataError, SpecError, did_you_mean
from secchi.training.loss_names import Loss, OwnLoss, loss_name
from secchi.training.spec import Training
from secchi.values import is_number

LOSSES: dict[Kind, tuple[str, ...]] = {
    Kind.BINARY: ("bce", "cross_entropy"),
    Kind.MULTICLASS: ("cross_entropy",),
    Kind.MULTILABEL: ("bce",),
    Kind.DISTRIBUTION: ("kl",),
    Kind.REGRESSION: ("mse", "l1", "huber"),
}
"""The losses that suit each kind of target; the first is taken where none is named. Of two classes
with one logit the binary cross-entropy is the cross-entropy."""

_OF_NUMBERS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "mse": lambda answers, truth, _: functional.mse_loss(answers, truth, reduction="none"),
    "l1": lambda answers, truth, _: functional.l1_loss(answers, truth, reduction="none"),
    "huber": lambda answers, truth, delta: functional.huber_loss(
        answers, truth, reduction="none", delta=delta
    ),
}


def losses(
    target: Target,
    outputs: Tensor,
    values: Tensor,
    smoothing: float = 0.0,
    *,
    loss: str | None = None,
    delta: float = 1.0,
) -> Tensor:
    """The loss of every row for one target.

    Cross-entropy, -log p(true class), for classes (for two classes from the one logit); the mean
    over labels of the binary cross-entropy for several labels; the Kullback-Leibler divergence of
    the answer from the truth, sum(t * log(t / p)), for shares of classes. For a number, with e the
    error: ``"mse"`` e ** 2, ``"l1"`` abs(e), and ``"huber"`` e ** 2 / 2 up to delta and from there
    on delta * (abs(e) - delta / 2) (Huber, 1964).

    Args:
        target: What is predicted.
        outputs: A head's outputs, (rows, target.outputs).
        values: The truth, as :meth:`secchi.data.task.Target.encode` gives it.
        smoothing: The share of a label that is spread evenly over all classes (Szegedy and
            others, 2016), over yes and no for two classes and for labels; numbers have none.
        loss: One of :data:`LOSSES` that suits the target; None takes the first.
        delta: Of ``"huber"``.

    Returns:
        (rows,)

    >>> pet = Target.classify("pet", ["cat", "dog", "mouse"])
    >>> outputs = torch.tensor([[1.0, 4.0, 3.0]]).expand(3, -1)
    >>> [round(cost, 5) for cost in losses(pet, outputs, torch.tensor([0, 1, 2])).tolist()]
    [3.34901, 0.34901, 1.34901]
    """
    if target.kind is Kind.BINARY:
        logits, truth = outputs.squeeze(1), _smoothed(values.to(outputs.dtype), smoothing)
        return functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    if target.kind is Kind.MULTICLASS:
        return functional.cross_entropy(
            outputs, values, reduction="none", label_smoothing=smoothing
        )
    truth = values.to(outputs.dtype)
    if target.kind is Kind.MULTILABEL:
        truth = _smoothed(truth, smoothing)
        each = functional.binary_cross_entropy_with_logits(outputs, truth, reduction="none")
        return each.mean(dim=1)
    if target.kind is Kind.DISTRIBUTION:
        truth = _smoothed(truth, smoothing, len(target.classes))
        answers = functional.log_softmax(outputs, dim=1)
        return functional.kl_div(answers, truth, reduction="none").sum(dim=1)
    return _OF_NUMBERS[loss or "mse"](outputs.squeeze(1), truth, delta)


class TaskLoss:
    """The loss of every row, summed over the targets of a task.

    A loss of one's own is called with the outputs of its target, (rows, k), or (rows,) where k is
    1 as of a number and of two classes, and with the truth as
    :meth:`secchi.data.task.Target.encode` gives it, in the outputs' floating point where k is 1. It
    gives one number a row or their mean, so ``torch.nn.SmoothL1Loss()`` is one. A module is brought
    to the device of the outputs.

    Args:
        task: What is predicted.
        training: Names the losses and the label smoothing; None takes what suits the targets.
        units: One a target: of a number, what one step of the loss is. Outputs and truth are
            divided by it, so that the loss is of (y - prediction) / unit, and so is the training's
            ``huber_delta``. None takes 1 for all.
        smoothed: Whether labels are smoothed as the training asks for, as in training alone.

    Raises:
        SpecError: A loss that does not suit its target, or units that cannot be.

    >>> price = Task.regress("price")
    >>> outputs, truth = torch.tensor([[100.0], [250.0]]), torch.tensor([150.0, 100.0])
    >>> TaskLoss(price, Training(loss="l1"), units=[50.0])(outputs, [truth])
    tensor([1., 3.])
    """

    def __init__(
        self,
        task: Task,
        training: Training | None = None,
        units: Sequence[float] | None = None,
        *,
        smoothed: bool = True,
    ) -> None:
        training = training or Training()
        check_loss(training, task)
        self._columns = list(task.columns())
        self._losses = _by_target(training, task)
        self._units = _checked(units, task)
        self._smoothing = training.label_smoothing if smoothed else 0.0
        self._delta = training.huber_delta

    def __call__(
        self, outputs: Tensor, values: Sequence[Tensor], *, weighed: bool = False
    ) -> Tensor:
        """The losses of some rows.

        Args:
            outputs: (rows, task.outputs).
            values: One tensor of truth a target.
            weighed: Whether they are weighed afterwards, which a mean cannot be.

        Returns:
            (rows,)

        Raises:
            DataError: A loss of one's own gave something else than it has to.
        """
        alone = len(self._columns) == 1
        each = [
            self._of(place, outputs if alone else outputs[:, columns], truth, weighed)
            for place, ((_, columns), truth) in enumerate(zip(self._columns, values, strict=True))
        ]
        return each[0] if alone else torch.stack(each).sum(dim=0)

    def _of(self, place: int, outputs: Tensor, truth: Tensor, weighed: bool) -> Tensor:
        target, loss = self._columns[place][0], self._losses[place]
        unit = self._units[place]
        if unit != 1:
            outputs, truth = outputs / unit, truth.to(outputs.dtype) / unit
        if loss is None or isinstance(loss, str):
            delta = self._delta / unit
            return losses(target, outputs, truth, self._smoothing, loss=loss, delta=delta)
        return _own(loss, outputs, truth, weighed)


def task_losses(task: Task, outputs: Tensor, values: Sequence[Tensor]) -> Tensor:
    """The loss of every row by what suits the targets, summed over them; shape (rows,)."""
    return TaskLoss(task)(outputs, values)


def check_loss(training: Training, task: Task) -> None:
    """Refuse losses that do not suit what is predicted.

    Raises:
        SpecError: With every fault.

    >>> check_loss(Training(loss="mse"), Task.classify(["cat", "dog"]))
    Traceback (most recent call last):
    ...
    secchi.errors.SpecError: this training cannot be: loss is 'mse', which does not suit 'class', \
two classes; bce and cross_entropy do
    """
    named = training.loss if isinstance(training.loss, tuple) else ()
    faults = [
        f"loss names a target {name!r}, which there is not{did_you_mean(name, task.names)}"
        for name, _ in named
        if name not in task.names
    ]
    for target, loss in zip(task.targets, _by_target(training, task), strict=True):
        if isinstance(loss, OwnLoss):
            faults.append(loss.fault)
        elif isinstance(loss, str) and loss not in LOSSES[target.kind]:
            faults.append(
                f"loss is {loss!r}, which does not suit {target.name!r}, {_KINDS[target.kind]}; "
                + _joined(LOSSES[target.kind])
            )
    if faults:
        raise SpecError("this training cannot be", faults)


def weighted_mean(each: Tensor, weights: Tensor | None) -> Tensor:
    """sum(w * x) / sum(w); the plain mean without weights. Weights of zero alone give zero.

    What weighs nothing may be no number: zero times that would be none either.
    """
    if weights is None:
        return each.mean()
    each = each.where(weights > 0, 0)
    return (each * weights).sum() / weights.sum().clamp_min(torch.finfo(each.dtype).tiny)


_KINDS = {
    Kind.BINARY: "two classes",
    Kind.MULTICLASS: "many classes",
    Kind.MULTILABEL: "several labels",
    Kind.DISTRIBUTION: "shares of classes",
    Kind.REGRESSION: "a number",
}


def _joined(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last} do" if others else f"{last} does"


def _by_target(training: Training, task: Task) -> list[Loss | None]:
    """The loss of each target; None is what suits it."""
    if isinstance(training.loss, tuple):
        named = dict(training.loss)
        return [named.get(name) for name in task.names]
    one: Loss | None = training.loss  # type: ignore[assignment]
    return [one] * len(task.targets)


def _checked(units: Sequence[float] | None, task: Task) -> list[float]:
    if units is None:
        return [1.0] * len(task.targets)
    what = "these units of the targets cannot be"
    if len(units) != len(task.targets):
        raise SpecError(what, [f"there are {len(units)}, and {len(task.targets)} targets"])
    faults = [
        f"that of {target.name!r} is {unit!r}, "
        + ("which is not a number above 0" if target.kind is Kind.REGRESSION else "and no number")
        for target, unit in zip(task.targets, units, strict=True)
        if not (is_number(unit) and unit > 0) or (target.kind is not Kind.REGRESSION and unit != 1)
    ]
    if faults:
        raise SpecError(what, faults)
    return [float(unit) for unit in units]


def _own(loss: Callable[..., Tensor], outputs: Tensor, truth: Tensor, weighed: bool) -> Tensor:
    """What a loss of one's own gives, as one number a row."""
    rows = len(outputs)
    if outputs.shape[1] == 1:
        # Against truth of shape (rows,), a column would be broadcast to (rows, rows).
        outputs, truth = outputs.squeeze(1), truth.to(outputs.dtype)
    if isinstance(loss, nn.Module):
        loss.to(outputs.device, outputs.dtype)
    each = loss(outputs, truth)
    if not isinstance(each, Tensor) or each.shape not in ((), (rows,)):
        gave = f"shape {tuple(each.shape)}" if isinstance(each, Tensor) else type(each).__name__
        raise DataError(
            f"the loss {loss_name(loss)} gave {gave} for {rows} rows; it has to give a tensor with "
            "one number a row, or their mean"
        )
    if each.ndim:
        return each
    if weighed:
        raise DataError(
            f"the loss {loss_name(loss)} gives the mean of its rows, which have weights, and a "
            "mean cannot be weighed; let it give one number a row, as reduction='none' does"
        )
    return each.expand(rows)


def _smoothed(truth: Tensor, smoothing: float, classes: int = 2) -> Tensor:
    """Shares of classes, such as 0 and 1, brought nearer to even ones."""
    return truth * (1 - smoothing) + smoothing / classes if smoothing else truth
