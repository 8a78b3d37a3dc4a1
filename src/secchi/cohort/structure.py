"""Which networks can be trained in step, and why others cannot."""

from typing import Any, NamedTuple

from secchi.cohort.member import Member
from secchi.data.task import Kind, Labels
from secchi.models.mlp import MLP
from secchi.text import counted
from secchi.training.spec import Training
from secchi.training.steps import pieces

STACKED_ACTIVATIONS = frozenset(
    (
        *("identity", "relu", "leaky_relu", "relu6", "sigmoid", "tanh", "celu", "elu", "gelu"),
        *("hardshrink", "hardsigmoid", "hardswish", "hardtanh", "logsigmoid", "mish", "selu"),
        *("silu", "softplus", "softshrink", "softsign", "tanhshrink"),
    )
)
"""All but those that have weights, or draw random numbers, of their own."""


class Structure(NamedTuple):
    """What networks have in common that are trained in step; all else may differ between them.

    Attributes:
        precision: ``"fp32"`` or ``"fp64"``.
        inputs: Numbers in a row.
        outputs: Numbers to give for it.
        kind: What is predicted.
        depth: Hidden layers.
        activation: Of the hidden layers.
        batch_norm: Where there is batch normalisation.
        loss: What a wrong answer costs.
        optimizer: By what rule weights move.
        batch: Rows in a step.
        steps: Steps in an epoch.
        epochs: Passes over the rows.
        valid: Rows that validate.
    """

    precision: str
    inputs: int
    outputs: int
    kind: Kind
    depth: int
    activation: str | None
    batch_norm: str | None
    loss: str | None
    optimizer: str
    batch: int
    steps: int
    epochs: int
    valid: int

    def __str__(self) -> str:
        hidden = counted(self.depth, "hidden layer", "hidden layers")
        layers = f"{hidden} ({self.activation})" if self.depth else "no hidden layer"
        return (
            f"{counted(self.inputs, 'input', 'inputs')}, {layers}, "
            f"{counted(self.outputs, 'output', 'outputs')}, {self.optimizer}, "
            f"{counted(self.epochs, 'epoch', 'epochs')} of "
            f"{counted(self.steps, 'step', 'steps')} of {counted(self.batch, 'row', 'rows')}"
        )


def structure(member: Member) -> Structure | str:
    """What has to be the same in networks that go in step with this one; or why none can.

    >>> from secchi.data.synthetic import Line
    >>> from secchi.data.table import TableData
    >>> from secchi.training.prepared import PreparedTable
    >>> table = PreparedTable.of(TableData.made(Line()))
    >>> print(structure(Member(table, MLP([4]), Training(ema=0.9), 0)))
    its weights are averaged (ema)
    >>> print(structure(Member(table, MLP([4]), Training("sgd", batch_size=40), 0)))
    1 input, 1 hidden layer (relu), 1 output, sgd, 10 epochs of 1 step of 40 rows
    """
    model, training, table = member.model, member.training, member.table
    if reason := _model_reason(model) or _training_reason(training) or _task_reason(member):
        return reason
    rows, judged = (_counted(table.labels(split)) for split in ("train", "valid"))
    steps, batch = steps_of(rows, training)
    if not (steps and judged):
        return f"none of its {'training' if judged else 'validation'} rows counts"
    if not batch:
        return "its last batch is shorter than the others (drop_last=False)"
    if model.batch_norm and batch < 2:
        return "batch normalisation has one row in a batch"
    return Structure(
        table.precision,
        table.width,
        table.task.outputs,
        table.task.target.kind,
        model.depth,
        model.activation if model.depth else None,
        model.batch_norm if model.depth else None,
        training.loss if table.task.target.kind is Kind.REGRESSION else None,  # type: ignore[arg-type]
        training.optimizer,
        batch,
        steps,
        training.epochs,
        len(table.labels("valid")),
    )


def steps_of(rows: int, training: Training) -> tuple[int, int]:
    """Steps in an epoch, and the rows of each; 0 rows where they are not all of one size.

    >>> steps_of(100, Training(batch_size=32))
    (3, 32)
    """
    taken = training.rows_of_epoch(rows, equal_batches=True)
    sizes = [piece.stop - piece.start for piece in pieces(taken, training.batch_size)]
    return len(sizes), sizes[0] if len(set(sizes)) == 1 else 0


def _counted(labels: Labels) -> int:
    """How many rows weigh more than 0."""
    return len(labels) if labels.weights is None else int((labels.weights > 0).sum())


def _model_reason(model: Any) -> str | None:
    if not isinstance(model, MLP):
        return "its model is not an MLP"
    if model.weight_norm:
        return "its weights are normalised (weight_norm)"
    if model.residual and model.depth > 1:
        return "it has residual connections"
    if model.depth and model.activation not in STACKED_ACTIVATIONS:
        return f"its activation, {model.activation}, has weights or random numbers of its own"
    return None


def _training_reason(training: Training) -> str | None:
    if training.ema is not None:
        return "its weights are averaged (ema)"
    if training.accumulate > 1:
        return "it accumulates the gradients of several batches"
    if training.loss is not None and not isinstance(training.loss, str):
        return "its loss is one of your own, or one for each target"
    if len(training.rates) > 1:
        return "it has several learning rates"
    if not training.epochs:
        return "it takes no epoch"
    return None


def _task_reason(member: Member) -> str | None:
    task = member.table.task
    if len(task.targets) > 1:
        return "it predicts several targets"
    if task.target.kind is Kind.DISTRIBUTION:
        return "it predicts shares of classes"
    return None
