"""Networks that train together come to what each comes to alone, whichever engine trains them.

Every case is a few networks that go in step. Each is compared with the ordinary loop, which
tests/parity/test_tables.py holds to plain PyTorch: in float64 over some 200 steps, in float32 over
the first 20.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

from secchi.cohort.alone import train_alone
from secchi.cohort.curve import Curve
from secchi.cohort.loop import train_members
from secchi.cohort.member import Member
from secchi.cohort.stacked.train import train_stack
from secchi.cohort.structure import STACKED_ACTIVATIONS
from secchi.data.task import Kind, Labels, Target, Task
from secchi.models.mlp import MLP
from secchi.training.history import Outcome
from secchi.training.metrics import default_metric
from secchi.training.prepared import PreparedTable
from secchi.training.schedules import (
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    Polynomial,
    Restarts,
    Schedule,
    Step,
    Warmup,
)
from secchi.training.spec import Training

ROWS, VALID, BATCH = 80, 40, 8
EPOCHS = {"fp64": 20, "fp32": 2}
CLOSE = {"fp64": 1e-9, "fp32": 1e-5}


class Engine(NamedTuple):
    """What trains the members of a case.

    Attributes:
        train: (members, metrics) to a curve each.
        exact: Whether a network is the same to the bit whatever is beside it. Of batched products
            of matrices torch computes other last bits where there are more or fewer of them.
    """

    train: Callable[[Sequence[Member], Sequence[str]], list[Curve]]
    exact: bool


class Setting(NamedTuple):
    """One network of a case: a key of :data:`TABLES`, and the specifications."""

    data: str
    model: MLP
    training: Training


# ------------------------------------------------------------------ data


def scaled(values: NDArray[Any]) -> NDArray[Any]:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def classes(load: Callable[..., Any]) -> tuple[NDArray[Any], Target, NDArray[Any]]:
    inputs, truth = load(return_X_y=True)
    inputs = inputs[:, inputs.std(axis=0) > 0][:, :20]
    return scaled(inputs), Target.classify("class", np.unique(truth).tolist()), truth


def disease(center: float = 0.0) -> tuple[NDArray[Any], Target, NDArray[Any]]:
    inputs, truth = load_diabetes(return_X_y=True)
    return scaled(inputs), Target("progression", Kind.REGRESSION), truth + center


def labels() -> tuple[NDArray[Any], Target, NDArray[Any]]:
    """Which of three measures of a wine are high, from the ten others."""
    inputs, _ = load_wine(return_X_y=True)
    high = inputs[:, :3] > np.median(inputs[:, :3], axis=0)
    return scaled(inputs)[:, 3:], Target("high", Kind.MULTILABEL, ("a", "b", "c")), high


TABLES: dict[str, Callable[[], tuple[NDArray[Any], Target, NDArray[Any]]]] = {
    "three classes": lambda: classes(load_iris),
    "two columns": lambda: (classes(load_iris)[0][:, 2:], *classes(load_iris)[1:]),
    "other columns": lambda: classes(load_wine),
    "ten classes": lambda: classes(load_digits),
    "two classes": lambda: classes(load_breast_cancer),
    "number": disease,
    "number far from zero": lambda: disease(1e6),
    "labels": labels,
}


@cache
def table(name: str, precision: str) -> PreparedTable:
    """Rows of a real table; behind a comma stands what is special about them."""
    kind, _, special = name.partition(", ")
    inputs, target, truth = TABLES[kind]()
    order = np.random.default_rng(len(special)).permutation(len(inputs))
    rows = ROWS + 5 if special == "five more rows" else ROWS
    parts = {"train": order[:rows], "valid": order[rows : rows + VALID - len(special)]}
    weights = np.random.default_rng(1).choice([0.5, 1.0, 3.0], len(inputs)).astype(np.float32)
    weights[parts["train"][:3]] = weights[parts["valid"][:3]] = 0
    encoded = truth if target.kind is Kind.MULTILABEL else target.encode(truth)
    encoded = encoded.astype(np.float32) if target.kind is Kind.MULTILABEL else encoded
    task = Task((target,))
    return PreparedTable.of_arrays(
        task,
        {split: inputs[places] for split, places in parts.items()},
        {
            split: Labels(
                task, (encoded[places],), weights[places] if special == "weighted" else None
            )
            for split, places in parts.items()
        },
        precision,
    )


# ------------------------------------------------------------------ cases


def plain(optimizer: str = "sgd", lr: float = 0.05, **changes: Any) -> Training:
    """Without the weight decay that a training has where nobody says."""
    settings = {"batch_size": BATCH, "weight_decay": 0.0, **changes}
    return Training(optimizer, lr, **settings)


def pair(
    optimizer: str = "sgd",
    lr: float = 0.05,
    *,
    data: str = "three classes",
    model: MLP = MLP([6]),  # noqa: B008 - it is frozen
    **changes: Any,
) -> list[Setting]:
    """Two networks that differ in their rates (and, as all do, in their seeds)."""
    return [Setting(data, model, plain(optimizer, rate, **changes)) for rate in (lr, lr / 2)]


def several(data: Sequence[str] = (), model: Sequence[MLP] = (), **factors: Any) -> list[Setting]:
    """Networks that differ in some fields, each of which has its values one after the other."""
    number = max(len(values) for values in (data, model, *factors.values()))
    each = {
        "data": cycle(data or ["three classes"]),
        "model": cycle(model or [MLP([6])]),
        **{name: cycle(values) for name, values in factors.items()},
    }
    made = []
    for _ in range(number):
        fields = {name: next(values) for name, values in each.items()}
        made.append(Setting(fields.pop("data"), fields.pop("model"), plain(**fields)))
    return made


CYCLES: list[Schedule] = [OneCycle(), OneCycle(low_momentum=0.0)]
"""They change momenta too, which each optimizer has at another place."""

SCHEDULES: list[Schedule] = [
    *CYCLES,
    Constant(),
    Cosine(end=0.1),
    Restarts(4, cycle_mult=2),
    Step(every=3, gamma=0.5),
    Exponential(0.9),
    Polynomial(power=2, end=0.1),
    Warmup(Cosine(), epochs=2.5),
]

# Each activation is in some case, as code that is written for a case anyway costs nothing more.
CASES: dict[str, list[Setting]] = {
    # optimizers
    "sgd": pair(),
    "momentum, dampening, nesterov": several(
        momentum=[0.0, 0.9, 0.9, 0.5, 0.8],
        dampening=[0.0, 0.0, 0.9, 0.3, 0.0],
        nesterov=[False, False, False, False, True],
        model=[MLP([6], "tanh")],
    ),
    "rmsprop": several(
        model=[MLP([6], "leaky_relu")],
        optimizer=["rmsprop"],
        lr=[0.003, 0.002],
        momentum=[0.0, 0.5],
        weight_decay=[0.0, 0.0, 0.1],
    ),
    "adam": several(
        model=[MLP([6], "silu")],
        optimizer=["adam"],
        lr=[0.01, 0.005],
        momentum=[0.9, 0.5, 0.0],
        weight_decay=[0.0, 0.0, 0.1],
    ),
    "adamw": pair("adamw", 0.01, weight_decay=0.1, model=MLP([6], "gelu")),
    "weight decay": several(
        model=[MLP([6], "hardtanh")], weight_decay=[0.0, 0.1, 0.01], momentum=[0.0, 0.9, 0.5]
    ),
    # schedules; the one with restarts takes 15 epochs
    "schedules": several(schedule=SCHEDULES, epochs=[15]),
    "schedules of momentum": several(
        model=[MLP([6], "softsign")], schedule=SCHEDULES, epochs=[15], momentum=[0.9, 0.8]
    ),
    "schedules of rmsprop": several(
        model=[MLP([6], "relu6")],
        schedule=CYCLES,
        epochs=[15],
        optimizer=["rmsprop"],
        lr=[0.003],
        momentum=[0.5],
    ),
    "schedules of adam": several(
        model=[MLP([6], "logsigmoid")],
        schedule=CYCLES,
        epochs=[15],
        optimizer=["adam"],
        lr=[0.01],
    ),
    # penalties and clipping
    "l1, l2": several(
        model=[MLP([6], "selu")], l1=[0.0, 0.5, 2.0, 0.0, 0.5], l2=[0.0, 0.0, 0.0, 3.0, 1.0]
    ),
    "matrix norm": several(model=[MLP([6], "celu")], matrix_norm=[0.02, 0.0, 0.1]),
    "elastic net of adam": several(
        model=[MLP([6], "mish")], optimizer=["adam"], lr=[0.01], l1=[0.5, 0.1], l2=[3.0, 1.0]
    ),
    "clip": several(model=[MLP([6], "hardswish")], clip=[0.1, None, 0.02], l2=[0.0, 0.0, 1.0]),
    # losses
    "two classes": several(["two classes"], lr=[0.05, 0.02], label_smoothing=[0.0, 0.1, 0.3]),
    "three classes": several(lr=[0.05, 0.02], label_smoothing=[0.0, 0.1, 0.3]),
    "ten classes": pair(data="ten classes"),
    "labels": several(
        ["labels"], [MLP([6], "tanhshrink")], lr=[0.05, 0.02], label_smoothing=[0.0, 0.1]
    ),
    "mse": pair(data="number", lr=0.02),
    "l1 loss": pair(data="number", lr=0.02, loss="l1", model=MLP([6], "softshrink")),
    "huber": several(
        ["number"], [MLP([6], "identity")], lr=[0.02], loss=["huber"], huber_delta=[1.0, 50.0, 1e3]
    ),
    "number far from zero": pair(data="number far from zero", lr=0.02),
    # rows
    "weights": pair(data="two classes, weighted"),
    "weights, of numbers": pair(data="number, weighted", lr=0.02),
    "whole batch": pair(batch_size=128, lr=0.3),
    # networks
    "no hidden layer": pair(model=MLP([])),
    "three hidden layers": pair(model=MLP([8, 7, 5]), lr=0.1),
    "one output of a wide layer": pair(data="number", model=MLP([40]), lr=0.02),
    "batch norm before": pair(model=MLP([6, 5], "hardshrink", batch_norm="before")),
    "batch norm after": pair(model=MLP([6, 5], batch_norm="after")),
    "dropout": several(
        model=[
            MLP([6, 5], "hardsigmoid", dropout=rates)
            for rates in (0.0, 0.5, (0.0, 0.4), (0.3, 0.0), (0.1, 0.2))
        ]
    ),
    "input dropout": several(
        model=[MLP([6], dropout=0.2, input_dropout=rate) for rate in (0.0, 0.3)]
    ),
    "input dropout, no hidden layer": several(
        model=[MLP([], input_dropout=rate) for rate in (0.0, 0.3)]
    ),
    "initial weights": several(
        model=[MLP([6], init=init) for init in ("torch", "xavier_normal", "zeros")]
    ),
    # at once
    "widths": several(model=[MLP([3, 9]), MLP([9, 3]), MLP([1, 1])]),
    "widths, batch norm before": several(
        model=[MLP([n, 7 - n], "sigmoid", batch_norm="before") for n in (1, 3, 6)]
    ),
    "widths, batch norm after": several(
        model=[MLP([n, 7 - n], "softplus", batch_norm="after") for n in (1, 3, 6)]
    ),
    "widths, dropout": several(model=[MLP([n], dropout=0.3, input_dropout=0.1) for n in (2, 9)]),
    "widths, penalties": several(
        model=[MLP([2]), MLP([9])], l1=[0.3], l2=[1.0], matrix_norm=[0.02], clip=[0.1]
    ),
    "tables": several(
        ["three classes", "three classes, others", "three classes, five more rows", "other columns"]
    ),
    "everything": several(
        ["three classes", "two columns", "other columns"],
        [MLP([5], "elu", 0.2), MLP([9], "sigmoid"), MLP([2], "softplus", input_dropout=0.2)],
        optimizer=["adam"],
        lr=[0.01, 0.003, 0.03, 0.001],
        momentum=[0.9, 0.8],
        weight_decay=[0.0, 0.01, 0.1],
        l1=[0.0, 0.1],
        clip=[None, 0.5],
        label_smoothing=[0.1, 0.0, 0.0],
        schedule=["constant", "cosine", "one_cycle"],
    ),
}

IN_FLOAT64_ALONE = {
    *("schedules of momentum", "schedules of rmsprop", "schedules of adam"),
    *("l1, l2", "matrix norm", "elastic net of adam", "clip"),
    *("input dropout, no hidden layer", "widths, batch norm before"),
}
"""Cases whose factors other cases have too: penalties stand in "widths, penalties", say; and
activations that tests/cohort/lanes/test_formulas.py holds to torch in both precisions. Code is
written alike for both, and takes longer to compile than to run."""

METRICS = {
    "two classes": ("accuracy", "error_rate", "f1", "auc", "balanced_accuracy"),
    "ten classes": ("accuracy", "top_3", "f1"),
    "mse": ("mae", "rmse", "r2", "r"),
    "labels": ("accuracy", "f1"),
}


def members(settings: Sequence[Setting], precision: str, **changes: Any) -> list[Member]:
    """A member a setting, each with a seed of its own."""
    return [
        Member(
            table(data, precision),
            model,
            training.but(**{"seed": seed} | changes),
            seed=seed,
        )
        for seed, (data, model, training) in enumerate(settings, start=3)
    ]


def of_case(name: str, precision: str) -> tuple[list[Member], tuple[str, ...]]:
    settings = CASES[name]
    takes_its_own = any(setting.training.schedule.length for setting in settings)
    each = members(settings, precision, **{} if takes_its_own else {"epochs": EPOCHS[precision]})
    return each, METRICS.get(name, (default_metric(each[0].table.task.target),))


@cache
def alone(name: str, precision: str) -> list[Curve]:
    each, metrics = of_case(name, precision)
    return [train_alone(member, metrics) for member in each]


def assert_same(curve: Curve, expected: Curve, close: float, epochs: int | None = None) -> None:
    """Over the first epochs, or in all and in how they ended."""
    for name in ("train_loss", "valid_loss"):
        ours, theirs = getattr(curve, name), getattr(expected, name)
        np.testing.assert_allclose(ours[:epochs], theirs[:epochs], close, err_msg=name)
    assert list(curve.metrics) == list(expected.metrics)
    for name, values in expected.metrics.items():
        ours = curve.metrics[name]
        np.testing.assert_allclose(ours[:epochs], values[:epochs], close, close, err_msg=name)
    if epochs is None:
        assert curve[3:] == expected[3:]


# ------------------------------------------------------------------ engines


@pytest.fixture(params=["stacked", "lanes"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "stacked":
        return Engine(partial(train_stack, device="cpu"), exact=False)
    return Engine(partial(train_members, threads=1), exact=True)


@pytest.fixture(autouse=True)
def _one_core() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_activation_is_in_a_case() -> None:
    used = {setting.model.activation for settings in CASES.values() for setting in settings}
    assert used == STACKED_ACTIVATIONS


@pytest.mark.parametrize("name", CASES)
def test_in_float64_every_network_is_the_one_that_it_is_alone(name: str, engine: Engine) -> None:
    curves = engine.train(*of_case(name, "fp64"))
    for curve, expected in zip(curves, alone(name, "fp64"), strict=True):
        assert_same(curve, expected, CLOSE["fp64"])


@pytest.mark.parametrize("name", [name for name in CASES if name not in IN_FLOAT64_ALONE])
def test_in_float32_the_first_steps_are_those_alone(name: str, engine: Engine) -> None:
    curves = engine.train(*of_case(name, "fp32"))
    for curve, expected in zip(curves, alone(name, "fp32"), strict=True):
        assert_same(curve, expected, CLOSE["fp32"], EPOCHS["fp32"])


# ------------------------------------------------------------------ how trainings end

GOOD = several(
    ["three classes", "three classes, others"],
    [MLP([6], dropout=0.1), MLP([9]), MLP([4])],
    lr=[0.05, 0.02, 0.1, 0.2, 0.01],
    momentum=[0.9, 0.0],
)


@pytest.mark.parametrize("precision", EPOCHS)
def test_a_rate_that_diverges_is_named_and_disturbs_no_other(
    precision: str, engine: Engine
) -> None:
    def beside(lr: float) -> list[Curve]:
        wild = Setting("three classes", MLP([6]), plain(lr=lr, momentum=0.9))
        return engine.train(members([wild, *GOOD], precision, epochs=8), ["accuracy"])

    (harmless, *expected), (lost, *others) = beside(1e-3), beside(1e6)
    assert (harmless.outcome, lost.outcome) == (Outcome.COMPLETED, Outcome.DIVERGED)
    for curve, undisturbed in zip(others, expected, strict=True):
        if engine.exact:
            np.testing.assert_equal(curve._asdict(), undisturbed._asdict())
        else:
            assert_same(curve, undisturbed, CLOSE[precision], EPOCHS[precision])


ENDS = {
    "patience": several(
        optimizer=["adam"], lr=[0.1], model=[MLP([16])], patience=[1, 3, None], keep_best=[True]
    ),
    "last weights": several(optimizer=["adam"], lr=[0.1], patience=[2, 4, None]),
    # Two losses of so wild a rate are still numbers.
    "divergence": several(lr=[0.05, 1e6, 1e6], momentum=[0.9], keep_best=[False, True, False]),
    "no epoch": several(lr=[0.05, 0.1], epochs=[0]),
}


@pytest.mark.parametrize("name", ENDS)
def test_every_network_ends_as_it_does_alone(name: str, engine: Engine) -> None:
    epochs = {} if name == "no epoch" else {"epochs": EPOCHS["fp64"]}
    each = members(ENDS[name], "fp64", **epochs)
    expected = [train_alone(member, ["accuracy"]) for member in each]
    # No two of them may end alike by chance, or nothing would be shown.
    assert name == "no epoch" or len({(curve.outcome, curve.kept) for curve in expected}) > 1
    for curve, alone in zip(engine.train(each, ["accuracy"]), expected, strict=True):
        assert_same(curve, alone, CLOSE["fp64"])


def test_a_network_is_the_same_whatever_is_beside_it() -> None:
    """Of lanes, tests/cohort/lanes/test_train.py shows it to the bit."""
    each = members(CASES["everything"], "fp64", epochs=5)
    together = train_stack(each, ["accuracy"], "cpu")
    for member, curve in zip(each, together, strict=True):
        (by_itself,) = train_stack([member], ["accuracy"], "cpu")
        assert_same(curve, by_itself, CLOSE["fp64"])
