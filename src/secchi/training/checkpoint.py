"""Weights kept by name, to go back to."""

import json
from pathlib import Path
from typing import Any

from torch import nn

from secchi.errors import BundleError
from secchi.files import folder_written_aside, write_json

_FORMAT = 1
_WEIGHTS = "net.safetensors"
_RECORD = "checkpoint.json"


def save_checkpoint(folder: Path, net: nn.Module, record: dict[str, Any]) -> None:
    """Write a network's weights and a record about them, whole or not at all.

    Args:
        folder: What it is called; one that stands there is replaced.
        net: The network.
        record: Plain JSON values.
    """
    from safetensors.torch import save_file

    with folder_written_aside(folder) as aside:
        state = {key: value.contiguous().cpu() for key, value in net.state_dict().items()}
        save_file(state, aside / _WEIGHTS)
        write_json(aside / _RECORD, {"format": _FORMAT, "record": record})


def load_checkpoint(folder: Path, net: nn.Module) -> dict[str, Any]:
    """Bring a network back to a checkpoint; the record that was kept with it.

    Raises:
        BundleError: There is none, it is damaged or of a newer format, or it fits another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        document = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        if document["format"] > _FORMAT:
            raise BundleError(f"the checkpoint {folder} was written by a newer secchi; upgrade it")
        state = load_file(folder / _WEIGHTS)
        record: dict[str, Any] = document["record"]
    except FileNotFoundError:
        raise BundleError(f"there is no checkpoint at {folder}") from None
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BundleError(f"the checkpoint {folder} is damaged: {error}") from None
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise BundleError(f"the checkpoint {folder} is of another network: {error}") from None
    return record
