"""The same training in plain PyTorch and through secchi gives the same numbers, to rounding."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from secchi.data.task import Kind, Labels, Target, Task
from secchi.models.heads import SCALE, Head
from secchi.seeding import stream
from secchi.training.loop import train
from secchi.training.rows import Rows
from secchi.training.spec import Training

TARGETS = {
    "binary": Target.classify("tame", ["no", "yes"]),
    "many": Target.classify("pet", ["cat", "dog", "mouse"]),
    "labels": Target("seen", Kind.MULTILABEL, ("sky", "sea", "sand", "snow")),
    "number": Target("price", Kind.REGRESSION),
}
OPTIMIZERS = {
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=0.9),
    "adam": lambda groups, lr: torch.optim.Adam(groups, lr=lr),
    "adamw": lambda groups, lr: torch.optim.AdamW(groups, lr=lr),
    "rmsprop": lambda groups, lr: torch.optim.RMSprop(groups, lr=lr),
}
INPUTS, TRAIN, VALID, BATCH, EPOCHS, LR, DECAY, SEED = 20, 150, 70, 32, 5, 0.02, 0.05, 11


class InMemory:
    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values
        self.width = values.shape[1]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[np.float32]:
        return self.values[rows]


def draw(target: Target, count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, INPUTS, generator=generator) + 1
    classes = len(target.classes)
    if target.kind is Kind.REGRESSION:
        return inputs, torch.randn(count, generator=generator)
    if target.exclusive:
        return inputs, torch.randint(0, classes, (count,), generator=generator)
    return inputs, torch.randint(0, 2, (count, classes), generator=generator).float()


def plain_loss(target: Target, outputs: Tensor, truth: Tensor) -> Tensor:
    """Mean loss with torch's classes, as a textbook has it."""
    if target.kind is Kind.BINARY:
        return nn.BCEWithLogitsLoss()(outputs.squeeze(1), truth.float())
    if target.kind is Kind.MULTICLASS:
        return nn.CrossEntropyLoss()(outputs, truth)
    if target.kind is Kind.MULTILABEL:
        return nn.BCEWithLogitsLoss()(outputs, truth)
    return nn.MSELoss()(outputs.squeeze(1), truth)


def plain_training(
    target: Target,
    optimizer: str,
    linear: nn.Linear,
    train_rows: tuple[Tensor, Tensor],
    valid_rows: tuple[Tensor, Tensor],
) -> list[tuple[float, float]]:
    """The loop that one writes by hand: the losses of each epoch."""
    center = train_rows[0].mean(dim=0)

    def net(inputs: Tensor) -> Tensor:
        directions = functional.normalize(inputs - center, dim=1)
        return linear(SCALE * INPUTS**0.5 * directions)

    groups = [
        {"params": [linear.weight], "weight_decay": DECAY},
        {"params": [linear.bias], "weight_decay": 0.0},
    ]
    stepper = OPTIMIZERS[optimizer](groups, LR)
    losses = []
    for epoch in range(EPOCHS):
        order = stream(SEED, f"batch order of epoch {epoch}").permutation(TRAIN)
        total = 0.0
        for start in range(0, TRAIN, BATCH):
            rows = torch.from_numpy(order[start : start + BATCH])
            stepper.zero_grad()
            loss = plain_loss(target, net(train_rows[0][rows]), train_rows[1][rows])
            loss.backward()
            stepper.step()
            total += loss.item() * len(rows)
        with torch.no_grad():
            valid = plain_loss(target, net(valid_rows[0]), valid_rows[1])
        losses.append((total / TRAIN, valid.item()))
    return losses


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", TARGETS)
def test_training_a_head_is_what_plain_pytorch_does(kind: str, optimizer: str) -> None:
    target = TARGETS[kind]
    sides = draw(target, TRAIN, seed=1), draw(target, VALID, seed=2)

    head = Head(INPUTS, target.outputs)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    linear = nn.Linear(INPUTS, target.outputs)
    linear.load_state_dict(head.linear.state_dict())

    expected = plain_training(target, optimizer, linear, *sides)

    head.fit_center([sides[0][0].numpy()[:64], sides[0][0].numpy()[64:]])
    task = Task((target,))
    ours = [Rows(InMemory(x.numpy()), Labels(task, (y.numpy(),))) for x, y in sides]
    training = Training(
        optimizer,
        lr=LR,
        epochs=EPOCHS,
        batch_size=BATCH,
        weight_decay=DECAY,
        momentum=0.9 if optimizer == "sgd" else None,
        seed=SEED,
    )
    history = train(head, *ours, training, metrics=[])

    found = [(epoch.train_loss, epoch.valid_loss) for epoch in history.epochs]
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    torch.testing.assert_close(head.linear.weight, linear.weight, rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(head.linear.bias, linear.bias, rtol=1e-4, atol=2e-5)


def test_weight_decay_spares_the_biases() -> None:
    """Where nothing is to be learned, weights shrink towards zero and biases stay."""
    number = TARGETS["number"]
    head = Head(INPUTS, 1)
    nn.init.ones_(head.linear.weight)
    nn.init.ones_(head.linear.bias)
    rows = Rows(
        InMemory(np.zeros((8, INPUTS), np.float32)),
        Labels(Task((number,)), (np.ones(8, np.float32),)),
    )
    train(head, rows, rows, Training("adamw", lr=0.1, epochs=1, weight_decay=0.5), metrics=[])
    torch.testing.assert_close(head.linear.weight, torch.full((1, INPUTS), 1 - 0.1 * 0.5))
    torch.testing.assert_close(head.linear.bias, torch.ones(1))
