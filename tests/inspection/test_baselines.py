"""Baselines: scikit-learn's own on the same split, and an honest word on the difference."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.conftest import SHARED
from threadpoolctl import threadpool_limits

from secchi.data.task import Kind, Labels, Target, Task
from secchi.errors import DataError
from secchi.inspection.baselines import Baselines, baselines
from secchi.inspection.predictions import Predictions

TUMOUR = Target.classify("tumour", ["malignant", "benign"])
CLOUD = Target.classify("cloud", ["a", "b", "c"])
NUMBER = Target("progress", Kind.REGRESSION)


Split = tuple[tuple[Any, Any], tuple[Any, Any]]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Trees of so few rows wait longer for a second core than they gain by it."""
    with threadpool_limits(1):
        yield


def halves(features: Any, labels: Any, seed: int = 0) -> Split:
    order = np.random.default_rng(seed).permutation(len(labels))
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    return (features[first], labels[first]), (features[second], labels[second])


def network(target: Target, labels: Any, outputs: Any, weights: Any = None) -> Predictions:
    truth = Labels(Task((target,)), (labels,), weights)
    tensor = torch.as_tensor(outputs, dtype=torch.float32).reshape(len(labels), -1)
    return Predictions.of(truth.task, np.arange(len(labels)), tensor, truth, source_name="row")


@pytest.fixture(scope="module")
def tumours() -> Split:
    return halves(*load_breast_cancer(return_X_y=True))


@pytest.fixture(scope="module")
def found(tumours: Split) -> Baselines:
    return baselines(*tumours, TUMOUR)


def test_they_are_those_of_scikit_learn(tumours: Split, found: Baselines) -> None:
    train, (features, labels) = tumours
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(*train)
    one = found["logistic regression"]
    assert one.score == pytest.approx(model.score(features, labels))
    expected = log_loss(labels, model.predict_proba(features))
    assert one.loss == pytest.approx(expected, rel=1e-4)
    most = found["majority class"]
    assert most.score == pytest.approx((labels == np.bincount(train[1]).argmax()).mean())
    assert one.seconds is not None
    assert one.low < one.score < one.high


def test_without_a_network_the_simplest_that_is_no_worse_is_named(found: Baselines) -> None:
    assert found["k-means"].score > 0.85
    assert found.reference == max(found.methods, key=lambda one: one.score).name
    assert "logistic regression" in found.verdict
    assert "a demonstration" in str(found)


def test_the_same_seed_gives_the_same_answers(tumours: Split, found: Baselines) -> None:
    again = baselines(*tumours, TUMOUR)
    for one, other in zip(found.methods, again.methods, strict=True):
        np.testing.assert_array_equal(one.predictions.outputs, other.predictions.outputs)


def test_a_bad_network_is_told_that_something_simpler_is_better(tumours: Split) -> None:
    labels = tumours[1][1]
    said = network(
        TUMOUR, labels, np.where(np.arange(len(labels)) % 4 > 0, 1, -1) * (2 * labels - 1)
    )
    found = baselines(*tumours, TUMOUR, network=said)
    assert found.verdict.startswith("better than the network: ")
    best = max((one for one in found.methods if one.better), key=lambda one: one.score)
    assert best.name in found.verdict
    assert best.difference is not None
    assert best.difference[0] == pytest.approx(best.score - found["network"].score)
    assert best.difference[1] < best.difference[0] < best.difference[2]


def test_a_perfect_network_is_better_than_all() -> None:
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(600, 3)), random.integers(0, 2, 600)
    train, valid = halves(features, labels)
    found = baselines(train, valid, TUMOUR, network=network(TUMOUR, valid[1], 8 * valid[1] - 4))
    assert found.verdict.startswith("better than all that is simpler: the network")
    assert all(one.worse and not one.better for one in found.methods[:-1])


def test_a_network_as_good_as_logistic_regression_is_within_the_noise(tumours: Split) -> None:
    simple = baselines(*tumours, TUMOUR)["logistic regression"].predictions
    found = baselines(*tumours, TUMOUR, network=simple)
    assert found["logistic regression"].difference is not None
    assert found["logistic regression"].difference[0] == 0
    assert "the simplest, logistic regression, does as well as the network" in found.verdict


def test_where_the_features_tell_nothing_the_simplest_is_said_to_do() -> None:
    labels = np.tile([0, 1, 1], 60)
    features = np.zeros((180, 2))
    found = baselines((features, labels), (features, labels), TUMOUR)
    assert "majority class" in found.verdict


def test_k_means_finds_clouds_and_says_how_sure_it_is() -> None:
    features, labels = make_blobs(300, centers=3, random_state=3)
    found = baselines(*halves(features, labels), CLOUD)
    one = found["k-means"]
    assert one.score > 0.95
    assert one.loss < 0.3
    np.testing.assert_allclose(one.predictions.probabilities.sum(axis=1), 1, rtol=1e-5)


def test_three_kinds_of_iris() -> None:
    found = baselines(*halves(*load_iris(return_X_y=True)), CLOUD)
    assert found["logistic regression"].score > 0.9
    assert 1 / 5 < found["majority class"].score < 1 / 2


def test_a_class_that_no_training_row_has_costs_much_and_not_everything() -> None:
    features, labels = make_blobs(150, centers=3, random_state=0)
    seen = labels != 1
    found = baselines((features[seen], labels[seen]), (features, labels), CLOUD)
    assert all(np.isfinite(one.loss) for one in found.methods)
    assert found["logistic regression"].score < 0.7
    assert found["logistic regression"].loss > 1


def test_numbers_are_judged_by_r2_and_compared_by_squared_error() -> None:
    features, labels = load_diabetes(return_X_y=True)
    train, valid = halves(features, labels.astype(np.float32))
    found = baselines(train, valid, NUMBER)
    assert [one.name for one in found.methods] == [
        "mean",
        "linear regression",
        "gradient-boosted trees",
    ]
    one = found["linear regression"]
    assert one.score == pytest.approx(r2_score(valid[1], one.predictions.predicted), abs=1e-6)
    assert 0.3 < one.score < 0.6
    assert found["mean"].score == pytest.approx(0, abs=0.03)
    assert found["mean"].worse
    assert " r2 (" in str(found)


def test_the_interval_of_r2_is_as_wide_as_the_bootstrap_says() -> None:
    random = np.random.default_rng(0)
    truth = random.exponential(size=400).astype(np.float32)
    answers = truth * random.choice([0.6, 1.4], 400)  # large errors where the truth is large
    rows = truth[:, None], truth
    one = baselines(rows, rows, NUMBER, network=network(NUMBER, truth, answers))["network"]
    scores = []
    for _ in range(2000):
        drawn = random.integers(0, 400, 400)
        scores.append(r2_score(truth[drawn], one.predictions.predicted[drawn]))
    low, high = np.quantile(scores, [0.025, 0.975])
    assert one.high - one.low == pytest.approx(high - low, rel=0.15)


def test_weights_count_in_the_fit_and_in_the_score(tumours: Split) -> None:
    (features, labels), valid = tumours
    few = np.where(labels == 0, 5.0, 1.0)
    shares = np.where(valid[1] == 0, 3.0, 0.0).astype(np.float32)
    found = baselines((features, labels), valid, TUMOUR, weights=(few, shares))
    assert (
        found["majority class"].score == 1
    )  # malignant is most of the weight, and all that counts
    most = found["majority class"].predictions.probabilities[0, 0]
    assert most == pytest.approx(few[labels == 0].sum() / few.sum(), abs=1e-5)
    none = np.where(labels == 0, 0.0, 1.0)
    with pytest.raises(DataError, match="all training rows are 'benign'"):
        baselines((features, labels), valid, TUMOUR, weights=(none, None))


def test_the_record_as_text_table_json_and_figure(tumours: Split) -> None:
    labels = tumours[1][1]
    found = baselines(*tumours, TUMOUR, network=network(TUMOUR, labels, 8 * labels - 4))
    assert str(found).splitlines()[-1] == found.verdict
    frame = found.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame["name"]) == [one.name for one in found.methods]
    assert frame["accuracy"].iloc[-1] == 1
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["methods"][-1]["comparison"] is None
    assert document["methods"][0]["comparison"]["n"] == len(labels)
    (axes,) = found.plot().axes
    assert [t.get_text() for t in axes.get_yticklabels()] == [one.name for one in found.methods]
    with pytest.raises(DataError, match="no baseline 'forest'; there are majority class"):
        found["forest"]


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ((np.zeros((4, 2)), np.zeros(3, int)), "as many labels"),
        ((np.zeros(4), np.zeros(4, int)), "shape \\(rows, columns\\)"),
        ((np.array([[0.0, np.nan]]), np.zeros(1, int)), "column 1 of training row 0 is nan"),
        ((np.zeros((4, 3)), np.array([0, 1, 0, 1])), "3 columns, the validation rows 2"),
        ((np.zeros((4, 2)), np.zeros(4, int)), "all training rows are 'malignant'"),
    ],
)
def test_rows_that_do_not_fit_are_refused(train: Any, message: str) -> None:
    valid = np.zeros((4, 2)), np.array([0, 1, 0, 1])
    with pytest.raises(DataError, match=message):
        baselines(train, valid, TUMOUR)


def test_a_network_of_other_rows_or_that_diverged_is_refused(tumours: Split) -> None:
    labels = tumours[1][1]
    with pytest.raises(DataError, match="labels of predictions 1"):
        baselines(*tumours, TUMOUR, network=network(TUMOUR, 1 - labels, labels))
    with pytest.raises(DataError, match="no finite number"):
        baselines(*tumours, TUMOUR, network=network(TUMOUR, labels, np.full(len(labels), np.nan)))
    with pytest.raises(DataError, match="one of its labels at a time"):
        baselines(*tumours, Target("tags", Kind.MULTILABEL, ("a", "b")))


def test_boosted_trees_tell_sugar_better_than_a_line_does() -> None:
    file = SHARED / "wine" / "winequality-red.csv"
    if not file.is_file():
        pytest.skip("the wines are not on this machine")
    wine = pd.read_csv(file, sep=";")
    sugar = wine.pop("residual sugar").to_numpy(np.float32)
    found = baselines(*halves(wine.to_numpy(), sugar), Target("residual sugar", Kind.REGRESSION))
    assert found.reference == "gradient-boosted trees"
    assert found["linear regression"].score < found["gradient-boosted trees"].score
    assert found["mean"].worse
