"""What quick models of scikit-learn say of its own data sets."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from secchi.data.task import Labels, Task
from secchi.inspection.predictions import Predictions


def _said(load: Callable[..., Any], task: Task, model: Any) -> Predictions:
    inputs, truth = load(return_X_y=True)
    train, valid, train_truth, valid_truth = train_test_split(
        StandardScaler().fit_transform(inputs), truth, test_size=0.5, random_state=0
    )
    model.fit(train, train_truth)
    classes = bool(task.target.classes)
    outputs = model.decision_function(valid) if classes else model.predict(valid)
    outputs = torch.tensor(outputs, dtype=torch.float32).reshape(len(valid), -1)
    labels = Labels(task, (valid_truth.astype(np.int64 if classes else np.float32),))
    return Predictions.of(task, np.arange(len(valid)), outputs, labels, source_name="row")


@pytest.fixture(scope="session")
def iris() -> Predictions:
    task = Task.classify(["setosa", "versicolor", "virginica"], name="species")
    return _said(load_iris, task, LogisticRegression(C=0.05))


@pytest.fixture(scope="session")
def cancer() -> Predictions:
    task = Task.classify(["malignant", "benign"], name="tumour")
    return _said(load_breast_cancer, task, LogisticRegression(C=0.05))


@pytest.fixture(scope="session")
def digits() -> Predictions:
    task = Task.classify(list(range(10)), name="digit")
    return _said(load_digits, task, LogisticRegression(C=0.01))


@pytest.fixture(scope="session")
def diabetes() -> Predictions:
    return _said(load_diabetes, Task.regress("progression"), LinearRegression())


@pytest.fixture(scope="session")
def scene() -> Predictions:
    """Three labels a row, of which any can hold; made up, with some mistakes."""
    random = np.random.default_rng(0)
    truth = (random.random((200, 3)) < [0.5, 0.3, 0.7]).astype(np.float32)
    outputs = torch.tensor(2 * truth - 1 + random.normal(0, 1.2, (200, 3)), dtype=torch.float32)
    task = Task.label(["sky", "sea", "sand"], name="scene")
    labels = Labels(task, (truth,))
    return Predictions.of(task, np.arange(200), outputs, labels, source_name="row")


def _weighted(found: Predictions) -> Predictions:
    weights = np.random.default_rng(1).integers(0, 4, len(found)).astype(np.float32)
    labels = Labels(found.task, found.labels.values, weights)
    outputs = torch.from_numpy(found.outputs)
    return Predictions.of(found.task, found.sources, outputs, labels, source_name="row")


@pytest.fixture(scope="session")
def weighted() -> Callable[[Predictions], Predictions]:
    """The same predictions, with rows that weigh 0, 1, 2 or 3."""
    return _weighted
