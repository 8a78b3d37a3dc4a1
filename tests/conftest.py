"""What the tests share: isolation, a body made ready once, and pictures made on the spot."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secchi.features.cache import FeatureCache

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

MakePictures = Callable[..., Path]


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has its own cache and working folder; nothing of the person's is touched."""
    monkeypatch.setenv("SECCHI_CACHE", str(tmp_path / "own-cache"))
    monkeypatch.setenv("SECCHI_LEDGER", str(tmp_path / "own-ledger.sqlite"))
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache")


@pytest.fixture(scope="session")
def lite0_cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    """A cache in which lite0 at 224 and at 64 pixels is ready: conversion takes seconds."""
    from secchi.features.prepare import Preparation
    from secchi.models.backbones import Backbone

    cache = FeatureCache(tmp_path_factory.mktemp("lite0-cache"))
    for size in (224, 64):
        Preparation(Backbone(size=size), cache).wait()
    return cache


@pytest.fixture(scope="session")
def dogscats() -> Path:
    """2,000 training and 1,000 validation photographs of cats and dogs."""
    folder = SHARED / "dogscats"
    if not folder.is_dir():
        pytest.skip("the photographs of cats and dogs are not on this machine")
    return folder


@pytest.fixture(scope="session")
def make_pictures() -> MakePictures:
    return _make_pictures


def _make_pictures(
    folder: Path,
    classes: tuple[str, ...] = ("blue", "red"),
    per_class: int = 10,
    size: int = 64,
    seed: int = 0,
    suffix: str = ".png",
) -> Path:
    """Write noisy pictures, a folder a class, each class with a colour and a stripe of its own."""
    random = np.random.default_rng(seed)
    for number, name in enumerate(classes):
        color = np.array([(60 * number) % 256, (40 + 90 * number) % 256, 200 - 50 * number])
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        for picture in range(per_class):
            pixels = color + random.normal(0, 25, (size, size, 3))
            pixels[:, (7 * number) % size :: 16] = 255
            image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            image.save(place / f"{name}_{seed}_{picture}{suffix}")
    return folder
