"""What can go wrong, as one small tree.

::

    SecchiError
    ├── DataError            the pictures or the table are not what was asked for
    │   ├── PictureError     one picture cannot be read; its message is the reason
    │   └── SealedError      labels of a test split, before it was opened
    ├── BackboneError        no such backbone, no weights, or weights that do not fit
    ├── SpecError            a setting that cannot be; carries every fault at once
    └── BundleError          a bundle or checkpoint that was changed, cut short, or never was one

Every message says what happened and where, and what to do next.
"""

import difflib
from collections.abc import Iterable, Sequence


class SecchiError(Exception):
    """The root of every error that secchi raises on purpose."""


class DataError(SecchiError):
    """The pictures or the table are not what was asked for."""


class PictureError(DataError):
    """One picture cannot be read; the message is the reason, without the file's name."""


class SealedError(DataError):
    """The labels of a test split were asked for before the split was opened."""


class BackboneError(SecchiError):
    """No such backbone, no weights for it, or weights that do not fit it."""


class SpecError(SecchiError):
    """Settings that cannot be.

    Attributes:
        what: What cannot be.
        faults: One sentence for each thing that is wrong.
    """

    def __init__(self, what: str, faults: Sequence[str]) -> None:
        self.what = what
        self.faults = tuple(faults)
        super().__init__(f"{what}: " + "; ".join(self.faults))

    @property
    def lines(self) -> str:
        """The message; of several faults each has a line of its own.

        >>> print(SpecError("this training cannot be", ["lr is -1", "epochs is 0"]).lines)
        this training cannot be:
          lr is -1
          epochs is 0
        """
        return str(self) if len(self.faults) == 1 else "\n  ".join([f"{self.what}:", *self.faults])


class BundleError(SecchiError):
    """A bundle or checkpoint that was changed, cut short, is too new, or never was one."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest of the known names, or nothing.

    What others call a factor, as ``learning_rate`` is ``lr``, is as near as can be.

    >>> did_you_mean("resnet43", ["resnet34", "vit_tiny"])
    '; did you mean resnet34?'
    >>> did_you_mean("zebra", ["resnet34"])
    ''
    >>> did_you_mean("learning_rate", ["lr", "patience"])
    '; did you mean lr?'
    """
    known = list(known)
    same = _SYNONYMS.get(name.lower())
    near = [same] if same in known else difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""


_SYNONYMS = {
    synonym: name
    for name, synonyms in {
        "lr": ("learning_rate", "rate", "step_size", "eta"),
        "epochs": ("iterations", "max_iter"),
        "batch_size": ("batch", "bs", "minibatch"),
        "optimizer": ("optim", "opt", "solver"),
        "schedule": ("scheduler", "lr_schedule", "lr_scheduler"),
        "weight_decay": ("wd", "decay"),
        "clip": ("clip_norm", "grad_clip", "max_grad_norm"),
        "patience": ("early_stopping", "n_iter_no_change"),
        "hidden": ("units", "hidden_units", "hidden_size", "hidden_layers", "hidden_layer_sizes"),
        "depth": ("layers", "n_layers", "num_layers"),
        "width": ("neurons", "layer_size"),
        "activation": ("act", "nonlinearity"),
        "dropout": ("drop", "drop_rate", "dropout_rate"),
        "train_fraction": ("fraction", "train_size"),
        "repeats": ("runs", "replicates", "trials"),
        "folds": ("cv", "n_splits"),
        "samples": ("n_iter",),
    }.items()
    for synonym in synonyms
}
"""What other libraries, and people, call the settings of a training, a network or an experiment."""
