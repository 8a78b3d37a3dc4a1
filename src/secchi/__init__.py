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
    from secchi.data.task import Kind as Kind
    from secchi.data.task import Labels as Labels
    from secchi.data.task import Target as Target
    from secchi.data.task import Task as Task
    from secchi.errors import SecchiError as SecchiError
    from secchi.features.cache import FeatureCache as FeatureCache
    from secchi.inspection.comparison import Comparison as Comparison
    from secchi.inspection.comparison import compare as compare
    from secchi.inspection.predictions import Predictions as Predictions
    from secchi.learner import Learner as Learner
    from secchi.models.backbones import Backbone as Backbone
    from secchi.training.history import History as History
    from secchi.training.spec import Training as Training
    from secchi.transforms.augment import Augmentation as Augmentation
    from secchi.transforms.images import ImageTransform as ImageTransform

_HOME = {
    "Augmentation": "secchi.transforms.augment",
    "Backbone": "secchi.models.backbones",
    "Bundle": "secchi.bundle.bundle",
    "Comparison": "secchi.inspection.comparison",
    "FeatureCache": "secchi.features.cache",
    "History": "secchi.training.history",
    "ImageData": "secchi.data.images",
    "ImageTransform": "secchi.transforms.images",
    "Kind": "secchi.data.task",
    "Labels": "secchi.data.task",
    "Learner": "secchi.learner",
    "Predictions": "secchi.inspection.predictions",
    "SecchiError": "secchi.errors",
    "Target": "secchi.data.task",
    "Task": "secchi.data.task",
    "Training": "secchi.training.spec",
    "compare": "secchi.inspection.comparison",
}

__all__ = [
    "Augmentation",
    "Backbone",
    "Bundle",
    "Comparison",
    "FeatureCache",
    "History",
    "ImageData",
    "ImageTransform",
    "Kind",
    "Labels",
    "Learner",
    "Predictions",
    "SecchiError",
    "Target",
    "Task",
    "Training",
    "__version__",
    "compare",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'secchi' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
