"""A network trained on its own is the one that a learner trains."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris

from secchi.cohort.alone import train_alone
from secchi.cohort.curve import Curve
from secchi.cohort.member import Member
from secchi.console import Console
from secchi.data.table import TableData
from secchi.learner import Learner
from secchi.models.mlp import MLP
from secchi.training.history import Outcome
from secchi.training.prepared import PreparedTable
from secchi.training.spec import Training


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
@pytest.mark.parametrize(
    ("load", "options", "metric"),
    [
        (load_iris, {"task": "class"}, "accuracy"),
        (load_diabetes, {"task": "number", "test": True}, "mae"),
    ],
)
def test_its_curve_is_the_learners(
    load: Any, options: dict[str, Any], metric: str, precision: str
) -> None:
    data = TableData.from_frame(load(as_frame=True).frame, "target", **options)
    model = MLP([8, 8], dropout=0.25, input_dropout=0.1, batch_norm="after")
    training = Training(lr=0.01, epochs=4, batch_size=16, seed=5, patience=2, keep_best=True)
    quiet = Console(quiet=True)
    learn = Learner(data, model, training, precision=precision, seed=5, console=quiet)
    learned = Curve.of(learn.fit(metrics=[metric]), [metric])
    member = Member(PreparedTable.of(data, precision), model, training, seed=5)
    curve = train_alone(member, [metric])
    assert curve[3:] == learned[3:]
    for one, other in zip(curve[:2], learned[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(curve.metrics[metric], learned.metrics[metric])


def test_a_rate_that_is_too_high_is_named() -> None:
    data = TableData.from_frame(load_diabetes(as_frame=True).frame, "target", task="number")
    training = Training("sgd", lr=1e6, epochs=9)
    curve = train_alone(Member(PreparedTable.of(data), MLP([8]), training, 0), ["mae"])
    assert curve.outcome is Outcome.DIVERGED
    assert len(curve.train_loss) < 9
