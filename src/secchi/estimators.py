"""scikit-learn's door: the networks and the loop of secchi as estimators.

They keep to that library's conventions, so that they stand in a ``Pipeline``, under
``GridSearchCV`` and in ``cross_val_score`` like any other, and can be cloned and pickled.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from secchi.data.task import Kind, Labels, Target, Task
from secchi.errors import SpecError
from secchi.models.build import build_model
from secchi.models.heads import log_probabilities
from secchi.models.mlp import MLP
from secchi.models.units import in_units
from secchi.training.evaluation import outputs_of
from secchi.training.execution import Execution
from secchi.training.history import History, Outcome
from secchi.training.loop import train
from secchi.training.losses import check_loss
from secchi.training.rows import ArrayInputs, Rows
from secchi.training.spec import Training
from secchi.transforms.table import center_and_scale

_PRECISIONS = ("fp64", "fp32")


class _Net(BaseEstimator):  # type: ignore[misc]
    """What both estimators have in common."""

    def __init__(
        self,
        hidden: Sequence[int] = (64, 64),
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: str | None = None,
        model: Any = None,
        optimizer: str = "adamw",
        lr: float = 1e-2,
        epochs: int = 50,
        batch_size: int = 32,
        momentum: float | None = None,
        weight_decay: float = 1e-2,
        l1: float = 0.0,
        l2: float = 0.0,
        loss: Any = None,
        schedule: Any = "one_cycle",
        scale: str = "zscore",
        precision: str = "fp64",
        random_state: Any = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.model = model
        self.optimizer = optimizer
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.l1 = l1
        self.l2 = l2
        self.loss = loss
        self.schedule = schedule
        self.scale = scale
        self.precision = precision
        self.random_state = random_state

    def _fit(self, inputs: NDArray[Any], labels: Labels, center: float, unit: float) -> None:
        """Scale the inputs, build the network and train it on all rows."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        training = Training(
            optimizer=self.optimizer,
            lr=self.lr,
            epochs=self.epochs,
            batch_size=self.batch_size,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            l1=self.l1,
            l2=self.l2,
            loss=self.loss,
            schedule=self.schedule,
            seed=seed,
        )
        task = labels.task
        check_loss(training, task)
        if self.precision not in _PRECISIONS:
            fault = f"precision is {self.precision!r}, neither fp64 nor fp32"
            raise SpecError("this estimator cannot be", [fault])
        scales = [center_and_scale(column, self.scale) for column in inputs.T.astype(np.float64)]
        self.center_ = np.array([center for center, _ in scales])
        # Nothing is learned of a column that never changes: whatever it holds later is 0.
        self.scale_ = np.array([scale or np.inf for _, scale in scales])
        model = copy.deepcopy(self.model)  # a module that was given stays as it is
        if model is None:
            model = MLP(
                self.hidden,
                activation=self.activation,
                dropout=self.dropout,
                batch_norm=self.batch_norm,
            )
        net = build_model(model, inputs.shape[1], task.outputs, seed)
        numbers = task.target.kind is Kind.REGRESSION
        self.network_ = in_units(net, [center] if numbers else None, [unit])
        rows = Rows(self._prepared(inputs), labels)
        self.history_: History = train(
            self.network_,
            rows,
            None,
            training,
            execution=self._execution(),
            units=[unit] if numbers else None,
            equal_batches=True,
        )
        if self.history_.outcome is not Outcome.COMPLETED:
            raise ValueError(self.history_.remark)

    def _prepared(self, inputs: NDArray[Any]) -> ArrayInputs:
        dtype = np.float64 if self.precision == "fp64" else np.float32
        return ArrayInputs(((inputs - self.center_) / self.scale_).astype(dtype))

    def _execution(self) -> Execution:
        return Execution("cpu", self.precision)

    def _outputs(self, X: Any, width: int) -> torch.Tensor:
        check_is_fitted(self)
        inputs = validate_data(self, X, reset=False)
        return outputs_of(self.network_, self._prepared(inputs), width, self._execution())


class NetClassifier(ClassifierMixin, _Net):  # type: ignore[misc]
    """A network that tells classes apart, as scikit-learn has its estimators.

    Every row is trained on; nothing is held out and nothing stops early, so the rate falls to zero
    in a fixed number of epochs. Labels of any type come back as they went in.

    Parameters:
        hidden: Units of each hidden layer.
        activation: What they do; see :class:`secchi.MLP`.
        dropout: The share of them that is left out in training.
        batch_norm: ``"before"`` or ``"after"`` the activation, or None.
        model: Anything else that :func:`secchi.models.build.build_model` takes, instead of these.
        optimizer, lr, epochs, batch_size, momentum, weight_decay, l1, l2, loss, schedule: As for
            :class:`secchi.Training`.
        class_weight: ``"balanced"``, a weight by label, or None.
        scale: How columns are scaled: ``"zscore"``, ``"minmax"``, ``"robust"`` or ``"none"``.
        precision: ``"fp64"`` or ``"fp32"``.
        random_state: Names first weights, batches and dropout.

    Attributes:
        classes_: The labels, sorted.
        network_: The trained module, on scaled inputs.
        history_: The epochs.
        center_, scale_: What is taken from each column, and what it is divided by then.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> bool(NetClassifier(hidden=(16,), epochs=30, random_state=0).fit(X, y).score(X, y) > 0.9)
    True
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64, 64),
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: str | None = None,
        model: Any = None,
        optimizer: str = "adamw",
        lr: float = 1e-2,
        epochs: int = 50,
        batch_size: int = 32,
        momentum: float | None = None,
        weight_decay: float = 1e-2,
        l1: float = 0.0,
        l2: float = 0.0,
        loss: Any = None,
        schedule: Any = "one_cycle",
        class_weight: Any = None,
        scale: str = "zscore",
        precision: str = "fp64",
        random_state: Any = None,
    ) -> None:
        super().__init__(
            hidden=hidden,
            activation=activation,
            dropout=dropout,
            batch_norm=batch_norm,
            model=model,
            optimizer=optimizer,
            lr=lr,
            epochs=epochs,
            batch_size=batch_size,
            momentum=momentum,
            weight_decay=weight_decay,
            l1=l1,
            l2=l2,
            loss=loss,
            schedule=schedule,
            scale=scale,
            precision=precision,
            random_state=random_state,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any) -> "NetClassifier":
        """Train on all rows.

        Args:
            X: (rows, columns), finite numbers.
            y: (rows,), labels.
        """
        from sklearn.utils.class_weight import compute_sample_weight

        X, y = validate_data(self, X, y)
        y = column_or_1d(y)
        # scikit-learn's check knows no labels of bytes.
        check_classification_targets(np.char.decode(y, "latin-1") if y.dtype.kind == "S" else y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        target = Target.classify("target", [str(place) for place in range(len(self.classes_))])
        weights = None
        if self.class_weight is not None:
            weights = compute_sample_weight(self.class_weight, y).astype(np.float32)
        labels = Labels(Task((target,)), (numbers.astype(np.int64),), weights)
        self._fit(X, labels, 0.0, 1.0)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class, (rows, classes), in the order of ``classes_``."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Their logarithms."""
        check_is_fitted(self)
        target = Target.classify("target", [str(place) for place in range(len(self.classes_))])
        logits = self._outputs(X, target.outputs).double()
        return np.asarray(log_probabilities(target, logits).numpy())

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest label of each row."""
        likeliest = self.predict_log_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[likeliest])


class NetRegressor(RegressorMixin, _Net):  # type: ignore[misc]
    """A network that predicts a number, as scikit-learn has its estimators.

    As :class:`NetClassifier`. The loss is in units of the spread of the target; predictions are in
    its own.

    Parameters:
        target_scale: ``"zscore"``, or ``"none"`` for a loss in the target's own units.

    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> bool(NetRegressor(hidden=(16,), epochs=30, random_state=0).fit(X, y).score(X, y) > 0.5)
    True
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64, 64),
        activation: str = "relu",
        dropout: float = 0.0,
        batch_norm: str | None = None,
        model: Any = None,
        optimizer: str = "adamw",
        lr: float = 1e-2,
        epochs: int = 50,
        batch_size: int = 32,
        momentum: float | None = None,
        weight_decay: float = 1e-2,
        l1: float = 0.0,
        l2: float = 0.0,
        loss: Any = None,
        schedule: Any = "one_cycle",
        scale: str = "zscore",
        target_scale: str = "zscore",
        precision: str = "fp64",
        random_state: Any = None,
    ) -> None:
        super().__init__(
            hidden=hidden,
            activation=activation,
            dropout=dropout,
            batch_norm=batch_norm,
            model=model,
            optimizer=optimizer,
            lr=lr,
            epochs=epochs,
            batch_size=batch_size,
            momentum=momentum,
            weight_decay=weight_decay,
            l1=l1,
            l2=l2,
            loss=loss,
            schedule=schedule,
            scale=scale,
            precision=precision,
            random_state=random_state,
        )
        self.target_scale = target_scale

    def fit(self, X: Any, y: Any) -> "NetRegressor":
        """Train on all rows.

        Args:
            X: (rows, columns), finite numbers.
            y: (rows,), numbers.
        """
        X, y = validate_data(self, X, y, y_numeric=True)
        y = column_or_1d(y, warn=True)
        task = Task.regress("target")
        center, unit = center_and_scale(y.astype(np.float64), self.target_scale)
        self._fit(X, Labels(task, (task.target.encode(y),)), center, unit or 1.0)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The number of each row, (rows,)."""
        return np.asarray(self._outputs(X, 1)[:, 0].double().numpy())
