"""secchi: train neural networks in a few lines, and see to the bottom of what they learned.

The public names are the list below. Importing ``secchi`` loads none of them: a name's module is
imported when the name is first used, so ``import secchi`` costs a few milliseconds.

>>> import secchi
>>> "Learner" in dir(secchi)
True
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from secchi.bundle.bundle import Bundle as Bundle
    from secchi.data.images import ImageData as ImageData
    from secchi.data.synthetic import Line as Line
    from secchi.data.synthetic import Moons as Moons
    from secchi.data.synthetic import Qwerties as Qwerties
    from secchi.data.synthetic import Rings as Rings
    from secchi.data.synthetic import Sine as Sine
    from secchi.data.synthetic import Spirals as Spirals
    from secchi.data.table import TableData as TableData
    from secchi.data.task import Kind as Kind
    from secchi.data.task import Labels as Labels
    from secchi.data.task import Target as Target
    from secchi.data.task import Task as Task
    from secchi.data.vault import Ledger as Ledger
    from secchi.errors import SecchiError as SecchiError
    from secchi.estimators import NetClassifier as NetClassifier
    from secchi.estimators import NetRegressor as NetRegressor
    from secchi.experiments.experiment import Experiment as Experiment
    from secchi.experiments.factor_values import integers as integers
    from secchi.experiments.factor_values import linspace as linspace
    from secchi.experiments.factor_values import log_uniform as log_uniform
    from secchi.experiments.factor_values import logspace as logspace
    from secchi.experiments.factor_values import nested as nested
    from secchi.experiments.factor_values import powers_of_two as powers_of_two
    from secchi.experiments.factor_values import uniform as uniform
    from secchi.experiments.result import Result as Result
    from secchi.features.cache import FeatureCache as FeatureCache
    from secchi.inspection.comparison import Comparison as Comparison
    from secchi.inspection.comparison import compare as compare
    from secchi.inspection.predictions import Predictions as Predictions
    from secchi.learner import Learner as Learner
    from secchi.models.backbones import Backbone as Backbone
    from secchi.models.mlp import MLP as MLP
    from secchi.models.parts import activation_curves as activation_curves
    from secchi.models.summary import draw_network as draw_network
    from secchi.training.history import History as History
    from secchi.training.spec import Training as Training
    from secchi.transforms.augment import Augmentation as Augmentation
    from secchi.transforms.images import ImageTransform as ImageTransform
    from secchi.transforms.table import TableTransform as TableTransform

_HOME = {
    "Augmentation": "secchi.transforms.augment",
    "Backbone": "secchi.models.backbones",
    "Bundle": "secchi.bundle.bundle",
    "Comparison": "secchi.inspection.comparison",
    "Experiment": "secchi.experiments.experiment",
    "FeatureCache": "secchi.features.cache",
    "History": "secchi.training.history",
    "ImageData": "secchi.data.images",
    "ImageTransform": "secchi.transforms.images",
    "Kind": "secchi.data.task",
    "Labels": "secchi.data.task",
    "Learner": "secchi.learner",
    "Ledger": "secchi.data.vault",
    "Line": "secchi.data.synthetic",
    "MLP": "secchi.models.mlp",
    "Moons": "secchi.data.synthetic",
    "NetClassifier": "secchi.estimators",
    "NetRegressor": "secchi.estimators",
    "Predictions": "secchi.inspection.predictions",
    "Qwerties": "secchi.data.synthetic",
    "Result": "secchi.experiments.result",
    "Rings": "secchi.data.synthetic",
    "SecchiError": "secchi.errors",
    "Sine": "secchi.data.synthetic",
    "Spirals": "secchi.data.synthetic",
    "TableData": "secchi.data.table",
    "TableTransform": "secchi.transforms.table",
    "Target": "secchi.data.task",
    "Task": "secchi.data.task",
    "Training": "secchi.training.spec",
    "activation_curves": "secchi.models.parts",
    "compare": "secchi.inspection.comparison",
    "draw_network": "secchi.models.summary",
    "integers": "secchi.experiments.factor_values",
    "linspace": "secchi.experiments.factor_values",
    "log_uniform": "secchi.experiments.factor_values",
    "logspace": "secchi.experiments.factor_values",
    "nested": "secchi.experiments.factor_values",
    "powers_of_two": "secchi.experiments.factor_values",
    "uniform": "secchi.experiments.factor_values",
}

__all__ = [
    "Augmentation",
    "Backbone",
    "Bundle",
    "Comparison",
    "Experiment",
    "FeatureCache",
    "History",
    "ImageData",
    "ImageTransform",
    "Kind",
    "Labels",
    "Learner",
    "Ledger",
    "Line",
    "MLP",
    "Moons",
    "NetClassifier",
    "NetRegressor",
    "Predictions",
    "Qwerties",
    "Result",
    "Rings",
    "SecchiError",
    "Sine",
    "Spirals",
    "TableData",
    "TableTransform",
    "Target",
    "Task",
    "Training",
    "__version__",
    "activation_curves",
    "compare",
    "draw_network",
    "integers",
    "linspace",
    "log_uniform",
    "logspace",
    "nested",
    "powers_of_two",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'secchi' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
