"""scikit-learn's door: its own checks, its tools, and labels that come back as they went in."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from secchi import NetClassifier, NetRegressor
from secchi.errors import SpecError


@parametrize_with_checks([NetClassifier(), NetRegressor()])
def test_all_of_scikit_learns_own_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize(
    "labels",
    [["no", "yes"], [3, 5], [False, True], [b"no", b"yes"], [-1.0, 1.0]],
    ids=["str", "int", "bool", "bytes", "float"],
)
def test_labels_come_back_as_they_went_in(labels: list[Any]) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    given = np.array(labels)[y]
    net = NetClassifier(hidden=(8,), epochs=5, random_state=0).fit(X, given)
    assert np.array_equal(net.classes_, labels)
    says = net.predict(X)
    assert says.dtype == given.dtype
    assert set(says) == set(given)
    assert (says == given).mean() > 0.9
    assert net.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(len(X)))


def test_they_stand_in_pipelines_and_searches() -> None:
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(PolynomialFeatures(2), NetClassifier(epochs=20, random_state=0))
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.9
    search = GridSearchCV(
        NetClassifier(epochs=10, random_state=0),
        {"hidden": [(4,), (16,)], "lr": [1e-6, 1e-2]},
        cv=2,
    ).fit(X, y)
    assert search.best_params_["lr"] == 1e-2


@pytest.mark.parametrize("kind", [NetClassifier, NetRegressor])
def test_they_are_cloned_and_pickled(kind: Any) -> None:
    load = load_iris if kind is NetClassifier else load_diabetes
    X, y = load(return_X_y=True)
    net = kind(hidden=(8,), epochs=3, random_state=0).fit(X, y)
    again = clone(net).fit(X, y)
    copied = pickle.loads(pickle.dumps(net))
    for other in (again, copied):
        assert np.array_equal(other.predict(X), net.predict(X))


def test_numbers_are_in_their_own_unit_whatever_it_is() -> None:
    X, y = load_diabetes(return_X_y=True)
    small = NetRegressor(hidden=(16,), epochs=20, random_state=0).fit(X, y)
    large = NetRegressor(hidden=(16,), epochs=20, random_state=0).fit(X, y * 1e6)
    np.testing.assert_allclose(large.predict(X), small.predict(X) * 1e6, rtol=1e-6)
    assert small.score(X, y) > 0.4


def test_every_row_counts_by_the_weight_of_its_class() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    few = X[:, :2]
    rare = np.concatenate([np.flatnonzero(y == 0)[:15], np.flatnonzero(y == 1)])
    plain, balanced = (
        NetClassifier(hidden=(), epochs=10, class_weight=weight, random_state=0)
        .fit(few[rare], y[rare])
        .predict(few[y == 0])
        for weight in (None, "balanced")
    )
    assert (balanced == 0).mean() > (plain == 0).mean() + 0.1


def test_a_module_of_ones_own_is_trained() -> None:
    X, y = load_iris(return_X_y=True)

    def network(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))

    assert NetClassifier(model=network, random_state=0).fit(X, y).score(X, y) > 0.9


def test_all_faults_are_told_when_it_is_trained() -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(SpecError, match="did you mean relu"):
        NetClassifier(activation="rely").fit(X, y)
    with pytest.raises(SpecError, match="lr is -1.*; epochs is -2"):
        NetClassifier(lr=-1, epochs=-2).fit(X, y)


def test_training_leaves_the_generators_alone() -> None:
    X, y = load_iris(return_X_y=True)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    NetClassifier(dropout=0.5, epochs=2, random_state=0).fit(X, y)
    assert torch.equal(torch.get_rng_state(), before)


def test_numbers_far_from_zero_are_no_harder() -> None:
    X, y = load_diabetes(return_X_y=True)
    net = NetRegressor(hidden=(16,), epochs=20, random_state=0)
    assert net.fit(X, y + 1e8).score(X, y + 1e8) == pytest.approx(
        net.fit(X, y).score(X, y), abs=1e-3
    )


@pytest.mark.parametrize(
    "options", [{"scale": "standrad"}, {"precision": "fp16"}, {"target_scale": "nonee"}]
)
def test_misspelt_options_are_told(options: dict[str, str]) -> None:
    X, y = load_diabetes(return_X_y=True)
    with pytest.raises(SpecError, match=next(iter(options.values()))):
        NetRegressor(**options).fit(X, y)
