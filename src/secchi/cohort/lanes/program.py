"""What a stack's machine code is written for, and how memory is told to it."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property

STATISTICS = (
    "train_loss",
    "train_weight",
    "loss",
    "weight",
    "right",
    "squares",
    "z",
    "zz",
    "zt",
    "t",
    "tt",
    "least",
    "most",
)
"""What is summed up in an epoch, in double precision: the loss and the weights of the rows that are
trained on; of those that validate the loss, the weights and what is right (of numbers: how far they
are off), and for numbers the squared errors, the moments of answer z and truth t, both without a
shift, and the range of the answers."""

CONSTANTS = ("weight_decay", "l1", "l2", "matrix_norm", "clip", "smoothing", "delta", "shift")
"""Numbers that a network keeps throughout, a vector each."""

NUMBER_LOSSES = ("mse", "l1", "huber")
"""Of numbers to predict."""

LOSSES = (*NUMBER_LOSSES, "bce", "labels", "cross_entropy")
"""``"bce"`` is of one logit, ``"labels"`` its mean over several."""

COMMON = (
    *("steps", "first_step", "batch", "chunk", "valid", "units", "truths", "parameters"),
    *("numbers", "gradients", "memory0", "memory1", "sound"),
    *("constants", "coefficients", "ends", "statistics", "bad", "outputs"),
    *("truth_tile", "weight_tile", "here", "there"),
)
"""The table of a stack. How many steps, the number of the first, rows in a batch, rows that are
computed at once, rows that validate, outputs, numbers of truth in a row, and numbers of parameters;
where the parameters lie, their gradients, what the optimizer remembers of them, and whether the
gradients of a step are finite; constants, coefficients of each step, for each step its epoch and
whether that ends with it, statistics, the step in which a network went wrong or -1, outputs for the
rows that validate; and space to work in."""

SOURCE = ("inputs", "truth", "weights", "order", "tile", "width")
"""The table of rows, one for those that train and one for those that validate: inputs, truth,
weights and the order in which they are taken, each a pointer that all lanes share or a table of one
a lane; the space that inputs are gathered in, a vector each; and numbers in a row."""

LAYER = (
    *(
        "inputs",
        "units",
        "source",
        "order",
        "weights",
        "biases",
        "weight_number",
        "end",
    ),
    *("values", "kept", "mask", "draws", "rates", "source_draws", "source_rates"),
    *("drawn", "source_drawn", "drawing"),
    *("norms", "norm_number", "running", "normed", "spread"),
)
"""The table of a layer: numbers that it gets, units; where it gets them, and in which order if they
are rows that all lanes share; weights, biases, and their first and last place among the parameters;
what it gives, what its slope needs, which units there are; draws and rates of its dropout, and of
that before it, how many numbers each source of draws has of them, and which lanes draw from which
source; scales and shifts of its normalisation and their first place, running means and
variances, the normalised numbers, and what they were divided by."""


@dataclasses.dataclass(frozen=True)
class Program:
    """What the code is written for; counts and places are told when it runs.

    Attributes:
        real: ``"float"`` or ``"double"``.
        lanes: Networks in a stack.
        hidden: Hidden layers.
        activation: Of :data:`secchi.cohort.lanes.formulas.ACTIVATIONS`.
        batch_norm: ``"before"`` or ``"after"`` the activation, or None.
        loss: One of :data:`LOSSES`.
        rule: One of :data:`secchi.cohort.lanes.formulas.RULES`.
        shared_rows: Whether all lanes learn from the same rows in the same order.
        sources: By how many different draws the lanes drop.
        masked: Whether units are padded that would give something.
        input_dropout: Whether inputs are dropped.
        dropout: Whether units are.
        decays: Whether weights decay through the gradient.
        penalised: Whether weights are penalised by their sizes or squares.
        normed: Whether the norms of matrices are penalised.
        clipped: Whether gradients are clipped.
        whole: Whether all rows of a step are computed at once.
    """

    real: str
    lanes: int
    hidden: int
    activation: str = "relu"
    batch_norm: str | None = None
    loss: str = "mse"
    rule: str = "sgd"
    shared_rows: bool = True
    sources: int = 1
    masked: bool = False
    input_dropout: bool = False
    dropout: bool = False
    decays: bool = False
    penalised: bool = False
    normed: bool = False
    clipped: bool = False
    whole: bool = False

    @property
    def moves_at_once(self) -> bool:
        """Whether a parameter moves as soon as its gradient is found."""
        return self.whole and not (self.penalised or self.normed or self.clipped)

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """The tables that the function ``train`` takes, in their order.

        That of the stack, those of the rows, and those of the layers, in training and in judging.
        """
        layers = range(self.hidden + 1)
        return (
            *("common", "train_rows", "valid_rows"),
            *(f"train{layer}" for layer in layers),
            *(f"valid{layer}" for layer in layers),
        )

    def places(self, widths: Sequence[int]) -> "list[Places]":
        """Where the parameters of each layer begin, counted in vectors.

        Args:
            widths: Inputs, units of each hidden layer, and outputs.
        """
        places, at = [], 0
        for layer in range(self.hidden + 1):
            before, units = widths[layer], widths[layer + 1]
            biases = at + before * units
            norms = biases + units
            end = norms + 2 * units * (self.batch_norm is not None and layer < self.hidden)
            places.append(Places(at, biases, norms, end))
            at = end
        return places


@dataclasses.dataclass(frozen=True)
class Places:
    """Where the parameters of a layer lie.

    Attributes:
        weights: Where they begin.
        biases: Where they do.
        norms: Where the scales and shifts of normalisation do.
        end: Where the next layer begins.
    """

    weights: int
    biases: int
    norms: int
    end: int
