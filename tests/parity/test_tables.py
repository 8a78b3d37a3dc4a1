"""Networks on tables train as a loop does that one writes by hand in plain PyTorch.

Each setting trains for 50 steps twice: by the library, and by :func:`plain_training`, from the same
weights, with the batches in the same order and, where the network has dropout, the same masks.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from torch import Tensor, nn

from secchi.data.task import Kind, Labels, Target, Task
from secchi.seeding import stream, stream_seed
from secchi.training.evaluation import evaluate
from secchi.training.execution import Execution
from secchi.training.history import History
from secchi.training.loop import train
from secchi.training.rows import ArrayInputs, Rows
from secchi.training.spec import Training

ROWS, BATCH, EPOCHS, SEED = 170, 32, 10, 5
STEPS = EPOCHS * (ROWS // BATCH)  # what is left over of an epoch is dropped

Loss = Callable[[Tensor, Tensor], Tensor]
Optimizer = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained, in the library's words and in torch's.

    Attributes:
        data: A key of :data:`TABLES`.
        training: The library's.
        loss: Torch's mean loss of outputs, (rows,) where there is one a row.
        optimizer: Torch's, of groups of parameters.
        penalty: What is added to the loss, of the network.
        layers: What stands behind the first layer.
    """

    data: str
    training: Training
    loss: Loss
    optimizer: Optimizer
    penalty: Callable[[nn.Module], Tensor] = lambda net: torch.zeros(())
    layers: Callable[[], list[nn.Module]] = lambda: [nn.Tanh()]


def sgd(**options: Any) -> Optimizer:
    return lambda groups: torch.optim.SGD(groups, **options)


def plain(optimizer: str = "sgd", lr: float = 0.05, **changes: Any) -> Training:
    """Without the weight decay that a training has where nobody says."""
    return Training(optimizer, lr, **{"weight_decay": 0.0} | changes)


def weights(net: nn.Module) -> list[Tensor]:
    return [p for name, p in net.named_parameters() if "bias" not in name and p.ndim > 1]


def mean_over_weights(net: nn.Module, power: int) -> Tensor:
    """As a loop adds it up by hand, parameter by parameter."""
    total, count = torch.zeros(()), 0
    for weight in weights(net):
        total = total + weight.abs().pow(power).sum()
        count += weight.numel()
    return total / count


MSE, CE = nn.MSELoss(), nn.CrossEntropyLoss()
SETTINGS = {
    "mse, sgd": Setting("price", plain(), MSE, sgd(lr=0.05)),
    "l1, momentum": Setting(
        "price", plain(momentum=0.9, loss="l1"), nn.L1Loss(), sgd(lr=0.05, momentum=0.9)
    ),
    "huber, nesterov": Setting(
        "price",
        plain(momentum=0.8, nesterov=True, loss="huber", huber_delta=0.5),
        nn.HuberLoss(delta=0.5),
        sgd(lr=0.05, momentum=0.8, nesterov=True),
    ),
    "smooth l1, one's own": Setting(
        "price", plain(loss=nn.SmoothL1Loss(beta=2.0)), nn.SmoothL1Loss(beta=2.0), sgd(lr=0.05)
    ),
    "bce, rmsprop": Setting(
        "tumour",
        plain("rmsprop", 0.003),
        lambda outputs, truth: nn.BCEWithLogitsLoss()(outputs, truth.to(outputs.dtype)),
        lambda groups: torch.optim.RMSprop(groups, lr=0.003),
    ),
    "cross-entropy, adam": Setting(
        "cultivar", plain("adam", 0.01), CE, lambda groups: torch.optim.Adam(groups, lr=0.01)
    ),
    "kl, adamw": Setting(
        "shares",
        plain("adamw", 0.01, weight_decay=0.1),
        lambda outputs, truth: nn.KLDivLoss(reduction="batchmean")(
            torch.log_softmax(outputs, dim=1), truth.to(outputs.dtype)
        ),
        lambda groups: torch.optim.AdamW(groups, lr=0.01),
    ),
    "momentum as a weighted average": Setting(
        "cultivar",
        plain(momentum=0.9, dampening=0.9),
        CE,
        sgd(lr=0.05, momentum=0.9, dampening=0.9),
    ),
    "weight decay": Setting("cultivar", plain(weight_decay=0.1), CE, sgd(lr=0.05)),
    "l1 penalty": Setting(
        "cultivar", plain(l1=0.5), CE, sgd(lr=0.05), lambda net: 0.5 * mean_over_weights(net, 1)
    ),
    "l2 penalty": Setting(
        "cultivar", plain(l2=3.0), CE, sgd(lr=0.05), lambda net: 3.0 * mean_over_weights(net, 2)
    ),
    "elastic net": Setting(
        "cultivar",
        plain("adam", 0.01, l1=0.5, l2=3.0),
        CE,
        lambda groups: torch.optim.Adam(groups, lr=0.01),
        lambda net: 0.5 * mean_over_weights(net, 1) + 3.0 * mean_over_weights(net, 2),
    ),
    "matrix norm": Setting(
        "cultivar",
        plain(matrix_norm=0.02),
        CE,
        sgd(lr=0.05),
        lambda net: 0.02 * sum(torch.linalg.matrix_norm(weight) for weight in weights(net)),
    ),
    "batch norm": Setting(
        "cultivar", plain(), CE, sgd(lr=0.05), layers=lambda: [nn.BatchNorm1d(16), nn.ReLU()]
    ),
    "dropout": Setting(
        "cultivar", plain(), CE, sgd(lr=0.05), layers=lambda: [nn.ReLU(), nn.Dropout(0.4)]
    ),
}


def scaled(values: NDArray[Any]) -> NDArray[np.float64]:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def table(name: str) -> tuple[NDArray[np.float32], Target, NDArray[Any]]:
    """Rows of a real table, and what is true of them."""
    load = {"price": load_diabetes, "tumour": load_breast_cancer}.get(name, load_wine)
    inputs, truth = load(return_X_y=True)
    chosen = np.random.default_rng(0).permutation(len(inputs))[:ROWS]
    inputs, truth = scaled(inputs)[chosen].astype(np.float32), truth[chosen]
    if name == "price":
        return inputs, Target(name, Kind.REGRESSION), scaled(truth).astype(np.float32)
    classes = [str(number) for number in np.unique(truth)]
    if name == "shares":
        shares = 0.1 + 0.7 * np.eye(len(classes))[truth]
        target = Target(name, Kind.DISTRIBUTION, tuple(classes))
        return inputs, target, target.encode(shares)
    return inputs, Target.classify(name, classes), truth.astype(np.int64)


def network(inputs: int, outputs: int, layers: list[nn.Module]) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(inputs, 16), *layers, nn.Linear(16, outputs))


def plain_training(net: nn.Module, setting: Setting, inputs: Tensor, truth: Tensor) -> list[float]:
    """The loop that one writes by hand: the loss of each step, without the penalty."""
    decay = setting.training.weight_decay
    others = [p for p in net.parameters() if p.ndim <= 1]
    optimizer = setting.optimizer(
        [
            {"params": weights(net), "weight_decay": decay},
            {"params": others, "weight_decay": 0.0},
        ]
    )
    net.train()
    losses = []
    for epoch in range(EPOCHS):
        order = stream(SEED, f"batch order of epoch {epoch}").permutation(len(inputs))
        for step in range(len(inputs) // BATCH):
            rows = torch.from_numpy(order[step * BATCH : (step + 1) * BATCH])
            torch.manual_seed(stream_seed(SEED, f"step {step} of epoch {epoch}"))
            outputs = net(inputs[rows])
            loss = setting.loss(outputs[:, 0] if outputs.shape[1] == 1 else outputs, truth[rows])
            optimizer.zero_grad()
            (loss + setting.penalty(net)).backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def both(name: str, precision: str) -> tuple[History, list[float], nn.Module, nn.Module]:
    """The library's history, the losses by hand, and both networks."""
    setting = SETTINGS[name]
    inputs, target, truth = table(setting.data)
    ours = network(inputs.shape[1], target.outputs, setting.layers())
    theirs = copy.deepcopy(ours)
    dtype = torch.float64 if precision == "fp64" else torch.float32
    values = torch.from_numpy(truth)
    values = values.to(dtype) if values.is_floating_point() else values
    with torch.random.fork_rng(devices=[]):
        losses = plain_training(
            theirs.to(dtype), setting, torch.from_numpy(inputs).to(dtype), values
        )
    rows = Rows(ArrayInputs(inputs), Labels(Task((target,)), (truth,)))
    history = train(
        ours,
        rows,
        rows,
        setting.training.but(epochs=EPOCHS, batch_size=BATCH, seed=SEED),
        metrics=[],
        execution=Execution(precision=precision),
        equal_batches=True,
    )
    return history, losses, ours, theirs.eval()


@pytest.fixture(autouse=True)
def _one_core() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", SETTINGS)
def test_in_float64_every_loss_is_that_of_the_loop_by_hand(name: str) -> None:
    history, losses, ours, theirs = both(name, "fp64")
    assert len(losses) == STEPS
    np.testing.assert_allclose(history.step_losses, losses, rtol=1e-6)
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-9, atol=1e-11, msg=key)


@pytest.mark.parametrize("name", SETTINGS)
def test_in_float32_every_loss_is_that_of_the_loop_by_hand(name: str) -> None:
    history, losses, _, _ = both(name, "fp32")
    np.testing.assert_allclose(history.step_losses, losses, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["mse, sgd", "kl, adamw", "dropout", "l1 penalty"])
def test_what_is_judged_has_neither_penalties_nor_dropout(name: str) -> None:
    history, _, _, theirs = both(name, "fp64")
    setting = SETTINGS[name]
    inputs, _, truth = table(setting.data)
    with torch.no_grad():
        outputs = theirs(torch.from_numpy(inputs).double())
        outputs = outputs[:, 0] if outputs.shape[1] == 1 else outputs
        expected = setting.loss(outputs, torch.from_numpy(truth)).item()
    assert history.epochs[-1].valid_loss == pytest.approx(expected, rel=1e-6)


def test_in_float64_outputs_and_losses_stay_float64() -> None:
    inputs, target, truth = table("price")
    net = network(inputs.shape[1], 1, [nn.Tanh()])
    rows = Rows(ArrayInputs(inputs), Labels(Task((target,)), (truth,)))
    judged = evaluate(net, rows, metrics=["r"], execution=Execution(precision="fp64"))
    assert judged.outputs.dtype == torch.float64
    with torch.no_grad():
        outputs = net(torch.from_numpy(inputs).double())[:, 0]
    exactly = ((outputs - torch.from_numpy(truth).double()) ** 2).mean().item()
    assert judged.loss == pytest.approx(exactly, rel=1e-14)
