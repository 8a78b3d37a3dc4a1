"""Losses against their formulas, against torch, and against the numbers of the course."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor, nn
from torch.nn import functional

from secchi.data.task import Kind, Target, Task
from secchi.errors import DataError, SpecError
from secchi.training.losses import TaskLoss, check_loss, losses, task_losses, weighted_mean
from secchi.training.spec import Training

BINARY = Target.classify("tame", ["no", "yes"])
THREE = Target.classify("pet", ["cat", "dog", "mouse"])
LABELS = Target("seen", Kind.MULTILABEL, ("sky", "sea", "sand"))
NUMBER = Target("price", Kind.REGRESSION)

LOGITS = st.floats(-30, 30, width=32)


def outputs_of(columns: int) -> st.SearchStrategy[np.ndarray]:
    shape = st.tuples(st.integers(1, 6), st.just(columns))
    return hnp.arrays(np.float32, shape, elements=LOGITS)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    top = logits.max(axis=1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))


def log_sigmoid(logits: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0, -logits.astype(np.float64))


@pytest.mark.parametrize(("truth", "cost"), [(0, 3.34901), (1, 0.349012), (2, 1.34901)])
def test_cross_entropy_gives_the_numbers_of_the_course(truth: int, cost: float) -> None:
    found = losses(THREE, torch.tensor([[1.0, 4.0, 3.0]]), torch.tensor([truth]))
    assert float(found) == pytest.approx(cost, rel=2e-6)


def test_binary_loss_gives_the_number_of_the_course() -> None:
    """Probabilities 0.9, 0.1, 0.2 and 0.8 for truths 1, 0, 0 and 1: 0.164252 on average."""
    probabilities = torch.tensor([[0.9], [0.1], [0.2], [0.8]])
    found = losses(BINARY, torch.logit(probabilities), torch.tensor([1, 0, 0, 1]))
    assert float(found.mean()) == pytest.approx(0.164252, abs=5e-7)


def test_a_head_that_knows_nothing_costs_the_logarithm_of_the_number_of_classes() -> None:
    two = losses(BINARY, torch.zeros(2, 1), torch.tensor([0, 1]))
    three = losses(THREE, torch.zeros(3, 3), torch.tensor([0, 1, 2]))
    labels = losses(LABELS, torch.zeros(1, 3), torch.tensor([[0.0, 1.0, 1.0]]))
    assert two.tolist() == pytest.approx([math.log(2)] * 2)
    assert three.tolist() == pytest.approx([math.log(3)] * 3)
    assert labels.tolist() == pytest.approx([math.log(2)])


@settings(deadline=None, max_examples=50)
@given(outputs_of(1), st.data())
def test_binary_loss_follows_its_formula(outputs: np.ndarray, data: st.DataObject) -> None:
    truth = data.draw(hnp.arrays(np.int64, len(outputs), elements=st.integers(0, 1)))
    logits = outputs[:, 0]
    formula = -(truth * log_sigmoid(logits) + (1 - truth) * log_sigmoid(-logits))
    found = losses(BINARY, torch.from_numpy(outputs), torch.from_numpy(truth))
    assert found.shape == truth.shape
    np.testing.assert_allclose(found, formula, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(outputs_of(3), st.data())
def test_cross_entropy_follows_its_formula_and_torch(
    outputs: np.ndarray, data: st.DataObject
) -> None:
    truth = data.draw(hnp.arrays(np.int64, len(outputs), elements=st.integers(0, 2)))
    formula = -log_softmax(outputs)[np.arange(len(truth)), truth]
    found = losses(THREE, torch.from_numpy(outputs), torch.from_numpy(truth))
    np.testing.assert_allclose(found, formula, rtol=1e-5, atol=1e-5)
    plain = torch.nn.CrossEntropyLoss()(torch.from_numpy(outputs), torch.from_numpy(truth))
    assert float(found.mean()) == pytest.approx(float(plain), rel=1e-5, abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(outputs_of(1), st.data())
def test_two_classes_from_one_logit_cost_what_they_cost_from_two(
    outputs: np.ndarray, data: st.DataObject
) -> None:
    truth = data.draw(hnp.arrays(np.int64, len(outputs), elements=st.integers(0, 1)))
    one, values = torch.from_numpy(outputs), torch.from_numpy(truth)
    two = torch.cat([torch.zeros_like(one), one], dim=1)
    expected = functional.cross_entropy(two, values, reduction="none")
    torch.testing.assert_close(losses(BINARY, one, values), expected, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(outputs_of(3), st.data())
def test_labels_cost_the_mean_of_their_binary_losses(
    outputs: np.ndarray, data: st.DataObject
) -> None:
    truth = data.draw(hnp.arrays(np.float32, outputs.shape, elements=st.sampled_from([0.0, 1.0])))
    each = -(truth * log_sigmoid(outputs) + (1 - truth) * log_sigmoid(-outputs))
    found = losses(LABELS, torch.from_numpy(outputs), torch.from_numpy(truth))
    np.testing.assert_allclose(found, each.mean(axis=1), rtol=1e-5, atol=1e-6)
    plain = torch.nn.BCEWithLogitsLoss()(torch.from_numpy(outputs), torch.from_numpy(truth))
    assert float(found.mean()) == pytest.approx(float(plain), rel=1e-5, abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(outputs_of(1), st.data())
def test_a_number_costs_its_squared_error(outputs: np.ndarray, data: st.DataObject) -> None:
    truth = data.draw(hnp.arrays(np.float32, len(outputs), elements=LOGITS))
    found = losses(NUMBER, torch.from_numpy(outputs), torch.from_numpy(truth))
    np.testing.assert_allclose(found, (outputs[:, 0] - truth) ** 2, rtol=1e-5)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_extreme_logits_cost_finite_amounts(logit: float) -> None:
    for truth in (0, 1):
        found = losses(BINARY, torch.tensor([[logit]]), torch.tensor([truth]))
        assert torch.isfinite(found).all()


def test_the_losses_of_several_targets_are_added_row_by_row() -> None:
    task = Task((THREE, NUMBER, LABELS, BINARY))
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(5, task.outputs, generator=generator)
    values = [
        torch.tensor([0, 1, 2, 0, 1]),
        torch.randn(5, generator=generator),
        torch.tensor([[1.0, 0, 1]] * 5),
        torch.tensor([0, 1, 1, 0, 1]),
    ]
    expected = (
        losses(THREE, outputs[:, 0:3], values[0])
        + losses(NUMBER, outputs[:, 3:4], values[1])
        + losses(LABELS, outputs[:, 4:7], values[2])
        + losses(BINARY, outputs[:, 7:8], values[3])
    )
    torch.testing.assert_close(task_losses(task, outputs, values), expected)


def test_too_few_truths_for_the_targets_are_refused() -> None:
    task = Task.regress("height", "weight")
    with pytest.raises(ValueError, match="zip"):
        task_losses(task, torch.zeros(2, 2), [torch.zeros(2)])


def test_without_weights_the_mean_is_the_plain_one() -> None:
    assert float(weighted_mean(torch.tensor([1.0, 2.0, 6.0]), None)) == 3.0


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 5)), min_size=1))
def test_a_weight_counts_like_that_many_copies_of_the_row(pairs: list[tuple[int, int]]) -> None:
    each = torch.tensor([float(cost) for cost, _ in pairs])
    weights = torch.tensor([float(weight) for _, weight in pairs])
    copies = [float(cost) for cost, weight in pairs for _ in range(weight)]
    expected = sum(copies) / len(copies) if copies else 0.0
    assert float(weighted_mean(each, weights)) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_the_scale_of_the_weights_changes_no_gradient() -> None:
    gradients = []
    for scale in (1.0, 1000.0):
        each = torch.tensor([1.0, 5.0, 2.0], requires_grad=True)
        (weighted_mean(each, scale * torch.tensor([1.0, 2.0, 0.0]))).backward()
        gradients.append(each.grad)
    torch.testing.assert_close(gradients[0], torch.tensor([1 / 3, 2 / 3, 0.0]))
    torch.testing.assert_close(gradients[1], gradients[0])


SHARES = st.floats(0, 0.95)


@settings(deadline=None, max_examples=50)
@given(outputs_of(3), SHARES, st.data())
def test_smoothed_classes_cost_what_torch_says_and_what_the_formula_says(
    outputs: np.ndarray, share: float, data: st.DataObject
) -> None:
    truth = data.draw(hnp.arrays(np.int64, len(outputs), elements=st.integers(0, 2)))
    found = losses(THREE, torch.from_numpy(outputs), torch.from_numpy(truth), share)
    smooth = (1 - share) * np.eye(3)[truth] + share / 3
    formula = -(smooth * log_softmax(outputs)).sum(axis=1)
    np.testing.assert_allclose(found, formula, rtol=1e-5, atol=1e-5)
    plain = torch.nn.CrossEntropyLoss(label_smoothing=share)
    expected = plain(torch.from_numpy(outputs), torch.from_numpy(truth))
    assert float(found.mean()) == pytest.approx(float(expected), rel=1e-5, abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(outputs_of(1), SHARES, st.data())
def test_two_smoothed_classes_from_one_logit_cost_what_they_cost_from_two(
    outputs: np.ndarray, share: float, data: st.DataObject
) -> None:
    truth = data.draw(hnp.arrays(np.int64, len(outputs), elements=st.integers(0, 1)))
    found = losses(BINARY, torch.from_numpy(outputs), torch.from_numpy(truth), share)
    smooth = truth * (1 - share) + share / 2
    logits = outputs[:, 0]
    formula = -(smooth * log_sigmoid(logits) + (1 - smooth) * log_sigmoid(-logits))
    np.testing.assert_allclose(found, formula, rtol=1e-5, atol=1e-5)
    two = torch.from_numpy(np.concatenate([np.zeros_like(outputs), outputs], axis=1))
    expected = functional.cross_entropy(
        two, torch.from_numpy(truth), reduction="none", label_smoothing=share
    )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(outputs_of(3), SHARES, st.data())
def test_smoothed_labels_lie_nearer_to_a_half(
    outputs: np.ndarray, share: float, data: st.DataObject
) -> None:
    truth = data.draw(hnp.arrays(np.float32, outputs.shape, elements=st.sampled_from([0.0, 1.0])))
    smooth = truth * (1 - share) + share / 2
    each = -(smooth * log_sigmoid(outputs) + (1 - smooth) * log_sigmoid(-outputs))
    found = losses(LABELS, torch.from_numpy(outputs), torch.from_numpy(truth), share)
    np.testing.assert_allclose(found, each.mean(axis=1), rtol=1e-5, atol=1e-5)


def test_a_number_has_no_smoothing() -> None:
    outputs, truth = torch.tensor([[1.0], [-2.0]]), torch.tensor([0.5, 3.0])
    assert torch.equal(losses(NUMBER, outputs, truth, 0.5), losses(NUMBER, outputs, truth))


def test_every_target_of_a_task_is_smoothed() -> None:
    task = Task((THREE, BINARY))
    outputs = torch.randn(5, task.outputs, generator=torch.Generator().manual_seed(0))
    values = [torch.tensor([0, 1, 2, 0, 1]), torch.tensor([0, 1, 1, 0, 1])]
    expected = losses(THREE, outputs[:, :3], values[0], 0.2)
    expected = expected + losses(BINARY, outputs[:, 3:], values[1], 0.2)
    smoothed = TaskLoss(task, Training(label_smoothing=0.2))
    torch.testing.assert_close(smoothed(outputs, values), expected)
    plain = TaskLoss(task, Training(label_smoothing=0.2), smoothed=False)
    assert torch.equal(plain(outputs, values), task_losses(task, outputs, values))


SHARES_OF = Target("votes", Kind.DISTRIBUTION, ("left", "right", "none"))


@settings(deadline=None, max_examples=50)
@given(outputs_of(1), st.floats(0.01, 5), st.data())
def test_numbers_cost_what_their_named_loss_says(
    outputs: np.ndarray, delta: float, data: st.DataObject
) -> None:
    truth = data.draw(hnp.arrays(np.float32, len(outputs), elements=LOGITS))
    error = np.abs(outputs[:, 0].astype(np.float64) - truth)
    formulas = {
        "mse": error**2,
        "l1": error,
        "huber": np.where(error <= delta, error**2 / 2, delta * (error - delta / 2)),
    }
    for name, formula in formulas.items():
        loss = TaskLoss(Task((NUMBER,)), Training(loss=name, huber_delta=delta))
        found = loss(torch.from_numpy(outputs), [torch.from_numpy(truth)])
        np.testing.assert_allclose(found, formula, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(outputs_of(3), st.data())
def test_shares_cost_their_divergence_from_the_truth(
    outputs: np.ndarray, data: st.DataObject
) -> None:
    counts = data.draw(hnp.arrays(np.int64, outputs.shape, elements=st.integers(0, 5)))
    counts[:, 0] += 1
    truth = SHARES_OF.encode(counts / counts.sum(axis=1, keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = truth * (np.log(truth.astype(np.float64)) - log_softmax(outputs))
    formula = np.where(truth > 0, terms, 0).sum(axis=1)
    found = losses(SHARES_OF, torch.from_numpy(outputs), torch.from_numpy(truth))
    np.testing.assert_allclose(found, formula, rtol=1e-4, atol=1e-4)


def test_shares_that_are_met_cost_nothing_and_smoothed_ones_are_nearer_to_even() -> None:
    truth = torch.tensor([[0.2, 0.5, 0.3]])
    assert float(losses(SHARES_OF, truth.log(), truth)) == pytest.approx(0, abs=1e-6)
    smooth = 0.9 * truth + 0.1 / 3
    assert float(losses(SHARES_OF, smooth.log(), truth, 0.1)) == pytest.approx(0, abs=1e-6)


def test_two_classes_have_one_loss_by_two_names() -> None:
    outputs, truth = torch.tensor([[0.3], [-2.0]]), [torch.tensor([0, 1])]
    named = [
        TaskLoss(Task((BINARY,)), Training(loss=name))(outputs, truth)
        for name in ("bce", "cross_entropy")
    ]
    assert torch.equal(*named)


@pytest.mark.parametrize(
    ("target", "wrong", "right"),
    [
        (NUMBER, "bce", "mse, l1 and huber do"),
        (BINARY, "mse", "bce and cross_entropy do"),
        (THREE, "bce", "cross_entropy does"),
        (LABELS, "cross_entropy", "bce does"),
        (SHARES_OF, "cross_entropy", "kl does"),
    ],
)
def test_a_loss_that_does_not_suit_the_target_is_refused_with_those_that_do(
    target: Target, wrong: str, right: str
) -> None:
    with pytest.raises(SpecError, match=f"loss is '{wrong}', .* '{target.name}', .*; {right}"):
        check_loss(Training(loss=wrong), Task((target,)))
    with pytest.raises(SpecError, match=right):
        TaskLoss(Task((target,)), Training(loss={target.name: wrong}))


def test_losses_by_target_are_summed_and_those_left_out_are_as_usual() -> None:
    other = Target("size", Kind.REGRESSION)
    task = Task((NUMBER, THREE, other))
    outputs = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    values = [torch.zeros(4), torch.tensor([0, 1, 2, 0]), torch.ones(4)]
    loss = TaskLoss(task, Training(loss={"size": "l1", "price": lambda o, v: 3 * (o - v).abs()}))
    expected = (
        3 * outputs[:, 0].abs()
        + losses(THREE, outputs[:, 1:4], values[1])
        + (outputs[:, 4] - 1).abs()
    )
    torch.testing.assert_close(loss(outputs, values), expected)


def test_every_fault_of_losses_by_target_is_told_at_once() -> None:
    task = Task((NUMBER, THREE))
    with pytest.raises(SpecError) as caught:
        check_loss(Training(loss={"prise": "mse", "price": "kl", "pet": "mse"}), task)
    assert len(caught.value.faults) == 3
    assert "did you mean price" in caught.value.faults[0]


def test_the_line_of_huber_begins_at_the_same_error_whatever_the_unit() -> None:
    """Errors of 1 and 10 euros with a delta of 2: a parabola, and a line, in any unit."""
    outputs, truth = torch.tensor([[101.0], [110.0]]), torch.tensor([100.0, 100.0])
    training = Training(loss="huber", huber_delta=2.0)
    plain = TaskLoss(Task((NUMBER,)), training)(outputs, [truth])
    assert plain.tolist() == [0.5, 18.0]
    for unit in (0.1, 50.0):
        found = TaskLoss(Task((NUMBER,)), training, [unit])(outputs, [truth])
        torch.testing.assert_close(found * unit**2, plain)


@pytest.mark.parametrize("name", ["mse", "l1", "huber", None])
def test_a_unit_measures_the_error(name: str | None) -> None:
    task, outputs, truth = Task((NUMBER,)), torch.tensor([[3.0], [8.0]]), torch.tensor([1.0, 9.0])
    found = TaskLoss(task, Training(loss=name, huber_delta=1.5), [4.0])(outputs, [truth])
    alone = TaskLoss(task, Training(loss=name, huber_delta=1.5 / 4))
    expected = alone(outputs / 4, [truth / 4])
    torch.testing.assert_close(found, expected)


def test_units_are_of_numbers_and_one_a_target() -> None:
    task = Task((NUMBER, THREE))
    TaskLoss(task, None, [2.0, 1.0])
    with pytest.raises(SpecError, match="there are 1, and 2 targets"):
        TaskLoss(task, None, [2.0])
    with pytest.raises(SpecError, match="above 0.*; that of 'pet' is 3, and no number"):
        TaskLoss(task, None, [0.0, 3])


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_a_module_of_torch_is_a_loss(reduction: str) -> None:
    outputs, truth = torch.tensor([[1.0], [4.0]]), torch.tensor([0.0, 0.0])
    module = nn.MSELoss(reduction=reduction)
    found = TaskLoss(Task((NUMBER,)), Training(loss=module))(outputs, [truth])
    assert found.shape == (2,)
    assert found.mean().item() == 8.5
    logits = nn.BCEWithLogitsLoss(reduction=reduction)
    classes = [torch.tensor([0, 1])]
    found = TaskLoss(Task((BINARY,)), Training(loss=logits))(outputs, classes)
    expected = task_losses(Task((BINARY,)), outputs, classes).mean()
    torch.testing.assert_close(found.mean(), expected)


def test_a_module_with_weights_of_its_own_follows_the_outputs() -> None:
    module = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]), reduction="none")
    outputs = torch.zeros(3, 3, dtype=torch.float64)
    found = TaskLoss(Task((THREE,)), Training(loss=module))(outputs, [torch.tensor([0, 1, 2])])
    np.testing.assert_allclose(found, np.log(3) * np.array([1, 2, 3]), rtol=1e-12)


def test_a_mean_cannot_be_weighed() -> None:
    loss = TaskLoss(Task((NUMBER,)), Training(loss=nn.MSELoss()))
    with pytest.raises(DataError, match="MSELoss gives the mean .* reduction='none'"):
        loss(torch.zeros(2, 1), [torch.zeros(2)], weighed=True)
    each = TaskLoss(Task((NUMBER,)), Training(loss=nn.MSELoss(reduction="none")))
    assert each(torch.ones(2, 1), [torch.zeros(2)], weighed=True).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("gives", "gave"),
    [
        (lambda outputs, values: outputs[:, None] - values, r"shape \(2, 2\)"),
        (lambda outputs, values: 0.5, "float"),
        (lambda outputs, values: None, "NoneType"),
    ],
)
def test_a_loss_that_gives_something_else_is_told_what_it_has_to_give(
    gives: Callable[[Tensor, Tensor], Any], gave: str
) -> None:
    loss = TaskLoss(Task((NUMBER,)), Training(loss=gives))
    with pytest.raises(DataError, match=f"gave {gave} for 2 rows; .* one number a row"):
        loss(torch.zeros(2, 1), [torch.zeros(2)])


@pytest.mark.parametrize("target", [BINARY, THREE, LABELS, SHARES_OF, NUMBER])
def test_losses_of_float64_are_float64(target: Target) -> None:
    outputs = torch.full((2, target.outputs), 0.1, dtype=torch.float64)
    truth = {
        Kind.REGRESSION: torch.zeros(2),
        Kind.MULTILABEL: torch.ones(2, 3),
        Kind.DISTRIBUTION: torch.full((2, 3), 1 / 3),
    }.get(target.kind, torch.tensor([0, 1]))
    assert losses(target, outputs, truth).dtype == torch.float64


def test_what_weighs_nothing_may_be_no_number() -> None:
    each = torch.tensor([1.0, torch.nan, 3.0, torch.inf])
    assert float(weighted_mean(each, torch.tensor([1.0, 0.0, 3.0, 0.0]))) == 2.5
