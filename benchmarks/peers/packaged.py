"""EfficientNet-Lite0 as timm builds it, with the weights out of the package that holds them.

The peers do not import secchi, so this is their own way of loading what secchi loads.
"""

from pathlib import Path

import torch
from torch import nn

TIMM_NAME = "tf_efficientnet_lite0"


def load(body: nn.Module, file: Path) -> None:
    """Load the package's weights into a body without a classifier.

    The package's keys stand in timm's order, the classifier last.
    """
    body.load_state_dict(_state(body.state_dict(), file))


def load_body(network: nn.Module, file: Path) -> None:
    """Load them into a network whose classifier, for other classes, stays as it is."""
    wanted = {k: v for k, v in network.state_dict().items() if not k.startswith("classifier.")}
    network.load_state_dict(_state(wanted, file), strict=False)


def _state(wanted: dict[str, torch.Tensor], file: Path) -> dict[str, torch.Tensor]:
    given = torch.load(file, map_location="cpu", weights_only=True)
    values = [value for key, value in given.items() if not key.startswith("_fc.")]
    return dict(zip(wanted, values, strict=True))
