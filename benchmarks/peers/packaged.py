"""EfficientNet-Lite0 as timm builds it, with the weights out of the package that holds them.

The peers do not import secchi, so this is their own way of loading what secchi loads.
"""

from pathlib import Path

import torch
from torch import nn

TIMM_NAME = "tf_efficientnet_lite0"


def load(body: nn.Module, file: Path) -> None:
    """Load the package's weights; its keys stand in timm's order, the classifier last."""
    given = torch.load(file, map_location="cpu", weights_only=True)
    values = [value for key, value in given.items() if not key.startswith("_fc.")]
    body.load_state_dict(dict(zip(body.state_dict(), values, strict=True)))
