"""Weights kept by name, to go back to, and the state of a run while it goes on."""

import contextlib
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secchi.errors import BundleError
from secchi.files import folder_written_aside, write_json
from secchi.training.state import TrainState

_FORMAT = 1
_WEIGHTS = "net.safetensors"
_RECORD = "checkpoint.json"


def save_checkpoint(folder: Path, net: nn.Module, record: dict[str, Any]) -> None:
    """Write a network's weights and a record about them, whole or not at all.

    Args:
        folder: What it is called; one that stands there is replaced.
        net: The network.
        record: Plain JSON values.

    >>> import tempfile
    >>> net = nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as place:
    ...     save_checkpoint(Path(place) / "best", net, {"epochs": 3})
    ...     _ = nn.init.zeros_(net.weight)
    ...     record = load_checkpoint(Path(place) / "best", net)
    >>> record, bool(net.weight.any())
    ({'epochs': 3}, True)
    """
    _write(folder, net.state_dict(), record)


def read_record(folder: Path) -> dict[str, Any]:
    """The record that was kept with a checkpoint.

    Raises:
        BundleError: There is none, or it is damaged or of a newer format.

    >>> read_record(Path("nowhere"))
    Traceback (most recent call last):
    ...
    secchi.errors.BundleError: there is no checkpoint at nowhere
    """
    record: dict[str, Any] = _read(folder)["record"]
    return record


def load_checkpoint(folder: Path, net: nn.Module) -> dict[str, Any]:
    """Bring a network back to a checkpoint; the record that was kept with it.

    Raises:
        BundleError: There is none, it is damaged or of a newer format, or it is of another
            network; then this one stays as it is.

    :func:`save_checkpoint` has an example.
    """
    state, record = _read_whole(folder)
    # load_state_dict would take over what fits before it complains about the rest.
    wanted = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    if wanted != given:
        raise BundleError(
            f"the checkpoint {folder} is of another network: it holds {_some(given)}, not "
            f"{_some(wanted)}"
        )
    net.load_state_dict(state)
    return record


def weights_digest(net: nn.Module) -> str:
    """Names a network's weights and buffers, to the bit.

    >>> net = nn.Linear(2, 1)
    >>> before = weights_digest(net)
    >>> _ = nn.init.zeros_(net.weight)
    >>> weights_digest(net) == before
    False
    """
    joint = hashlib.sha256()
    for name, value in net.state_dict().items():
        joint.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        joint.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return joint.hexdigest()


class StateKeeper:
    """Keeps the state of a run in a folder while it goes on.

    Two checkpoints take turns, so that a whole one is there at any moment.

    Args:
        folder: Where they are kept.
        key: Says what the run is; a checkpoint with another key is of another run and ignored.
        seconds: Between two checkpoints.
    """

    def __init__(self, folder: Path, key: dict[str, Any], seconds: float) -> None:
        self._folders = [folder / "state-0", folder / "state-1"]
        self._key = json.loads(json.dumps(key))
        self._seconds = seconds
        self._kept = time.monotonic()
        self._turn = 0

    def restore(self, state: TrainState) -> bool:
        """Bring a state to the newest checkpoint that is whole; False where there is none."""
        found = []
        for place, folder in enumerate(self._folders):
            with contextlib.suppress(BundleError, KeyError, TypeError, ValueError):
                tensors, record = _read_whole(folder)
                if record["key"] == self._key:
                    numbers = json.loads(record["numbers"])
                    order = (len(numbers["epochs"]), numbers["step"], numbers["batch"])
                    found.append((order, place, tensors, numbers))
        if not found:
            return False
        _, place, tensors, numbers = max(found, key=lambda one: one[0])
        state.load(tensors, numbers)
        self._turn = 1 - place
        return True

    def offer(self, state: TrainState) -> None:
        """Keep the state, where the last one that was kept is old enough."""
        if time.monotonic() - self._kept < self._seconds:
            return
        # As text: JSON has no infinity, and a state may hold one.
        record = {"key": self._key, "numbers": json.dumps(state.numbers())}
        _write(self._folders[self._turn], state.tensors(), record)
        self._turn = 1 - self._turn
        self._kept = time.monotonic()


def _write(folder: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    with folder_written_aside(folder) as aside:
        # Each on its own: safetensors refuses tensors that share their memory.
        plain = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        save_file(plain, aside / _WEIGHTS)
        digest = hashlib.sha256((aside / _WEIGHTS).read_bytes()).hexdigest()
        write_json(aside / _RECORD, {"format": _FORMAT, "record": record, "sha256": digest})


def _read_whole(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a checkpoint and its record.

    Raises:
        BundleError: There is none, or it is damaged or of a newer format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    document = _read(folder)
    try:
        blob = (folder / _WEIGHTS).read_bytes()
        if hashlib.sha256(blob).hexdigest() != document["sha256"]:
            raise BundleError(f"the weights in {folder} were changed or cut short")
        tensors: dict[str, torch.Tensor] = load(blob)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"the checkpoint {folder} is damaged: {error}") from None
    return tensors, document["record"]


def _some(shapes: dict[str, tuple[int, ...]], most: int = 6) -> str:
    named = ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:most])
    return named + (f" and {len(shapes) - most} more" if len(shapes) > most else "")


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
