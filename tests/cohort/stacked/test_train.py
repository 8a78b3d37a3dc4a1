"""The engine of stacked tensors; that it trains as the ordinary loop does is in tests/parity."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

from secchi.cohort.curve import Curve
from secchi.cohort.member import Member
from secchi.cohort.stacked import train
from secchi.cohort.stacked.dropout import StackedDropout
from secchi.cohort.stacked.gradients import StackedClip
from secchi.cohort.stacked.metrics import stacked_scores
from secchi.cohort.stacked.network import StackedNetwork
from secchi.cohort.stacked.progress import StackedProgress
from secchi.cohort.stacked.rows import StackedOrders
from secchi.cohort.stacked.train import train_stack
from secchi.data.task import Labels, Task
from secchi.models.dropout import Dropout
from secchi.models.mlp import MLP
from secchi.seeding import stream_seed
from secchi.training.evaluation import score
from secchi.training.history import Outcome
from secchi.training.prepared import PreparedTable
from secchi.training.spec import Training

RATES = Training("sgd", lr=0.05, epochs=3, batch_size=16, weight_decay=0.0)


@pytest.fixture(autouse=True)
def _one_core() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def iris(columns: int = 4, weights: np.ndarray | None = None) -> PreparedTable:
    inputs, truth = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(truth))
    task = Task.classify(["setosa", "versicolor", "virginica"])
    parts = {"train": order[:100], "valid": order[100:]}
    labels = {
        split: Labels(task, (truth[rows],), weights if split == "train" else None)
        for split, rows in parts.items()
    }
    inputs = {split: inputs[rows, :columns] for split, rows in parts.items()}
    return PreparedTable.of_arrays(task, inputs, labels, "fp64")


TABLE = iris()


def member(model: MLP, table: PreparedTable = TABLE, seed: int = 0, **changes: object) -> Member:
    return Member(table, model, RATES.but(seed=seed, **changes), seed)


def trained(members: list[Member]) -> list[Curve]:
    return train_stack(members, ["accuracy"], device="cpu")


@pytest.mark.parametrize("norm", [None, "before", "after"])
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "adamw"])
def test_what_only_fills_up_stays_exactly_zero(
    norm: str | None, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[StackedNetwork] = []

    class Seen(StackedNetwork):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(train, "StackedNetwork", Seen)
    # Of a sigmoid and a softplus nothing makes something: f(0) is not 0.
    models = [MLP([2, 5], "sigmoid", 0.2, norm), MLP([6, 3], "softplus", 0.2, norm)]
    settings = {"optimizer": optimizer, "weight_decay": 0.1, "l1": 0.1, "matrix_norm": 0.1}
    trained([member(models[0], iris(2), **settings), member(models[1], **settings)])
    (network,) = made
    weights, others = network.weights, network.others
    assert weights["weight 0"].shape == (2, 6, 4)
    assert not weights["weight 0"][0, 2:].any()
    assert not weights["weight 0"][0, :, 2:].any()
    assert not weights["weight 1"][0, :, 2:].any()
    assert not weights["weight 1"][1, 3:].any()
    for part in ("bias", "scale", "shift") if norm else ("bias",):
        assert not others[f"{part} 0"][0, 0, 2:].any()
        assert not others[f"{part} 1"][1, 0, 3:].any()
    assert weights["weight 0"][0, :2, :2].all()


def test_curves_are_in_the_order_of_the_members() -> None:
    members = [member(MLP([4], name), lr=lr) for name in ("tanh", "elu") for lr in (0.01, 0.1)]
    for one, curve in zip(members, trained(members), strict=True):
        np.testing.assert_allclose(curve.valid_loss, trained([one])[0].valid_loss, 1e-12)


def test_rows_are_judged_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    members = [member(MLP([4], batch_norm="before"), lr=lr) for lr in (0.01, 0.1)]
    at_once = trained(members)
    monkeypatch.setattr(train, "JUDGED_NUMBERS", 100)
    for some, all_rows in zip(trained(members), at_once, strict=True):
        np.testing.assert_allclose(some.valid_loss, all_rows.valid_loss, 1e-12)
        np.testing.assert_array_equal(some.metrics["accuracy"], all_rows.metrics["accuracy"])


def test_members_with_the_same_rows_and_seed_share_an_order() -> None:
    members = [member(MLP([2])), member(MLP([3])), member(MLP([3]), seed=1)]
    order = StackedOrders(members, [0, 0, 0], [TABLE.labels("train")], "cpu").draw(epoch=2)
    assert order.places.shape == (2, 6, 16)
    assert order.of.tolist() == [0, 0, 1]
    assert not torch.equal(order.places[0], order.places[1])


def test_rows_that_weigh_nothing_are_in_no_step() -> None:
    weights = np.ones(100, np.float32)
    weights[::2] = 0
    table = iris(weights=weights)
    orders = StackedOrders([member(MLP([2]), table)], [0], [table.labels("train")], "cpu")
    assert orders.steps == 3
    assert all(place % 2 for place in orders.draw(epoch=0).places.flatten().tolist())


def test_masks_are_those_of_the_module() -> None:
    rates, purpose = (0.0, 0.3, 0.6), "step 1 of epoch 0"
    members = [member(MLP([5, 3], dropout=(rate, 0.5))) for rate in rates]
    drawn = StackedDropout(members, torch.float64, "cpu").draw(purpose, 4)
    assert sorted(drawn) == [1, 2]
    for place, rate in enumerate(rates):
        torch.manual_seed(stream_seed(0, purpose))
        first = Dropout(rate).train()(torch.ones(4, 5).double()) if rate else torch.ones(4, 5)
        second = Dropout(0.5).train()(torch.ones(4, 3).double())
        torch.testing.assert_close(drawn[1][place], first.double())
        torch.testing.assert_close(drawn[2][place], second)


def test_a_gradient_too_long_to_be_measured_is_lost_where_it_is_clipped_alone() -> None:
    members = [member(MLP([]), clip=clip) for clip in (None, 1.0, 1.0)]
    gradients = {"weight 0": torch.full((3, 2, 2), 1e30)}
    gradients["weight 0"][2] = 1.0
    sound = StackedClip(members, torch.float32, "cpu").clip(gradients)
    assert sound.tolist() == [True, False, True]
    assert gradients["weight 0"][0].tolist() == torch.full((2, 2), 1e30).tolist()
    assert float(gradients["weight 0"][2].norm()) == pytest.approx(1.0, abs=1e-5)


def test_patience_that_runs_out_with_the_last_epoch_completes() -> None:
    members = [member(MLP([]), patience=patience) for patience in (1, 2)]
    progress = StackedProgress(members, [])
    ones = np.ones(2)
    assert progress.add(0, {"train_loss": ones, "valid_loss": ones}, 6).all()
    assert progress.add(1, {"train_loss": ones, "valid_loss": ones}, 12).tolist() == [False, True]
    assert progress.add(2, {"train_loss": ones[:1], "valid_loss": ones[:1]}, 18).all()
    first, second = progress.complete(18)
    assert (first.outcome, first.steps) == (Outcome.STOPPED_EARLY, 12)
    assert (second.outcome, second.steps) == (Outcome.COMPLETED, 18)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_answers_that_are_no_numbers_spoil_the_metrics_of_rows_that_count(weight: float) -> None:
    weights = np.array([1.0, 3.0, weight], np.float32)
    labels = Labels(Task.regress("price"), (np.array([1.0, 2.0, 3.0]),), weights)
    outputs = torch.tensor([[[2.0], [2.0], [torch.nan]]])
    truth, counts = torch.from_numpy(labels.values[0])[None], torch.from_numpy(weights)[None]
    scores = stacked_scores(["mae", "rmse", "r2"], [labels], outputs, truth, counts)
    expected = score(labels, outputs[0], ["mae", "rmse", "r2"])
    np.testing.assert_allclose([scores[n][0] for n in scores], [*expected.values()])
    assert np.isnan(scores["mae"]).all() == bool(weight)


def test_when_all_have_diverged_there_is_nothing_left_to_train() -> None:
    members = [member(MLP([4], "identity"), lr=1e200, seed=seed) for seed in (0, 1)]
    for curve in trained(members):
        assert curve.outcome is Outcome.DIVERGED
        assert len(curve.valid_loss) == len(curve.train_loss) < RATES.epochs
        assert curve.steps < 6 * RATES.epochs
