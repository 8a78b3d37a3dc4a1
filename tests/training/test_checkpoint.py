"""Weights kept by name come back to the bit, or not at all."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from secchi.errors import BundleError
from secchi.models.heads import Head
from secchi.training.checkpoint import load_checkpoint, read_record, save_checkpoint


def head(seed: int, inputs: int = 4, outputs: int = 3) -> Head:
    made = Head(inputs, outputs)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in made.state_dict().values():
            value.copy_(torch.randn(value.shape, generator=generator))
    return made


def assert_same(one: nn.Module, other: nn.Module) -> None:
    for key, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_a_checkpoint_brings_weights_and_record_back(tmp_path: Path) -> None:
    saved, net = head(0), head(1)
    save_checkpoint(tmp_path / "best", saved, {"epochs": 3, "name": "größte"})
    assert load_checkpoint(tmp_path / "best", net) == {"epochs": 3, "name": "größte"}
    assert read_record(tmp_path / "best") == {"epochs": 3, "name": "größte"}
    assert_same(saved, net)


def test_saving_again_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    net = head(1)
    save_checkpoint(tmp_path / "kept" / "best", head(0), {"epochs": 1})
    save_checkpoint(tmp_path / "kept" / "best", net, {"epochs": 2})
    found = head(2)
    assert load_checkpoint(tmp_path / "kept" / "best", found) == {"epochs": 2}
    assert_same(net, found)
    assert os.listdir(tmp_path / "kept") == ["best"]


def test_a_checkpoint_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "nothing", head(0))


def test_the_checkpoint_of_another_network_changes_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best", head(0, outputs=5), {})
    net, before = head(1), head(1)
    with pytest.raises(BundleError, match="another network"):
        load_checkpoint(tmp_path / "best", net)
    assert_same(net, before)


def test_a_checkpoint_with_other_keys_is_of_another_network(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best", nn.Linear(4, 3), {})
    with pytest.raises(BundleError, match="another network"):
        load_checkpoint(tmp_path / "best", head(0))


@pytest.mark.parametrize("where", [0, 60, -1])
def test_weights_with_a_changed_byte_are_refused_and_change_nothing(
    tmp_path: Path, where: int
) -> None:
    save_checkpoint(tmp_path / "best", head(0), {})
    file = tmp_path / "best" / "net.safetensors"
    blob = bytearray(file.read_bytes())
    blob[where] ^= 1
    file.write_bytes(blob)
    net, before = head(1), head(1)
    with pytest.raises(BundleError, match="changed or cut short"):
        load_checkpoint(tmp_path / "best", net)
    assert_same(net, before)


def test_weights_cut_short_are_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best", head(0), {})
    file = tmp_path / "best" / "net.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(BundleError, match="changed or cut short"):
        load_checkpoint(tmp_path / "best", head(1))


def test_weights_that_are_missing_are_told(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best", head(0), {})
    (tmp_path / "best" / "net.safetensors").unlink()
    with pytest.raises(BundleError, match="damaged"):
        load_checkpoint(tmp_path / "best", head(1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": 1}',
        '{"format": "1", "record": {}, "sha256": ""}',
        '{"format": 1, "record": [], "sha256": ""}',
        '{"format": 1, "record": {}, "sha256": null}',
        "[" * 100_000,
    ],
)
def test_a_record_that_is_none_is_damaged(tmp_path: Path, text: str) -> None:
    save_checkpoint(tmp_path / "best", head(0), {})
    (tmp_path / "best" / "checkpoint.json").write_text(text)
    with pytest.raises(BundleError, match="damaged"):
        load_checkpoint(tmp_path / "best", head(1))


def test_a_newer_format_is_named_as_that(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best", head(0), {})
    file = tmp_path / "best" / "checkpoint.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2}))
    with pytest.raises(BundleError, match="newer secchi"):
        load_checkpoint(tmp_path / "best", head(1))


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("trap",))


def test_a_pickle_in_place_of_the_weights_does_not_run(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best", head(0), {})
    (tmp_path / "best" / "net.safetensors").write_bytes(pickle.dumps(_Trap()))
    with pytest.raises(BundleError):
        load_checkpoint(tmp_path / "best", head(1))
    assert not Path("trap").exists()


def test_what_cannot_be_written_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    kept = head(0)
    save_checkpoint(tmp_path / "kept" / "best", kept, {"epochs": 1})
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path / "kept" / "best", head(1), {"epochs": object()})
    found = head(2)
    assert load_checkpoint(tmp_path / "kept" / "best", found) == {"epochs": 1}
    assert_same(kept, found)
    assert os.listdir(tmp_path / "kept") == ["best"]
