"""The loop: the same seed gives the same numbers, and what goes wrong has a name."""

import contextlib
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from secchi.data.task import Kind, Labels, Target, Task
from secchi.errors import DataError, SpecError
from secchi.models.heads import Head
from secchi.seeding import stream
from secchi.training import evaluation, loop
from secchi.training.evaluation import evaluate
from secchi.training.execution import Execution
from secchi.training.history import Epoch, History, Outcome
from secchi.training.loop import train
from secchi.training.optimizers import OPTIMIZERS, ParameterGroup
from secchi.training.plan import SchedulePlan
from secchi.training.rows import ArrayInputs, Rows
from secchi.training.schedules import OneCycle
from secchi.training.spec import OPTIMIZER_NAMES, Training

PET = Target.classify("pet", ["cat", "dog", "mouse"])


class InMemory:
    """Inputs that remember which rows were taken."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values
        self.width = values.shape[1]
        self.taken: list[list[int]] = []
        self.epochs: list[int] = []

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[np.float32]:
        self.taken.append(np.arange(len(self))[rows].tolist())
        self.epochs.append(epoch)
        return self.values[rows]


class Wide(nn.Module):
    """A network with a hidden layer and dropout, its first weights the same every time."""

    def __init__(self, dropout: float = 0.5) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Linear(6, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 3)
            )

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layers(inputs)


def rows_of(
    target: Target = PET, count: int = 50, seed: int = 0, weights: Sequence[float] | None = None
) -> Rows:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, 6)).astype(np.float32)
    signal = inputs @ np.random.default_rng(99).normal(size=(6, len(target.classes) or 1))
    if target.kind is Kind.REGRESSION:
        values = signal[:, 0].astype(np.float32)
    elif target.exclusive:
        values = signal.argmax(axis=1)
    else:
        values = (signal > 0).astype(np.float32)
    share = None if weights is None else np.array(weights, np.float32)
    return Rows(InMemory(inputs), Labels(Task((target,)), (values,), share))


def fitted(
    training: Training, rows: Rows | None = None, net: nn.Module | None = None, **options: object
) -> tuple[nn.Module, History]:
    rows = rows or rows_of()
    head = net or Head(6, rows.labels.task.outputs)
    history = train(head, rows, rows_of(rows.labels.task.target, seed=1), training, **options)
    return head, history


def numbers(history: History) -> list[tuple[object, ...]]:
    return [(e.number, e.train_loss, e.valid_loss, *e.metrics.items()) for e in history.epochs]


def test_the_names_of_the_specification_are_the_optimizers_that_there_are() -> None:
    assert tuple(OPTIMIZERS) == OPTIMIZER_NAMES


@pytest.mark.parametrize("optimizer", OPTIMIZER_NAMES)
def test_one_seed_gives_the_same_numbers_to_the_bit(optimizer: str) -> None:
    training = Training(optimizer, epochs=4, batch_size=16, seed=7)
    (one, first), (other, second) = fitted(training), fitted(training)
    assert numbers(first) == numbers(second)
    assert torch.equal(one.linear.weight, other.linear.weight)
    assert torch.equal(one.linear.bias, other.linear.bias)


def test_what_else_draws_random_numbers_moves_nothing() -> None:
    training = Training(epochs=2, batch_size=16)
    _, first = fitted(training)
    torch.manual_seed(123)
    np.random.seed(123)
    _, second = fitted(training)
    assert numbers(first) == numbers(second)


def test_training_draws_nothing_from_the_global_generators() -> None:
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()
    fitted(Training(epochs=2, batch_size=16), net=Wide())
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.testing.assert_equal(np.random.get_state(), numpy_before)


def test_dropout_follows_from_the_seed_and_from_nothing_else() -> None:
    training = Training(epochs=2, batch_size=16)
    _, first = fitted(training, net=Wide())
    torch.manual_seed(123)
    _, second = fitted(training, net=Wide())
    assert numbers(first) == numbers(second)
    _, still = fitted(training, net=Wide(dropout=0.0))
    assert numbers(first) != numbers(still)


def test_another_seed_gives_other_numbers() -> None:
    _, first = fitted(Training(epochs=2, batch_size=16, seed=0))
    _, second = fitted(Training(epochs=2, batch_size=16, seed=1))
    assert numbers(first) != numbers(second)


def test_training_learns() -> None:
    _, history = fitted(Training(lr=0.05, epochs=30, batch_size=16))
    assert history.outcome is Outcome.COMPLETED
    assert history.epochs[-1].metrics["accuracy"] > 0.85
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss / 2


def test_every_epoch_takes_every_row_once_in_batches_of_the_size_asked_for() -> None:
    rows = rows_of(count=50)
    fitted(Training(epochs=3, batch_size=16), rows)
    taken = rows.inputs.taken
    assert [len(batch) for batch in taken] == [16, 16, 16, 2] * 3
    for epoch in range(3):
        assert sorted(sum(taken[4 * epoch : 4 * epoch + 4], [])) == list(range(50))
    assert taken[0] != taken[4]


def test_the_order_of_the_batches_follows_from_seed_and_epoch_alone() -> None:
    together, apart, other = rows_of(), rows_of(), rows_of()
    fitted(Training(epochs=2, batch_size=16), together)
    fitted(Training(epochs=1, batch_size=16, lr=0.5), apart)
    fitted(Training("sgd", epochs=1, batch_size=16), apart, first_epoch=1)
    fitted(Training(epochs=2, batch_size=16, seed=1), other)
    assert together.inputs.taken == apart.inputs.taken
    assert together.inputs.taken != other.inputs.taken


def test_rows_are_taken_for_their_epoch() -> None:
    rows, valid = rows_of(count=20), rows_of(count=20, seed=1)
    train(Head(6, 3), rows, valid, Training(epochs=2, batch_size=10), first_epoch=3)
    assert rows.inputs.epochs == [3, 3, 4, 4]
    assert valid.inputs.epochs == [0, 0]


def test_epochs_are_numbered_from_the_first_one_asked_for() -> None:
    _, history = fitted(Training(epochs=2), first_epoch=5)
    assert [epoch.number for epoch in history.epochs] == [5, 6]


def test_no_epochs_change_nothing() -> None:
    head, history = fitted(Training(epochs=0))
    assert history.epochs == ()
    assert history.outcome is Outcome.COMPLETED
    assert not head.linear.weight.any()


def test_the_training_loss_is_the_mean_over_rows_and_not_over_batches() -> None:
    """A tiny learning rate keeps the network where it is: every batch costs log 3 a row."""
    rows = rows_of(count=17, weights=[5.0] * 16 + [1.0])
    _, history = fitted(Training(lr=1e-12, epochs=1, batch_size=16), rows)
    assert history.epochs[0].train_loss == pytest.approx(math.log(3), rel=1e-5)


def test_an_observer_sees_every_epoch_when_it_is_done() -> None:
    seen: list[Epoch] = []
    _, history = fitted(Training(epochs=3), observe=seen.append)
    assert tuple(seen) == history.epochs


@pytest.mark.parametrize("epochs", [5, 1])
def test_a_last_step_that_loses_the_weights_is_seen_by_the_validation_loss(epochs: int) -> None:
    number = Target("price", Kind.REGRESSION)
    training = Training("sgd", lr=1e30, epochs=epochs, batch_size=50)
    head, history = fitted(training, rows_of(number), metrics=["mae"])
    assert history.outcome is Outcome.DIVERGED
    assert len(history.epochs) == 1
    assert history.steps == 1
    assert math.isfinite(history.epochs[0].train_loss)
    assert not math.isfinite(history.epochs[0].valid_loss)
    assert "learning rate" in str(history)
    assert not head.linear.weight.any()  # as before the epoch


def test_divergence_within_an_epoch_ends_it_at_once() -> None:
    number = Target("price", Kind.REGRESSION)
    rows = rows_of(number)
    training = Training("sgd", lr=1e30, epochs=5, batch_size=1)
    head, history = fitted(training, rows, metrics=["mae", "r2"])
    assert history.outcome is Outcome.DIVERGED
    assert history.epochs == ()
    assert len(rows.inputs.taken) == history.steps + 1 < 10
    assert not head.linear.weight.any()
    assert not head.linear.bias.any()


def test_outputs_that_are_no_numbers_have_metrics_that_are_none() -> None:
    number = Target("price", Kind.REGRESSION)
    head = Head(6, 1)
    nn.init.constant_(head.linear.bias, math.nan)
    found = evaluate(head, rows_of(number), metrics=["mae", "r2"])
    assert math.isnan(found.loss)
    assert all(math.isnan(value) for value in found.metrics.values())


class _WithDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        assert self.training == torch.is_grad_enabled()
        return self.linear(inputs)


def test_rows_are_judged_in_evaluation_mode_and_without_gradients() -> None:
    net = _WithDropout()
    train(net, rows_of(), rows_of(seed=1), Training(epochs=1, batch_size=16))
    assert not net.training


def test_progress_counts_the_rows_of_every_step() -> None:
    seen: list[tuple[int, int]] = []
    fitted(
        Training(epochs=2, batch_size=16), progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(16 * step, 128) for step in range(1, 9)]


def test_evaluating_changes_no_weight() -> None:
    head, _ = fitted(Training(epochs=1))
    before = {key: value.clone() for key, value in head.state_dict().items()}
    evaluate(head.train(), rows_of(seed=3), metrics=["accuracy"])
    assert not head.training
    assert all(torch.equal(before[key], value) for key, value in head.state_dict().items())


def test_many_rows_are_judged_in_parts_as_they_are_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation, "EVALUATION_NUMBERS", 6 * 64 + 5)  # rows have 6 numbers
    random = np.random.default_rng(5)
    rows = rows_of(count=150, weights=random.integers(0, 3, 150).tolist())
    head, _ = fitted(Training(epochs=1))
    found = evaluate(head, rows, metrics=["accuracy"])
    assert [len(batch) for batch in rows.inputs.taken] == [64, 64, 22]
    assert sum(rows.inputs.taken, []) == list(range(150))
    with torch.no_grad():
        outputs = head(torch.from_numpy(rows.inputs.values))
    truth, weights = rows.labels.values[0], rows.labels.weights
    torch.testing.assert_close(found.outputs, outputs)
    each = nn.functional.cross_entropy(outputs, torch.from_numpy(truth), reduction="none").numpy()
    assert found.loss == pytest.approx(np.average(each, weights=weights), rel=1e-5)
    right = outputs.argmax(1).numpy() == truth
    assert found.metrics["accuracy"] == pytest.approx(np.average(right, weights=weights))


def test_a_row_wider_than_what_is_judged_at_once_is_judged_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation, "EVALUATION_NUMBERS", 5)
    rows = rows_of(count=3)
    evaluate(Head(6, 3), rows)
    assert rows.inputs.taken == [[0], [1], [2]]


def test_weights_move_what_is_learned() -> None:
    """Of two rows that contradict each other, the one that counts more is believed."""
    binary = Target.classify("tame", ["no", "yes"])
    inputs = np.ones((2, 6), np.float32)
    for weights, expected in (([9.0, 1.0], 0), ([1.0, 9.0], 1), ([0.0, 1.0], 1)):
        labels = Labels(Task((binary,)), (np.array([0, 1]),), np.array(weights, np.float32))
        rows = Rows(InMemory(inputs), labels)
        head = Head(6, 1)
        train(head, rows, rows, Training(lr=0.1, epochs=20, batch_size=2))
        assert (head(torch.ones(1, 6)).item() > 0) == expected


def absent(rows: Rows, places: Sequence[int], value: float) -> Rows:
    """The same rows and, at some places between them, others of a value that weigh nothing."""
    labels = rows.labels
    inputs = np.insert(rows.inputs.values, places, np.float32(value), axis=0)
    values = tuple(np.insert(truth, places, value) for truth in labels.values)
    weights = np.insert(np.ones(len(labels), np.float32), places, 0)
    return Rows(InMemory(inputs), Labels(labels.task, values, weights))


@pytest.mark.parametrize("value", [1e30, 3.0])
def test_rows_of_weight_zero_are_as_if_they_were_not_there(value: float) -> None:
    price = Target("price", Kind.REGRESSION)
    rows, valid = rows_of(price), rows_of(price, seed=1)
    training = Training("sgd", lr=0.01, epochs=3, batch_size=8, drop_last=True)

    def run(rows: Rows, valid: Rows) -> tuple[nn.Module, History]:
        net = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        net.load_state_dict(start)
        return net, train(net, rows, valid, training, metrics=["mae"])

    start = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).state_dict()
    expected_net, expected = run(rows, valid)
    more = absent(rows, [0, 5, 5, 20, 49], value)
    net, found = run(more, absent(valid, [3, 50], value))
    assert found.outcome is Outcome.COMPLETED
    # The same numbers to the bit: of those that are judged, sums are in another order.
    assert found.step_losses == expected.step_losses
    assert [e.train_loss for e in found.epochs] == [e.train_loss for e in expected.epochs]
    for one, other in zip(found.epochs, expected.epochs, strict=True):
        assert one.valid_loss == pytest.approx(other.valid_loss)
        assert one.metrics == pytest.approx(other.metrics)
    for name, weights in expected_net.state_dict().items():
        assert torch.equal(net.state_dict()[name], weights), name
    taken = {row for batch in more.inputs.taken for row in batch}
    assert taken == set(np.flatnonzero(more.labels.weights).tolist())


def test_an_epoch_has_rows_that_count_however_few_there_are() -> None:
    """Of 64 rows in batches of 4 that drop what is left over, one counts."""
    rows = rows_of(count=64, weights=[0.0] * 63 + [1.0])
    _, history = fitted(Training(epochs=5, batch_size=4), rows, equal_batches=True)
    assert history.outcome is Outcome.COMPLETED
    assert all(math.isfinite(epoch.train_loss) for epoch in history.epochs)
    assert history.steps == 5


def test_a_row_of_weight_zero_without_finite_outputs_spoils_no_number() -> None:
    rows = absent(rows_of(), [7], 0.0)
    rows.inputs.values[7] = np.nan
    found = evaluate(Head(6, 3), rows, metrics=["accuracy"])
    assert math.isfinite(found.loss)
    assert math.isfinite(found.metrics["accuracy"])


def test_the_order_without_weights_of_zero_is_that_of_every_row() -> None:
    orders = []
    for weights in (None, [2.0] * 50):
        rows = rows_of(weights=weights)
        fitted(Training(epochs=2, batch_size=16), rows)
        orders.append(rows.inputs.taken)
    assert orders[0] == orders[1]
    drawn = stream(0, "batch order of epoch 0").permutation(50)
    assert sum(orders[0], [])[:50] == drawn.tolist()


def test_the_metrics_of_several_targets_are_kept_apart() -> None:
    task = Task.regress("height", "weight")
    inputs = InMemory(np.ones((4, 6), np.float32))
    values = (np.zeros(4, np.float32), np.full(4, 2, np.float32))
    found = evaluate(Head(6, 2), Rows(inputs, Labels(task, values)), metrics=["mae"])
    assert found.metrics == {"height.mae": 0.0, "weight.mae": 2.0}
    assert found.loss == 4.0


@pytest.mark.parametrize("side", ["training", "validation"])
@pytest.mark.parametrize("count", [0, 3])
def test_rows_of_which_none_counts_are_refused(side: str, count: int) -> None:
    nothing = rows_of(count=count, weights=[0.0] * count if count else None)
    sides = {"training": rows_of(), "validation": rows_of(seed=1)} | {side: nothing}
    with pytest.raises(DataError, match=f"no {side} row counts"):
        train(Head(6, 3), sides["training"], sides["validation"], Training(epochs=1))


def test_without_validation_rows_every_row_is_trained_on_and_nothing_is_judged() -> None:
    rows = rows_of()
    judged, plain = Head(6, 3), Head(6, 3)
    training = Training(epochs=2, batch_size=16)
    expected = train(judged, rows, rows_of(seed=1), training)
    history = train(plain, rows, None, training)
    assert history.outcome is Outcome.COMPLETED
    assert history.step_losses == expected.step_losses
    assert torch.equal(plain.linear.weight, judged.linear.weight)
    assert not plain.training
    assert all(math.isnan(e.valid_loss) and e.metrics == {} for e in history.epochs)


@pytest.mark.parametrize(("lr", "outcome"), [(1e30, Outcome.COMPLETED), (1e38, Outcome.DIVERGED)])
def test_without_validation_rows_a_last_step_that_loses_the_weights_is_seen(
    lr: float, outcome: Outcome
) -> None:
    rows = rows_of(Target("price", Kind.REGRESSION))
    large = Rows(rows.inputs, Labels(rows.labels.task, (1e4 * rows.labels.values[0],)))
    head = Head(6, 1)
    training = Training("sgd", lr=lr, epochs=1, batch_size=50, weight_decay=0)
    history = train(head, large, None, training)
    assert history.outcome is outcome
    assert torch.isfinite(head.linear.weight).all()


@pytest.mark.parametrize("changes", [{"patience": 3}, {"keep_best": True}])
def test_rules_that_watch_the_validation_loss_need_one(changes: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=f"{next(iter(changes))} watches the validation loss"):
        train(Head(6, 3), rows_of(), None, Training(**changes))  # type: ignore[arg-type]


def test_no_rows_have_no_loss_and_no_metrics() -> None:
    found = evaluate(Head(6, 3), rows_of(count=0), metrics=["accuracy"])
    assert found.outputs.shape == (0, 3)
    assert math.isnan(found.loss)
    assert math.isnan(found.metrics["accuracy"])


def frozen(inputs: int, outputs: int) -> nn.Module:
    layers = nn.Sequential(nn.Linear(inputs, outputs), nn.Conv2d(3, 4, 3))
    return layers.requires_grad_(False)


def test_a_small_step_stays_on_one_core_and_others_use_all() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        cores = {}
        for name, net in (
            ("small", nn.Linear(6, 3)),
            ("large", nn.Linear(600, 3000)),
            ("convolution", nn.Conv2d(3, 4, 3)),
            ("head of frozen layers", nn.Sequential(frozen(600, 3000), nn.Linear(6, 3))),
            ("frozen", frozen(600, 3000)),
        ):
            with contextlib.suppress(KeyboardInterrupt), loop.threads_for(net, 16):
                cores[name] = torch.get_num_threads()
                raise KeyboardInterrupt
            assert torch.get_num_threads() == 2
        assert cores == {
            **{"small": 1, "large": 2, "convolution": 2},
            **{"head of frozen layers": 1, "frozen": 2},
        }
    finally:
        torch.set_num_threads(before)


def test_rows_that_are_left_over_are_dropped_and_are_others_in_every_epoch() -> None:
    rows = rows_of(count=50)
    _, history = fitted(Training(epochs=3, batch_size=16), rows, equal_batches=True)
    taken = rows.inputs.taken
    assert [len(batch) for batch in taken] == [16] * 9
    assert history.steps == 9
    left = [set(range(50)) - set(sum(taken[3 * e : 3 * e + 3], [])) for e in range(3)]
    assert all(len(rows) == 2 for rows in left)
    assert len(set(map(frozenset, left))) > 1


@pytest.mark.parametrize("asked", [True, False])
def test_what_the_training_asks_of_the_last_batch_goes_before(asked: bool) -> None:
    rows = rows_of(count=50)
    fitted(Training(epochs=1, batch_size=16, drop_last=asked), rows, equal_batches=not asked)
    assert [len(batch) for batch in rows.inputs.taken] == [16] * 3 + ([] if asked else [2])


def test_fewer_rows_than_a_batch_are_one_batch() -> None:
    rows = rows_of(count=5)
    fitted(Training(epochs=2, batch_size=16), rows, equal_batches=True)
    assert [len(batch) for batch in rows.inputs.taken] == [5, 5]


def test_every_step_leaves_its_loss_and_its_rate() -> None:
    training = Training("sgd", lr=(0.001, 0.1), epochs=2, batch_size=16, schedule=OneCycle())
    net = Wide(0.0)
    groups = [ParameterGroup(str(i), list(net.layers[i].parameters())) for i in (0, 3)]
    _, history = fitted(training, net=net, groups=groups)
    assert len(history.step_losses) == len(history.step_rates) == history.steps == 8
    sizes = [16, 16, 16, 2]
    for epoch in (0, 1):
        losses = history.step_losses[4 * epoch : 4 * epoch + 4]
        assert np.average(losses, weights=sizes) == pytest.approx(
            history.epochs[epoch].train_loss, rel=1e-6
        )
    plan = SchedulePlan.of(training, ["0", "3"], rows=50)
    assert list(history.step_rates) == pytest.approx(plan.rates["3"])


def test_a_step_that_diverges_is_not_among_the_steps() -> None:
    number = Target("price", Kind.REGRESSION)
    _, history = fitted(Training("sgd", lr=1e30, epochs=5, batch_size=1), rows_of(number))
    assert history.outcome is Outcome.DIVERGED
    assert len(history.step_losses) == history.steps
    assert np.isfinite(history.step_losses).all()


def test_rows_in_memory_are_trained_on_as_others_are() -> None:
    rows = rows_of(count=50, weights=np.arange(50).tolist())
    there = Rows(ArrayInputs(rows.inputs.values), rows.labels)
    training = Training(epochs=3, batch_size=16)
    (one, first), (other, second) = fitted(training, rows), fitted(training, there)
    assert numbers(first) == numbers(second)
    assert torch.equal(one.linear.weight, other.linear.weight)


def test_a_loss_of_ones_own_is_minimised_and_judged() -> None:
    """The pinball loss of 0.9 is least at the ninth decile of what is true."""
    number = Target("price", Kind.REGRESSION)
    truth = np.arange(100, dtype=np.float32) / 100
    inputs = np.zeros((100, 1), np.float32)
    rows = Rows(ArrayInputs(inputs), Labels(Task((number,)), (truth,)))

    def pinball(outputs: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return torch.maximum(0.9 * (values - outputs), 0.1 * (outputs - values))

    net = nn.Linear(1, 1)
    nn.init.zeros_(net.bias)
    training = Training("sgd", lr=0.05, epochs=400, batch_size=100, loss=pinball)
    history = train(net, rows, rows, training, metrics=[])
    answer = net.bias.item()
    assert answer == pytest.approx(0.9, abs=0.02)
    by_hand = np.maximum(0.9 * (truth - answer), 0.1 * (answer - truth)).mean()
    assert history.epochs[-1].valid_loss == pytest.approx(by_hand, rel=1e-4)
    assert evaluate(net, rows, training=training).loss == history.epochs[-1].valid_loss


def test_units_make_the_rate_and_the_loss_the_same_for_any_unit() -> None:
    number = Target("price", Kind.REGRESSION)
    plain = rows_of(number)
    large = Rows(plain.inputs, Labels(plain.labels.task, (1024 * plain.labels.values[0],)))

    class Scaled(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return 1024 * self.net(inputs)

    training = Training("sgd", lr=0.1, epochs=3, batch_size=16)
    one, other = Head(6, 1), Scaled(Head(6, 1))
    first = train(one, plain, plain, training, metrics=["r2"])
    second = train(other, large, large, training, metrics=["r2", "mae"], units=[1024.0])
    for mine, theirs in zip(first.epochs, second.epochs, strict=True):
        assert theirs.train_loss == pytest.approx(mine.train_loss, rel=1e-5)
        assert theirs.valid_loss == pytest.approx(mine.valid_loss, rel=1e-5)
        assert theirs.metrics["r2"] == pytest.approx(mine.metrics["r2"], rel=1e-5)
    assert second.epochs[-1].metrics["mae"] > 10  # in the unit of the person


def test_a_mean_of_ones_own_is_refused_where_rows_have_weights() -> None:
    number = Target("price", Kind.REGRESSION)
    rows = rows_of(number, weights=[1.0] * 50)
    with pytest.raises(DataError, match="a mean cannot be weighed"):
        fitted(Training(loss=nn.MSELoss(), epochs=1), rows)
    _, history = fitted(Training(loss=nn.MSELoss(), epochs=1), rows_of(number), metrics=["r2"])
    _, usual = fitted(Training(epochs=1), rows_of(number), metrics=["r2"])
    assert history.epochs[0].train_loss == pytest.approx(usual.epochs[0].train_loss, rel=1e-5)


def test_a_loss_that_does_not_suit_is_refused_before_any_work() -> None:
    rows = rows_of()
    with pytest.raises(SpecError, match="does not suit 'pet'"):
        fitted(Training(loss="mse"), rows)
    assert not rows.inputs.taken


def test_the_precision_of_float64_makes_the_network_float64() -> None:
    training = Training("adam", epochs=2, batch_size=16)
    net, history = fitted(training, execution=Execution(precision="fp64"))
    assert {value.dtype for value in net.state_dict().values()} == {torch.float64}
    judged = evaluate(net, rows_of(seed=1), execution=Execution(precision="fp64"))
    assert judged.outputs.dtype == torch.float64
    assert judged.loss == history.epochs[-1].valid_loss
    _, rounded = fitted(training)
    assert rounded.epochs[-1].valid_loss == pytest.approx(judged.loss, rel=1e-4)
    assert rounded.epochs[-1].valid_loss != judged.loss
