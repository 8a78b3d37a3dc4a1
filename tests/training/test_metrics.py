"""Metrics against scikit-learn, and what they do where nothing can be measured."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import entropy
from sklearn import metrics as sk

from secchi.data.task import Kind, Target, Task
from secchi.errors import SpecError
from secchi.training.metrics import (
    LOWER_IS_BETTER,
    check_metrics,
    default_metric,
    metric,
    metric_range,
)

BINARY = Target.classify("tame", ["no", "yes"])
FOUR = Target.classify("pet", ["cat", "dog", "mouse", "newt"])
LABELS = Target("seen", Kind.MULTILABEL, ("sky", "sea", "sand"))
NUMBER = Target("price", Kind.REGRESSION)
SHARES = Target("votes", Kind.DISTRIBUTION, ("left", "right", "none"))
TARGETS = {
    "binary": BINARY,
    "many": FOUR,
    "labels": LABELS,
    "number": NUMBER,
    "shares": SHARES,
}

Array = NDArray[np.float64]


def answers_and_truth(target: Target, seed: int, rows: int = 60) -> tuple[Array, Array, Array]:
    """Answers in which every class occurs, the truth, and weights of which some are zero."""
    random = np.random.default_rng(seed)
    weights = random.integers(0, 4, rows).astype(np.float32)
    classes = len(target.classes)
    if target.kind is Kind.REGRESSION:
        truth = random.normal(size=rows).astype(np.float32)
        return truth + random.normal(size=rows).astype(np.float32), truth, weights
    logits = random.normal(size=(rows, classes))
    if target.kind is Kind.DISTRIBUTION:
        shares = random.dirichlet(np.ones(classes), (2, rows))
        return shares[0], shares[1].astype(np.float32), weights
    if target.exclusive:
        truth = np.concatenate([np.arange(classes), random.integers(0, classes, rows - classes)])
        weights[:classes] = 1
        logits[np.arange(rows), truth] += 1
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), truth, weights
    truth = (random.random((rows, classes)) < 0.4).astype(np.float32)
    truth[0], truth[1] = 0, 1
    weights[:2] = 1
    return 1 / (1 + np.exp(-logits - truth)), truth, weights


def said(target: Target, answers: Array) -> Array:
    return answers.argmax(axis=1) if target.exclusive else (answers > 0.5).astype(int)


def repeated(values: Array, weights: Array | None) -> Array:
    """Every row as often as it weighs, in whole numbers."""
    return values if weights is None else np.repeat(values, weights.astype(int))


PEERS: dict[tuple[str, str], Callable[..., float]] = {
    ("accuracy", "binary"): lambda a, t, w: sk.accuracy_score(t, said(BINARY, a), sample_weight=w),
    ("accuracy", "many"): lambda a, t, w: sk.accuracy_score(t, said(FOUR, a), sample_weight=w),
    ("accuracy", "labels"): lambda a, t, w: (
        1 - sk.hamming_loss(t, said(LABELS, a), sample_weight=w)
    ),
    ("error_rate", "many"): lambda a, t, w: sk.zero_one_loss(t, said(FOUR, a), sample_weight=w),
    ("balanced_accuracy", "binary"): lambda a, t, w: sk.balanced_accuracy_score(
        t, said(BINARY, a), sample_weight=w
    ),
    ("balanced_accuracy", "many"): lambda a, t, w: sk.balanced_accuracy_score(
        t, said(FOUR, a), sample_weight=w
    ),
    ("rmse", "number"): lambda a, t, w: sk.root_mean_squared_error(t, a, sample_weight=w),
    ("r", "number"): lambda a, t, w: np.corrcoef(repeated(a, w), repeated(t, w))[0, 1],
    ("mae", "shares"): lambda a, t, w: sk.mean_absolute_error(t, a, sample_weight=w),
    ("kl", "shares"): lambda a, t, w: np.average(
        [entropy(true, answer) for true, answer in zip(t, a, strict=True)], weights=w
    ),
    ("top_2", "many"): lambda a, t, w: sk.top_k_accuracy_score(t, a, k=2, sample_weight=w),
    ("top_3", "many"): lambda a, t, w: sk.top_k_accuracy_score(t, a, k=3, sample_weight=w),
    ("f1", "binary"): lambda a, t, w: sk.f1_score(
        t, said(BINARY, a), average="macro", sample_weight=w
    ),
    ("f1", "many"): lambda a, t, w: sk.f1_score(
        t, said(FOUR, a), average="macro", sample_weight=w, zero_division=0.0
    ),
    ("f1", "labels"): lambda a, t, w: np.mean(
        [
            sk.f1_score(t[:, c], said(LABELS, a)[:, c], sample_weight=w, zero_division=0.0)
            for c in range(3)
        ]
    ),
    ("auc", "binary"): lambda a, t, w: sk.roc_auc_score(t, a[:, 1], sample_weight=w),
    ("auc", "many"): lambda a, t, w: np.mean(
        [sk.roc_auc_score(t == c, a[:, c], sample_weight=w) for c in range(4)]
    ),
    ("auc", "labels"): lambda a, t, w: np.mean(
        [sk.roc_auc_score(t[:, c], a[:, c], sample_weight=w) for c in range(3)]
    ),
    ("r2", "number"): lambda a, t, w: sk.r2_score(t, a, sample_weight=w),
    ("mae", "number"): lambda a, t, w: sk.mean_absolute_error(t, a, sample_weight=w),
}


@pytest.mark.parametrize(("name", "kind"), PEERS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_those_of_scikit_learn(name: str, kind: str, weighted: bool, seed: int) -> None:
    target = TARGETS[kind]
    answers, truth, weights = answers_and_truth(target, seed)
    chosen = weights if weighted else None
    exact = [None if a is None else a.astype(float) for a in (answers, truth, chosen)]
    expected = PEERS[name, kind](*exact)
    assert metric(name)(target, answers, truth, chosen) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("name", "kind"), PEERS)
def test_a_metric_keeps_to_its_range_and_the_truth_is_at_the_better_end(
    name: str, kind: str
) -> None:
    target, (low, high) = TARGETS[kind], metric_range(name)
    for seed in range(5):
        answers, truth, _ = answers_and_truth(target, seed)
        for given_ in (answers, answers[::-1]):
            assert low <= metric(name)(target, given_, truth, None) <= high
    perfect = np.eye(len(target.classes))[truth] if target.exclusive else truth
    best = low if name in LOWER_IS_BETTER else high
    assert metric(name)(target, perfect, truth, None) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize(("name", "kind"), PEERS)
def test_a_row_of_weight_zero_counts_as_absent(name: str, kind: str) -> None:
    target = TARGETS[kind]
    answers, truth, weights = answers_and_truth(target, seed=9)
    there = weights > 0
    without = metric(name)(target, answers[there], truth[there], weights[there])
    assert metric(name)(target, answers, truth, weights) == without


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1))
def test_error_rate_and_accuracy_add_up_to_one(rows: list[tuple[float, int]]) -> None:
    answers = np.array([[1 - p, p] for p, _ in rows])
    truth = np.array([t for _, t in rows])
    accuracy = metric("accuracy")(BINARY, answers, truth, None)
    error_rate = metric("error_rate")(BINARY, answers, truth, None)
    assert accuracy + error_rate == pytest.approx(1)
    assert accuracy == np.mean((answers[:, 1] > answers[:, 0]) == truth)


def test_a_class_that_no_row_has_counts_as_missed_in_f1() -> None:
    answers = np.eye(4)[[0, 1, 2]]
    assert metric("f1")(FOUR, answers, np.array([0, 1, 2]), None) == pytest.approx(3 / 4)


def test_f1_of_a_single_label_looks_at_that_label_alone() -> None:
    one = Target("seen", Kind.MULTILABEL, ("sky",))
    answers, truth = np.array([[0.9], [0.2], [0.2], [0.2]]), np.array([[1.0], [1], [0], [0]])
    expected = sk.f1_score([1, 1, 0, 0], [1, 0, 0, 0])
    assert metric("f1")(one, answers, truth, None) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("target", "truth"),
    [
        (BINARY, np.array([1, 1])),
        (FOUR, np.array([0, 1])),
        (LABELS, np.array([[1.0, 0, 1], [0, 0, 0]])),
        (LABELS, np.array([[1.0, 1, 1], [0, 1, 0]])),
    ],
)
def test_auc_is_not_a_number_where_a_class_is_absent_or_alone(target: Target, truth: Array) -> None:
    answers = np.full((2, len(target.classes)), 0.5)
    assert math.isnan(metric("auc")(target, answers, truth, None))


def test_auc_is_not_a_number_where_the_other_class_weighs_nothing() -> None:
    answers = np.array([[0.9, 0.1], [0.2, 0.8]])
    weights = np.array([1.0, 0.0], np.float32)
    assert math.isnan(metric("auc")(BINARY, answers, np.array([0, 1]), weights))


@pytest.mark.parametrize(("name", "kind"), PEERS)
@pytest.mark.parametrize("weightless", [False, True])
def test_without_rows_that_count_there_is_nothing_to_measure(
    name: str, kind: str, weightless: bool
) -> None:
    target = TARGETS[kind]
    answers, truth, _ = answers_and_truth(target, seed=0, rows=8)
    weights = np.zeros(8, np.float32) if weightless else None
    rows = slice(None) if weightless else slice(0)
    assert math.isnan(metric(name)(target, answers[rows], truth[rows], weights))


@pytest.mark.parametrize("said", [2.0, 3.0])
def test_r2_needs_a_truth_that_changes(said: float) -> None:
    truth = np.array([2.0, 2.0, 7.0])
    measured = metric("r2")(NUMBER, np.full(3, said), truth, np.array([1.0, 1.0, 0.0]))
    assert math.isnan(measured)


def test_r2_needs_two_rows() -> None:
    assert math.isnan(metric("r2")(NUMBER, np.zeros(1), np.ones(1), None))


@pytest.mark.parametrize(
    ("name", "target", "reason"),
    [
        ("accuracy", NUMBER, "'price' is a number"),
        ("f1", NUMBER, "r2, mae"),
        ("auc", NUMBER, "r2, mae"),
        ("top_2", NUMBER, "r2, mae"),
        ("r2", BINARY, "'tame' has classes"),
        ("r", FOUR, "'pet' has classes"),
        ("rmse", SHARES, "shares of classes; for those: mae, kl"),
        ("accuracy", SHARES, "shares of classes; for those: mae, kl"),
        ("kl", FOUR, "needs shares of classes"),
        ("kl", NUMBER, "'price' is a number"),
        ("balanced_accuracy", LABELS, "classes of which a row has one"),
        ("mae", LABELS, "'seen' has classes"),
        ("top_2", BINARY, "three classes"),
        ("top_2", LABELS, "three classes"),
        ("top_4", FOUR, "always 1"),
    ],
)
def test_a_metric_that_does_not_suit_the_target_says_why(
    name: str, target: Target, reason: str
) -> None:
    answers, truth, _ = answers_and_truth(target, seed=0, rows=8)
    with pytest.raises(SpecError, match=reason):
        metric(name)(target, answers, truth, None)
    with pytest.raises(SpecError, match=reason):
        check_metrics([name], Task((target,)))


@pytest.mark.parametrize("name", ["acuracy", "top", "top_0", "top_-1", "top_1.5", "", "ACCURACY"])
def test_an_unknown_metric_is_refused_with_what_is_known(name: str) -> None:
    with pytest.raises(SpecError, match="known: accuracy, error_rate, .*r2, .*top_3"):
        metric(name)


def test_an_unknown_metric_suggests_the_nearest() -> None:
    with pytest.raises(SpecError, match="did you mean accuracy"):
        metric("acuracy")


def test_all_metrics_that_cannot_be_are_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        check_metrics(["accuracy", "acuracy", "r2", "top_9"], Task((FOUR,)))
    assert len(caught.value.faults) == 3


def test_top3_and_top_3_are_one() -> None:
    answers, truth, _ = answers_and_truth(FOUR, seed=1)
    assert metric("top3")(FOUR, answers, truth, None) == metric("top_3")(FOUR, answers, truth, None)


def test_numbers_are_judged_by_their_error_and_classes_by_accuracy() -> None:
    assert default_metric(NUMBER) == default_metric(SHARES) == "mae"
    assert {default_metric(t) for t in (BINARY, FOUR, LABELS)} == {"accuracy"}


@pytest.mark.parametrize("constant", [0, 1])
@pytest.mark.parametrize("value", [0.1, 1e30])
def test_what_never_changes_has_no_correlation(constant: int, value: float) -> None:
    sides = [np.arange(7.0), np.arange(7.0)]
    sides[constant] = np.full(7, value)
    weights = np.full(7, 0.3)
    assert math.isnan(metric("r")(NUMBER, *sides, weights))
    assert math.isnan(metric("r")(NUMBER, *sides, None))


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_a_correlation_is_that_of_numbers_of_any_size(scale: float) -> None:
    truth = np.arange(5.0)
    assert metric("r")(NUMBER, scale * (3 - 2 * truth), truth, None) == pytest.approx(-1)


def test_a_share_of_nothing_costs_a_finite_amount() -> None:
    found = metric("kl")(SHARES, np.array([[0.0, 1, 0]]), np.array([[1.0, 0, 0]]), None)
    assert 50 < found < 100


def test_a_class_that_there_is_not_has_no_say_in_the_balance() -> None:
    answers = np.eye(4)[[0, 1, 2, 0]]
    truth = np.array([0, 0, 1, 0])
    assert metric("balanced_accuracy")(FOUR, answers, truth, None) == pytest.approx((2 / 3 + 0) / 2)
