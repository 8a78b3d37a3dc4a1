"""Weights kept by name, to go back to."""

import hashlib
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
        digest = hashlib.sha256((aside / _WEIGHTS).read_bytes()).hexdigest()
        document = {"format": _FORMAT, "record": record, "sha256": digest}
        write_json(aside / _RECORD, document)


def read_record(folder: Path) -> dict[str, Any]:
    """The record that was kept with a checkpoint.

    Raises:
        BundleError: There is none, or it is damaged or of a newer format.
    """
    record: dict[str, Any] = _read(folder)["record"]
    return record


def load_checkpoint(folder: Path, net: nn.Module) -> dict[str, Any]:
    """Bring a network back to a checkpoint; the record that was kept with it.

    Raises:
        BundleError: There is none, it is damaged or of a newer format, or it is of another
            network; then this one stays as it is.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    document = _read(folder)
    try:
        blob = (folder / _WEIGHTS).read_bytes()
        if hashlib.sha256(blob).hexdigest() != document["sha256"]:
            raise BundleError(f"the weights in {folder} were changed or cut short")
        state = load(blob)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"the checkpoint {folder} is damaged: {error}") from None
    # load_state_dict would take over what fits before it complains about the rest.
    wanted = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    if wanted != given:
        raise BundleError(
            f"the checkpoint {folder} is of another network: it holds {given}, not {wanted}"
        )
    net.load_state_dict(state)
    record: dict[str, Any] = document["record"]
    return record


def _read(folder: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        if document["format"] > _FORMAT:
            raise BundleError(f"the checkpoint {folder} was written by a newer secchi; upgrade it")
        if not isinstance(document["record"], dict) or not isinstance(document["sha256"], str):
            raise BundleError(f"the checkpoint {folder} is damaged: its record is none")
    except FileNotFoundError:
        raise BundleError(f"there is no checkpoint at {folder}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"the checkpoint {folder} is damaged: {error}") from None
    return document
