import os
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from secchi.errors import BackboneError
from secchi.models.backbones import RANDOM, Backbone, _timm_key, read_weights, weights_digest
from secchi.models.heads import Head

SMALL = "mobilenetv3_small_050"


def body_of(name: str = SMALL, weights: str = RANDOM, **options: int) -> torch.nn.Module:
    return Backbone(name, weights, **options).build()


def packaged_file() -> Path:
    file = Backbone()._file()
    assert file is not None
    return file


def features_of(body: torch.nn.Module, side: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        features: torch.Tensor = body(torch.rand(2, 3, side, side, generator=generator))
    return features


@pytest.fixture(scope="module")
def small_state() -> dict[str, torch.Tensor]:
    """The weights of a small network that no seed below gives."""
    return body_of(seed=77).state_dict()


# ---------------------------------------------------------------- lite0


def test_the_packaged_weights_fit_timms_network_one_to_one_with_equal_shapes() -> None:
    import timm

    given_ = read_weights(packaged_file())
    wanted = timm.create_model("tf_efficientnet_lite0").state_dict()
    assert {k: v.shape for k, v in given_.items()} == {k: v.shape for k, v in wanted.items()}


def test_the_packaged_keys_are_renamed_one_to_one_and_in_order() -> None:
    import timm

    packaged = list(torch.load(packaged_file(), weights_only=True))
    renamed = [_timm_key(key) for key in packaged]
    assert len(set(renamed)) == len(packaged)
    # timm builds its network in the same order, so the order tells a mapping that merely fits.
    assert renamed == list(timm.create_model("tf_efficientnet_lite0").state_dict())


def test_a_key_that_is_not_the_packages_keeps_its_name() -> None:
    assert _timm_key("blocks.0.0.conv_pw.weight") == "blocks.0.0.conv_pw.weight"


def test_the_packaged_weights_know_cats_from_dogs_in_imagenets_own_classes(dogscats: Path) -> None:
    import timm

    from secchi.data.pictures import read_picture

    network = timm.create_model("tf_efficientnet_lite0")
    network.load_state_dict(read_weights(packaged_file()))
    network.eval()
    transform = Backbone().transform
    assert transform is not None
    right = []
    for name, classes in (("cats", range(281, 286)), ("dogs", range(151, 269))):
        files = sorted((dogscats / "valid" / name).iterdir())[:10]
        pixels = np.stack([transform(read_picture(str(file))) for file in files])
        batch = torch.from_numpy(transform.normalize(pixels)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            right += [int(c) in classes for c in network(batch.contiguous()).argmax(1)]
    assert np.mean(right) >= 0.8


def test_lite0_gives_features_of_width_1280_for_any_size() -> None:
    assert features_of(body_of("lite0", "pretrained", size=64)).shape == (2, 1280)


def test_lite0_is_in_evaluation_mode_and_holds_no_classifier() -> None:
    body = body_of("lite0", "pretrained")
    assert not body.training
    assert not any(key.startswith("classifier") for key in body.state_dict())


def test_lite0_knows_its_transform_before_it_is_built() -> None:
    transform = Backbone(size=160).transform
    assert transform is not None
    assert (transform.size, transform.mean, transform.std) == (160, (0.5,) * 3, (0.5,) * 3)
    assert Backbone("resnet18").transform is None


@pytest.mark.parametrize(
    ("name", "crop", "interpolation"),
    [("resnet18.a1_in1k", 0.95, "bicubic"), ("resnet18.tv_in1k", 0.875, "bilinear")],
)
def test_another_backbones_transform_comes_from_timms_record_of_it(
    name: str, crop: float, interpolation: str
) -> None:
    backbone = Backbone(name, RANDOM)
    transform = backbone.transform_of(backbone.build())
    assert (transform.size, transform.crop, transform.interpolation) == (224, crop, interpolation)
    assert transform.mean == pytest.approx((0.485, 0.456, 0.406))
    assert transform.std == pytest.approx((0.229, 0.224, 0.225))


def test_the_size_asked_for_goes_before_the_networks_own() -> None:
    backbone = Backbone("resnet18", RANDOM, size=96)
    assert backbone.transform_of(backbone.build()).size == 96


def test_a_network_of_fixed_input_size_is_built_for_the_size_asked_for() -> None:
    assert features_of(body_of("vit_tiny_patch16_224", size=96), 96).shape == (2, 192)


# ---------------------------------------------------------------- names and random weights


@pytest.mark.parametrize(
    ("name", "meant"), [("resnet43", "resnet34"), ("lite", "lite0"), ("convnext_ato", "atto")]
)
def test_an_unknown_name_suggests_the_nearest(name: str, meant: str) -> None:
    wanted = f"no backbone is called '{name}'.*did you mean.*{meant}"
    with pytest.raises(BackboneError, match=wanted):
        body_of(name)


def test_a_name_like_no_other_is_refused_without_a_suggestion() -> None:
    with pytest.raises(BackboneError, match=r"^no backbone is called '\?\?'$"):
        body_of("??")


def test_random_weights_are_named_by_their_seed() -> None:
    one, again, other = (body_of(seed=seed).state_dict() for seed in (1, 1, 2))
    assert weights_digest(one) == weights_digest(again)
    assert weights_digest(one) != weights_digest(other)


@pytest.mark.parametrize("name", ["lite0", SMALL])
def test_building_disturbs_no_global_generator(name: str) -> None:
    weights = "pretrained" if name == "lite0" else RANDOM
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    undisturbed = torch.rand(3), np.random.rand(3), random.random()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    body_of(name, weights, seed=3)
    assert torch.equal(torch.rand(3), undisturbed[0])
    assert np.array_equal(np.random.rand(3), undisturbed[1])
    assert random.random() == undisturbed[2]


def test_the_state_of_the_global_generator_changes_nothing() -> None:
    torch.manual_seed(1)
    one = weights_digest(body_of().state_dict())
    torch.manual_seed(2)
    assert weights_digest(body_of().state_dict()) == one


# ---------------------------------------------------------------- files of weights


def wrapped(state: dict[str, torch.Tensor], how: str) -> object:
    if how == "module.":
        return {f"module.{key}": value for key, value in state.items()}
    return {how: state, "epoch": 7} if how else state


@pytest.mark.parametrize(
    "how", ["", "state_dict", "model", "state_dict_ema", "model_ema", "module", "module."]
)
def test_a_pytorch_file_of_weights_is_read(
    how: str, small_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "weights.pth"
    torch.save(wrapped(small_state, how), file)
    assert weights_digest(body_of(weights=str(file)).state_dict()) == weights_digest(small_state)


def test_a_wrapped_state_dict_of_parallel_training_is_read(
    small_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "checkpoint.pth.tar"
    torch.save({"state_dict": wrapped(small_state, "module."), "epoch": 90}, file)
    assert weights_digest(body_of(weights=str(file)).state_dict()) == weights_digest(small_state)


def test_a_safetensors_file_is_read(small_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(small_state, file)
    assert weights_digest(body_of(weights=str(file)).state_dict()) == weights_digest(small_state)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_weights_of_half_precision_are_read_as_float32(
    kind: torch.dtype, small_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "weights.safetensors"
    half = {k: v.to(kind) if v.is_floating_point() else v for k, v in small_state.items()}
    save_file(half, file)
    assert len(weights_digest(read_weights(file))) == 64
    features = features_of(body_of(weights=str(file)))
    assert features.dtype == torch.float32
    assert torch.isfinite(features).all()


def test_a_bundles_file_gives_its_body_and_leaves_its_head(
    small_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    head = {f"head.{k}": v for k, v in Head(3, 2).state_dict().items()}
    save_file({f"body.{k}": v for k, v in small_state.items()} | head, file)
    assert weights_digest(read_weights(file)) == weights_digest(small_state)


class BodyInside(torch.nn.Module):
    """Its layers are called as timm's TResNet calls its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.ModuleDict({"conv1": torch.nn.Conv2d(3, 4, 3)})
        self.head = torch.nn.ModuleDict({"fc": torch.nn.Linear(4, 2)})


@pytest.mark.parametrize("with_head", [True, False])
def test_layers_that_are_called_body_keep_their_names(with_head: bool, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    state = BodyInside().state_dict()
    if not with_head:
        state = {k: v for k, v in state.items() if k.startswith("body.")}
    save_file(state, file)
    assert weights_digest(read_weights(file)) == weights_digest(state)
    # A bundle of it names the same layers "body.body.…".
    bundle = {f"body.{k}": v for k, v in state.items()} | {"head.center": torch.zeros(4)}
    save_file(bundle, file)
    assert weights_digest(read_weights(file)) == weights_digest(state)


@pytest.mark.parametrize("name", ["resnet18", SMALL, "convnext_atto", "vit_tiny_patch16_224"])
def test_the_classifier_of_a_checkpoint_is_dropped(name: str, tmp_path: Path) -> None:
    import timm

    whole = timm.create_model(name, num_classes=7)
    file = tmp_path / "whole.pth"
    torch.save(whole.state_dict(), file)
    body = body_of(name, str(file))
    whole.reset_classifier(0)
    assert weights_digest(body.state_dict()) == weights_digest(whole.state_dict())


def test_the_file_of_weights_is_found_from_home_and_from_here(
    small_state: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(small_state, tmp_path / "w.safetensors")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert Backbone(SMALL, "~/w.safetensors").source() == Backbone(SMALL, "w.safetensors").source()


def test_another_content_of_the_file_is_another_source(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(b"one")
    backbone = Backbone(SMALL, str(file))
    one = backbone.source()
    file.write_bytes(b"two")
    assert backbone.source() != one


def test_name_size_weights_and_the_seed_of_random_weights_are_in_the_source() -> None:
    backbones = [
        Backbone(),
        Backbone(size=64),
        Backbone(weights=RANDOM),
        Backbone(weights=RANDOM, seed=1),
        Backbone("resnet18"),
        Backbone("resnet34"),
    ]
    assert len({b.source() for b in backbones}) == len(backbones)
    assert Backbone(size=224).source() == Backbone().source() == Backbone(seed=9).source()


# ---------------------------------------------------------------- files that are refused


def test_weights_that_are_no_file_are_refused_with_the_place_and_a_hint() -> None:
    with pytest.raises(BackboneError, match=r"no file of weights at .*pretraind.*did you mean"):
        Backbone(SMALL, "pretraind").source()


def test_a_folder_of_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="no file of weights"):
        Backbone(SMALL, str(tmp_path)).build()


class RunsCode:
    """Unpickled, it makes a file."""

    def __init__(self, evidence: Path) -> None:
        self.evidence = evidence

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.evidence),)


@pytest.mark.parametrize("form", ["pickle", "torch", "torch inside a state dict", "old torch"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".pkl"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(
    form: str, suffix: str, tmp_path: Path
) -> None:
    evidence, file = tmp_path / "it-ran", tmp_path / f"weights{suffix}"
    bomb = RunsCode(evidence)
    if form == "pickle":
        file.write_bytes(pickle.dumps(bomb))
    elif form == "torch":
        torch.save(bomb, file)
    elif form == "old torch":
        torch.save({"weight": bomb}, file, _use_new_zipfile_serialization=False)
    else:
        torch.save({"state_dict": {"weight": torch.zeros(1)}, "extra": bomb}, file)
    with pytest.raises(BackboneError, match=str(file)):
        body_of(weights=str(file))
    assert not evidence.exists()
    if form == "pickle":  # the bomb itself works
        pickle.loads(file.read_bytes())
        assert evidence.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"\x00" * 64, b"\xff" * 64, b"{" * 999])
def test_a_file_of_anything_else_is_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(content)
    with pytest.raises(BackboneError, match=str(file)):
        body_of(weights=str(file))


def test_an_archive_of_anything_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "no weights")
    with pytest.raises(BackboneError, match=str(file)):
        body_of(weights=str(file))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_cut_short_is_refused(
    suffix: str, small_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(small_state, file)
    else:
        save_file(small_state, file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(BackboneError, match=str(file)):
        body_of(weights=str(file))


@pytest.mark.parametrize("held", [[1, 2], {}, {"epoch": 3}, {"a.weight": torch.zeros(1), "b": 2}])
def test_a_file_without_a_state_dict_is_refused(held: object, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save(held, file)
    with pytest.raises(BackboneError, match="holds no state dict|holds more than weights"):
        body_of(weights=str(file))


def test_weights_that_do_not_fit_name_the_keys(
    small_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    state = dict(small_state)
    del state["conv_stem.weight"]
    state["stem_conv.weight"] = torch.zeros(1)
    state["bn1.bias"] = torch.zeros(5)
    file = tmp_path / "weights.safetensors"
    save_file(state, file)
    with pytest.raises(BackboneError) as caught:
        body_of(weights=str(file))
    message = str(caught.value)
    assert "missing conv_stem.weight" in message
    assert "unexpected stem_conv.weight" in message
    assert "bn1.bias has the shape (5,) for (16,)" in message
    assert str(file) in message


def test_weights_of_another_network_name_some_keys_and_count_the_rest(
    small_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(small_state, file)
    with pytest.raises(BackboneError, match=r"do not fit: missing .* and \d+ more; unexpected "):
        body_of("resnet18", str(file))


# ---------------------------------------------------------------- no network


def test_without_network_and_weights_the_error_names_three_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    # A port that nobody listens on, and an empty cache of the hub's.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(BackboneError) as caught:
        body_of("resnet18", "pretrained")
    message = str(caught.value)
    assert "no weights for 'resnet18'" in message
    assert "'lite0'" in message
    assert "weights=FILE" in message
    assert "weights='random'" in message
    assert constants.HF_HUB_OFFLINE is False


# ---------------------------------------------------------------- digests


@given(
    shape=st.lists(st.integers(0, 3), max_size=3),
    kind=st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool]),
)
def test_a_digest_exists_for_tensors_of_any_shape_and_kind(
    shape: list[int], kind: torch.dtype
) -> None:
    one = torch.zeros(shape, dtype=kind)
    assert weights_digest({"a": one}) == weights_digest({"a": one.clone()})
    if one.numel():
        assert weights_digest({"a": one}) != weights_digest({"a": one + 1})
    assert weights_digest({"a": one}) != weights_digest({"b": one})
    assert weights_digest({"a": one}) != weights_digest({"a": one[None]})


def test_a_digest_does_not_depend_on_the_order_of_the_keys_or_on_strides() -> None:
    a, b = torch.rand(2, 3), torch.rand(3)
    assert weights_digest({"a": a, "b": b}) == weights_digest({"b": b, "a": a.T.contiguous().T})
