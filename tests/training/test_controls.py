"""What a training may be asked for beside its optimizer, against loops written by hand."""

import math
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from secchi.data.task import Labels, Target, Task
from secchi.errors import SpecError
from secchi.seeding import stream
from secchi.training.evaluation import evaluate
from secchi.training.execution import Execution
from secchi.training.history import History, Outcome
from secchi.training.loop import train
from secchi.training.optimizers import ParameterGroup
from secchi.training.rows import Rows
from secchi.training.schedules import Cosine, OneCycle, Restarts
from secchi.training.spec import Training

TASK = Task((Target.classify("pet", ["cat", "dog", "mouse"]),))
COUNT, BATCH, LR = 90, 16, 0.5
SGD = Training("sgd", lr=LR, epochs=3, batch_size=BATCH, weight_decay=0.0, seed=5)


class InMemory:
    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values
        self.width = values.shape[1]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[np.float32]:
        return self.values[rows]


def rows_of(count: int = COUNT, seed: int = 0, weighted: bool = False) -> Rows:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, 6)).astype(np.float32)
    truth = random.integers(0, 3, count)  # nothing to be learned: the validation loss rises
    weights = random.integers(1, 4, count).astype(np.float32) if weighted else None
    return Rows(InMemory(inputs), Labels(TASK, (truth,), weights))


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))


def trained(training: Training, rows: Rows | None = None, **options: object) -> tuple:
    net = network()
    history = train(net, rows or rows_of(), rows_of(seed=1), training, metrics=[], **options)
    return net, history


def batches(rows: Rows, epochs: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and truth of every batch, in the order of a run."""
    for epoch in range(first, first + epochs):
        order = stream(SGD.seed, f"batch order of epoch {epoch}").permutation(len(rows.labels))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            yield (
                torch.from_numpy(rows.inputs.take(chosen)),
                torch.from_numpy(rows.labels.values[0][chosen]),
            )


PER_EPOCH = math.ceil(COUNT / BATCH)


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in net.state_dict().items()}


def assert_close(one: nn.Module, other: nn.Module | dict[str, Tensor]) -> None:
    expected = other if isinstance(other, dict) else other.state_dict()
    for key, value in one.state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-5, msg=key)


def valid_loss(net: nn.Module) -> float:
    return evaluate(net, rows_of(seed=1)).loss


def losses(history: History) -> list[float]:
    return [epoch.valid_loss for epoch in history.epochs]


def test_clipping_is_that_of_torch() -> None:
    clip, net = 0.05, network()
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    norms = []
    for inputs, truth in batches(rows_of(), SGD.epochs):
        optimizer.zero_grad()
        functional.cross_entropy(net(inputs), truth).backward()
        norms.append(nn.utils.clip_grad_norm_(net.parameters(), clip).item())
        optimizer.step()
    assert min(norms) > clip
    assert_close(trained(SGD.but(clip=clip))[0], net)


def test_a_gradient_shorter_than_the_clip_is_left_alone() -> None:
    free, clipped = trained(SGD)[0], trained(SGD.but(clip=1e6))[0]
    assert_close(clipped, free)


def test_label_smoothing_is_that_of_torch_and_only_for_training() -> None:
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    for inputs, truth in batches(rows_of(), SGD.epochs):
        optimizer.zero_grad()
        functional.cross_entropy(net(inputs), truth, label_smoothing=0.3).backward()
        optimizer.step()
    found, history = trained(SGD.but(label_smoothing=0.3))
    assert_close(found, net)
    assert losses(history)[-1] == pytest.approx(valid_loss(net), rel=1e-4)


@pytest.mark.parametrize("schedule", [Cosine(), OneCycle(), Restarts(2, cycle_mult=2)])
def test_a_schedule_moves_the_rate_from_step_to_step(schedule: Cosine | OneCycle) -> None:
    """torch's schedulers beside torch's optimizer; a run of three epochs."""
    net, steps = network(), 3 * PER_EPOCH
    optimizer = torch.optim.SGD(net.parameters(), lr=LR, momentum=0.9)
    scheduler = {
        Cosine: lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
        OneCycle: lambda: torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps),
        Restarts: lambda: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
            optimizer, T_0=PER_EPOCH, T_mult=2
        ),
    }[type(schedule)]()
    for inputs, truth in batches(rows_of(), 3):
        optimizer.zero_grad()
        functional.cross_entropy(net(inputs), truth).backward()
        optimizer.step()
        scheduler.step()
    found, history = trained(SGD.but(momentum=0.9, schedule=schedule))
    assert len(history.epochs) == 3
    assert history.steps == steps
    assert_close(found, net)


def test_a_schedule_that_moves_momentum_gives_none_to_an_optimizer_without() -> None:
    net, steps = network(), 3 * PER_EPOCH
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LR, total_steps=steps, cycle_momentum=False
    )
    for inputs, truth in batches(rows_of(), 3):
        optimizer.zero_grad()
        functional.cross_entropy(net(inputs), truth).backward()
        optimizer.step()
        scheduler.step()
    assert_close(trained(SGD.but(schedule=OneCycle()))[0], net)


def test_layer_groups_have_rates_of_their_own() -> None:
    net = network()
    optimizer = torch.optim.SGD(
        [{"params": net[0].parameters(), "lr": 0.05}, {"params": net[2].parameters(), "lr": LR}]
    )
    for inputs, truth in batches(rows_of(), SGD.epochs):
        optimizer.zero_grad()
        functional.cross_entropy(net(inputs), truth).backward()
        optimizer.step()
    found = network()
    groups = [ParameterGroup(n, list(found[i].parameters())) for n, i in (("body", 0), ("head", 2))]
    train(found, rows_of(), rows_of(seed=1), SGD.but(lr=(0.05, LR)), metrics=[], groups=groups)
    assert_close(found, net)


def test_more_rates_than_groups_are_refused_before_any_work() -> None:
    with pytest.raises(SpecError, match="2 rates, and 1 layer groups"):
        trained(SGD.but(lr=(0.05, LR)))


@pytest.mark.parametrize("weighted", [False, True])
def test_accumulated_batches_are_one_larger_batch(weighted: bool) -> None:
    """90 rows: the last step of an epoch has fewer batches, and a shorter one."""
    rows = rows_of(weighted=weighted)
    large, one = trained(SGD.but(batch_size=64), rows)
    small, other = trained(SGD.but(batch_size=16, accumulate=4), rows)
    assert one.steps == other.steps == 6
    assert_close(small, large)
    for mine, theirs in zip(one.epochs, other.epochs, strict=True):
        assert mine.train_loss == pytest.approx(theirs.train_loss, rel=1e-5)
        assert mine.valid_loss == pytest.approx(theirs.valid_loss, rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("micro", [1, 5, 16, 1000])
def test_fewer_rows_at_once_are_the_same_training(micro: int, weighted: bool) -> None:
    rows = rows_of(weighted=weighted)
    whole, one = trained(SGD.but(accumulate=2), rows)
    parts, other = trained(SGD.but(accumulate=2), rows, execution=Execution(micro=micro))
    assert one.steps == other.steps
    assert_close(parts, whole)
    assert losses(other) == pytest.approx(losses(one), rel=1e-4)


def test_no_more_rows_are_computed_at_once_than_asked_for() -> None:
    seen: list[int] = []
    net = network()
    net.register_forward_pre_hook(
        lambda module, inputs: seen.append(len(inputs[0])) if module.training else None
    )
    training = SGD.but(epochs=1)
    train(net, rows_of(), rows_of(seed=1), training, metrics=[], execution=Execution(micro=10))
    assert seen == [10, 6] * 5 + [10]


def test_the_average_of_the_weights_is_judged_and_kept() -> None:
    decay, net = 0.9, network()
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    average, judged, raw = network(), [], []
    for step, (inputs, truth) in enumerate(batches(rows_of(), SGD.epochs), start=1):
        optimizer.zero_grad()
        functional.cross_entropy(net(inputs), truth).backward()
        optimizer.step()
        d = min(decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, weight in zip(average.parameters(), net.parameters(), strict=True):
                mean.copy_(d * mean + (1 - d) * weight)
        if step % PER_EPOCH == 0:
            judged.append(valid_loss(average))
            raw.append(valid_loss(net))
    found, history = trained(SGD.but(ema=decay))
    assert losses(history) == pytest.approx(judged, rel=1e-4)
    assert losses(history) != pytest.approx(raw, rel=1e-3)
    assert_close(found, average)
    assert losses(history)[-1] == valid_loss(found)


def test_an_average_changes_nothing_in_the_training() -> None:
    _, plain = trained(SGD)
    _, averaged = trained(SGD.but(ema=0.9))
    assert [e.train_loss for e in plain.epochs] == [e.train_loss for e in averaged.epochs]


RISING = SGD.but(epochs=12, lr=2.0)
"""A training whose validation loss is lowest after one of its first epochs."""


@pytest.mark.parametrize("ema", [None, 0.8])
def test_the_best_epoch_is_kept(ema: float | None) -> None:
    training = RISING.but(ema=ema)
    _, history = trained(training)
    best = int(np.argmin(losses(history)))
    assert 0 < best < 11
    found, kept = trained(training.but(keep_best=True))
    assert losses(kept) == losses(history)
    assert history.kept is None
    assert kept.kept == best
    assert f"epoch {best} are kept" in str(kept)
    assert valid_loss(found) == losses(history)[best]
    until_then, _ = trained(training.but(epochs=best + 1))
    assert all(torch.equal(value, weights(until_then)[k]) for k, value in weights(found).items())


def test_the_best_epoch_may_be_the_last() -> None:
    _, history = trained(RISING)
    best = int(np.argmin(losses(history)))
    found, kept = trained(RISING.but(keep_best=True, epochs=best + 1))
    assert kept.kept is None
    assert valid_loss(found) == losses(kept)[-1]


@pytest.mark.parametrize("patience", [1, 3])
def test_training_stops_when_the_validation_loss_no_longer_falls(patience: int) -> None:
    _, full = trained(RISING)
    seen = losses(full)
    expected = next(
        count
        for count in range(patience + 1, 12)
        if min(seen[count - patience : count]) >= min(seen[: count - patience])
    )
    found, history = trained(RISING.but(patience=patience))
    assert history.outcome is Outcome.STOPPED_EARLY
    assert losses(history) == losses(full)[:expected]
    assert history.steps == expected * PER_EPOCH
    until_then, _ = trained(RISING.but(epochs=expected))
    assert all(torch.equal(value, weights(until_then)[k]) for k, value in weights(found).items())


def test_patience_that_ends_with_the_last_epoch_stops_nothing_early() -> None:
    _, stopped = trained(RISING.but(patience=2))
    assert stopped.outcome is Outcome.STOPPED_EARLY
    _, history = trained(RISING.but(patience=2, epochs=len(stopped.epochs)))
    assert history.outcome is Outcome.COMPLETED


def test_stopping_early_keeps_the_best_where_that_is_asked_for() -> None:
    found, history = trained(RISING.but(patience=2, keep_best=True))
    assert history.outcome is Outcome.STOPPED_EARLY
    best = int(np.argmin(losses(history)))
    assert history.kept == best == len(history.epochs) - 3
    assert valid_loss(found) == losses(history)[best]


def test_mixed_inputs_are_learned_with_their_shares_of_both_truths() -> None:
    """Mixup, with shares that follow from the seed alone."""
    seeds: list[int] = []

    def mixing(inputs: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        seeds.append(seed)
        own = torch.rand(len(inputs), generator=torch.Generator().manual_seed(seed))
        share = own[:, None]
        return share * inputs + (1 - share) * inputs.roll(1, 0), own

    found, history = trained(SGD, mixing=mixing)
    drawn = list(seeds)
    assert len(set(drawn)) == len(drawn) == 3 * PER_EPOCH

    net, expected = network(), []
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    for (inputs, truth), seed in zip(batches(rows_of(), SGD.epochs), drawn, strict=True):
        mixed, own = mixing(inputs, seed)
        outputs = net(mixed)
        mine = functional.cross_entropy(outputs, truth, reduction="none")
        theirs = functional.cross_entropy(outputs, truth.roll(1), reduction="none")
        optimizer.zero_grad()
        loss = (own * mine + (1 - own) * theirs).mean()
        loss.backward()
        optimizer.step()
        expected.append(loss.item() * len(truth))
    assert_close(found, net)
    by_epoch = np.array(expected).reshape(3, PER_EPOCH).sum(axis=1) / COUNT
    assert [e.train_loss for e in history.epochs] == pytest.approx(by_epoch.tolist(), rel=1e-5)


def test_a_mixing_that_leaves_a_batch_alone_changes_nothing() -> None:
    plain, mixed = trained(SGD)[0], trained(SGD, mixing=lambda inputs, seed: (inputs, None))[0]
    assert all(torch.equal(value, weights(plain)[key]) for key, value in weights(mixed).items())


@pytest.mark.parametrize("mixes", [False, True])
def test_one_of_the_accumulated_batches_is_in_memory_at_a_time(mixes: bool) -> None:
    held: list[weakref.ref[NDArray[np.float32]]] = []

    class Watched(InMemory):
        def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[np.float32]:
            assert [ref for ref in held if ref() is not None] == []
            taken = super().take(rows, epoch)
            held.append(weakref.ref(taken))
            return taken

    def mixing(inputs: Tensor, seed: int) -> tuple[Tensor, None]:
        return inputs, None

    plain = rows_of()
    rows = Rows(Watched(plain.inputs.values), plain.labels)
    trained(SGD.but(accumulate=4), rows, mixing=mixing if mixes else None)
    assert len(held) == 3 * PER_EPOCH


def test_mixing_leaves_the_weights_of_rows_together_as_they_are() -> None:
    """One share for a batch: a step is the mean over the weights of its rows, mixed or not."""
    rows = rows_of(count=BATCH, weighted=True)

    def mixing(inputs: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return 0.7 * inputs + 0.3 * inputs.roll(1, 0), torch.full((len(inputs),), 0.7)

    found, history = trained(SGD.but(epochs=1), rows, mixing=mixing)
    net, counts = network(), torch.from_numpy(rows.labels.weights)
    ((inputs, truth),) = batches(rows, 1)
    order = stream(SGD.seed, "batch order of epoch 0").permutation(BATCH)
    counts = counts[torch.from_numpy(order)]
    outputs = net(mixing(inputs, 0)[0])
    mine = 0.7 * counts * functional.cross_entropy(outputs, truth, reduction="none")
    before = 0.3 * counts.roll(1)
    theirs = before * functional.cross_entropy(outputs, truth.roll(1), reduction="none")
    loss = (mine + theirs).sum() / (0.7 * counts + before).sum()
    loss.backward()
    torch.optim.SGD(net.parameters(), lr=LR).step()
    assert_close(found, net)
    assert history.epochs[0].train_loss == pytest.approx(loss.item(), rel=1e-5)


def test_every_accumulated_batch_is_mixed_by_a_seed_of_its_own() -> None:
    seeds: list[int] = []

    def mixing(inputs: Tensor, seed: int) -> tuple[Tensor, None]:
        seeds.append(seed)
        return inputs, None

    trained(SGD.but(accumulate=4), mixing=mixing)
    again = list(seeds)
    assert len(set(seeds)) == 3 * PER_EPOCH
    seeds.clear()
    trained(SGD.but(accumulate=4), mixing=mixing)
    assert seeds == again
