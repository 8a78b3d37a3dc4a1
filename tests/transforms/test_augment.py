"""Changing pictures at random, each by its own seed."""

import dataclasses
import json
import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from secchi.data.pictures import read_picture
from secchi.errors import SpecError
from secchi.transforms import augment
from secchi.transforms.augment import AUGMENTATIONS, Augmentation
from secchi.transforms.images import ImageTransform

SMALL = ImageTransform(size=28, crop=0.875)
MANY = range(600)
EVERYTHING = Augmentation(
    flip=True,
    symmetries=True,
    rotation=30,
    max_zoom=1.5,
    shift=True,
    lighting=0.3,
    crop_scale=(0.3, 0.9),
    trivial=True,
    erasing=0.5,
)

shares = st.floats(0.01, 1)
augmentations = st.builds(
    Augmentation,
    name=st.sampled_from(sorted(AUGMENTATIONS)),
    flip=st.booleans(),
    symmetries=st.booleans(),
    rotation=st.floats(0, 180),
    max_zoom=st.floats(1, 10),
    shift=st.booleans(),
    lighting=st.floats(0, 0.99),
    crop_scale=st.none() | st.tuples(shares, shares).map(sorted).map(tuple),
    trivial=st.booleans(),
    erasing=st.floats(0, 1),
    mixup=st.floats(0, 100),
    cutmix=st.floats(0, 100),
)
seeds_of_pictures = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=8)


def smooth(side: int, count: int = 1, seed: int = 0) -> np.ndarray:
    """Pictures without symmetry whose levels change slowly, (count, side, side, 3)."""
    phases = np.random.default_rng(seed).uniform(0, 6, (count, 1, 1, 3))
    y, x = np.mgrid[:side, :side][..., None] / side
    waves = np.sin(5 * x + 3 * y * y + phases) + np.cos(4 * y - x + 2 * phases)
    return (128 + 60 * waves).round().astype(np.uint8)


def noise(side: int, count: int = 1) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, side, side, 3)).astype(np.uint8)


def middle(canvas: np.ndarray, size: int) -> np.ndarray:
    margin = (canvas.shape[1] - size) // 2
    return canvas[:, margin : margin + size, margin : margin + size]


def eight(picture: np.ndarray) -> list[np.ndarray]:
    """The eight symmetries of a square picture."""
    return [np.rot90(side, turns) for side in (picture, picture[:, ::-1]) for turns in range(4)]


# The canvas, and what comes out of it when nothing is changed.


def test_the_canvas_holds_the_whole_shorter_side_in_the_same_resolution() -> None:
    transform = ImageTransform(224, 0.875, "bilinear", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    wanted = dataclasses.replace(transform, size=256, crop=1.0)
    assert AUGMENTATIONS["side_on"].canvas(transform) == wanted


@settings(deadline=None)
@given(st.integers(1, 500), st.floats(0.2, 1))
def test_the_canvas_leaves_the_same_whole_margin_on_all_sides(size: int, crop: float) -> None:
    side = Augmentation().canvas(ImageTransform(size=size, crop=crop)).size
    assert (side - size) % 2 == 0
    assert abs(side - size / crop) <= 1
    assert side == size or crop < 1


def test_the_largest_transform_has_a_canvas() -> None:
    assert Augmentation().canvas(ImageTransform(size=4096, crop=0.875)).size == 4096


@pytest.mark.parametrize(("size", "crop"), [(224, 0.875), (28, 0.875), (30, 1.0), (36, 0.75)])
def test_without_augmentation_the_middle_of_the_canvas_comes_out(size: int, crop: float) -> None:
    transform = ImageTransform(size=size, crop=crop)
    canvas = noise(Augmentation().canvas(transform).size, 2)
    result = Augmentation().apply(canvas, [0, 1], transform)
    assert result.dtype == np.uint8
    assert (result == middle(canvas, size)).all()


def test_without_augmentation_a_photograph_is_what_the_transform_gives(dogscats: Path) -> None:
    """Where windows are whole pixels of the photograph, a canvas and its middle are the same."""
    transform = ImageTransform()
    paths = sorted((dogscats / "train").glob("*/*.jpg"))[::250]
    photographs = [read_picture(str(path))[:320, :320] for path in paths]
    photographs = [pixels for pixels in photographs if pixels.shape[:2] == (320, 320)]
    assert len(photographs) >= 3
    canvas_of = Augmentation().canvas(transform)
    canvases = np.stack([canvas_of(pixels) for pixels in photographs])
    result = Augmentation().apply(canvases, range(len(canvases)), transform).astype(int)
    apart = abs(result - np.stack([transform(pixels) for pixels in photographs]))
    assert apart.mean() < 0.2
    assert apart.max() <= 8


def test_any_photograph_is_nearly_what_the_transform_gives(dogscats: Path) -> None:
    """The transform rounds its window to whole pixels, so edges lie up to half a pixel apart."""
    transform = ImageTransform()
    paths = sorted((dogscats / "train").glob("*/*.jpg"))[::200]
    photographs = [read_picture(str(path)) for path in paths]
    canvas_of = Augmentation().canvas(transform)
    canvases = np.stack([canvas_of(pixels) for pixels in photographs])
    result = Augmentation().apply(canvases, range(len(canvases)), transform).astype(int)
    apart = abs(result - np.stack([transform(pixels) for pixels in photographs]))
    assert apart.mean() < 3


# Seeds.


@pytest.mark.parametrize("name", sorted(set(AUGMENTATIONS) - {"none"}))
def test_the_same_seed_gives_the_same_picture_and_another_gives_another(name: str) -> None:
    canvas = np.repeat(smooth(32), 12, axis=0)
    augmentation = Augmentation.named(name, erasing=0.5)
    first = augmentation.apply(canvas, range(12), SMALL)
    assert (first == augmentation.apply(canvas, range(12), SMALL)).all()
    assert len({picture.tobytes() for picture in first}) > 8


@settings(max_examples=25, deadline=None)
@given(
    augmentations,
    seeds_of_pictures,
    st.integers(5, 40),
    st.randoms(use_true_random=False),
)
def test_neighbours_and_order_change_no_bit(
    augmentation: Augmentation, seeds: list[int], size: int, order: random.Random
) -> None:
    transform = ImageTransform(size=size)
    canvas = noise(augmentation.canvas(transform).size, len(seeds))
    together = augmentation.apply(canvas, seeds, transform)
    places = list(range(len(seeds)))
    order.shuffle(places)
    moved = augmentation.apply(canvas[places], [seeds[place] for place in places], transform)
    assert (moved == together[places]).all()
    for place, seed in enumerate(seeds):
        alone = augmentation.apply(canvas[place : place + 1], [seed], transform)
        assert (alone[0] == together[place]).all()


def test_more_pictures_than_are_sampled_together_change_no_bit() -> None:
    canvas = noise(32, 21)
    together = EVERYTHING.apply(canvas, range(21), SMALL)
    for start in range(0, 21, 5):
        some = range(start, min(start + 5, 21))
        assert (EVERYTHING.apply(canvas[start : start + 5], some, SMALL) == together[some]).all()


def test_threads_get_what_one_thread_gets() -> None:
    canvas = noise(32, 8)
    alone = [EVERYTHING.apply(canvas, range(n, n + 8), SMALL) for n in range(16)]
    with ThreadPoolExecutor(4) as threads:
        beside = threads.map(lambda n: EVERYTHING.apply(canvas, range(n, n + 8), SMALL), range(16))
        assert all((mine == theirs).all() for mine, theirs in zip(alone, beside, strict=True))


def test_no_global_generator_is_used() -> None:
    def states() -> tuple[object, ...]:
        numpys = np.random.get_state()
        return torch.get_rng_state().tolist(), numpys[1].tolist(), numpys[2], random.getstate()

    before = states()
    EVERYTHING.apply(noise(32, 20), range(20), SMALL)
    for seed in range(4):
        Augmentation(mixup=1, cutmix=1).mix(
            torch.rand(4, 3, 8, 8, generator=torch.Generator()), seed
        )
    assert states() == before
    # They have no say either.
    canvas = noise(32, 20)
    first = EVERYTHING.apply(canvas, range(20), SMALL)
    torch.rand(1)
    assert (first == EVERYTHING.apply(canvas, range(20), SMALL)).all()


def test_numpy_seeds_are_seeds() -> None:
    canvas = noise(32, 3)
    seeds = [5, 2**63 - 1, 0]
    mine = EVERYTHING.apply(canvas, np.array(seeds), SMALL)  # type: ignore[arg-type]
    assert (mine == EVERYTHING.apply(canvas, seeds, SMALL)).all()


def test_a_picture_without_a_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="2 pictures and 1 seeds"):
        Augmentation().apply(noise(32, 2), [1], SMALL)


def test_no_pictures_and_read_only_pictures_are_taken() -> None:
    assert EVERYTHING.apply(noise(32, 0), [], SMALL).shape == (0, 28, 28, 3)
    canvas = noise(32, 2)
    wanted = EVERYTHING.apply(canvas, [1, 2], SMALL)
    before = canvas.copy()
    canvas.flags.writeable = False
    assert (EVERYTHING.apply(canvas, [1, 2], SMALL) == wanted).all()
    assert (EVERYTHING.apply(canvas[::-1][::-1], [1, 2], SMALL) == wanted).all()
    assert (canvas == before).all()


# What is drawn.


@settings(deadline=None)
@given(augmentations, seeds_of_pictures)
def test_what_is_drawn_is_within_what_was_asked_for(
    augmentation: Augmentation, seeds: list[int]
) -> None:
    draws = augmentation.draw(seeds, SMALL, 32)
    assert ((draws.zoom >= 1) & (draws.zoom <= augmentation.max_zoom)).all()
    assert (abs(draws.angle) <= augmentation.rotation).all()
    assert (abs(draws.brightness - 1) <= augmentation.lighting + 1e-12).all()
    assert (abs(draws.contrast - 1) <= augmentation.lighting + 1e-12).all()
    assert set(draws.turns) <= ({0, 1, 2, 3} if augmentation.symmetries else {0})
    if not (augmentation.flip or augmentation.symmetries):
        assert not draws.mirrored.any()
    if not augmentation.trivial:
        assert set(draws.operation) == {"Identity"}
    left, top, width, height = draws.erased.T
    assert (draws.erased >= 0).all()
    assert (left + width <= 1).all()
    assert (top + height <= 1).all()
    width, height = (draws.window * draws.zoom[:, None]).T
    if augmentation.crop_scale is None:
        np.testing.assert_allclose([width, height], SMALL.crop)
    else:
        low, high = augmentation.crop_scale
        assert ((low - 1e-9 <= width * height) & (width * height <= high + 1e-9)).all()
        assert ((width / height >= 0.75 - 1e-9) & (width / height <= 4 / 3 + 1e-9)).all()
        assert (np.maximum(width, height) <= 1 + 1e-9).all()


def test_what_is_drawn_covers_what_was_asked_for() -> None:
    draws = EVERYTHING.draw(MANY, SMALL, 32)
    area = (draws.window * draws.zoom[:, None]).prod(axis=1)
    for values, low, high in (
        (draws.angle, -30, 30),
        (draws.zoom, 1, 1.5),
        (draws.brightness, 0.7, 1.3),
        (draws.contrast, 0.7, 1.3),
        (area, 0.3, 0.9),
    ):
        span = high - low
        assert values.min() < low + 0.02 * span
        assert values.max() > high - 0.02 * span
        assert abs(values.mean() - (low + high) / 2) < 0.05 * span
    assert 0.4 < draws.mirrored.mean() < 0.6
    assert 0.4 < (draws.erased[:, 2] > 0).mean() < 0.6
    erased = draws.erased[:, 2:].prod(axis=1)
    assert 0.02 <= erased[erased > 0].min() < 0.03
    assert 0.32 < erased.max() <= 0.33 + 1e-9


def test_seeds_and_what_is_drawn_from_one_seed_are_unrelated() -> None:
    drawn = np.stack(list(augment._uniform(MANY).values()))
    assert len(np.unique(drawn)) == drawn.size
    related = np.corrcoef(np.vstack([drawn, np.arange(len(MANY))]))
    assert abs(related - np.eye(len(related))).max() < 0.2
    following = [np.corrcoef(row[1:], row[:-1])[0, 1] for row in drawn]
    assert np.abs(following).max() < 0.15


def test_what_is_drawn_for_one_picture_is_unrelated() -> None:
    draws = EVERYTHING.draw(MANY, SMALL, 32)
    width, height = (draws.window * draws.zoom[:, None]).T
    operations = np.array([list(augment._OPERATIONS).index(name) for name in draws.operation])
    erased = draws.erased[:, 2] > 0
    columns = [draws.mirrored, draws.turns, draws.angle, draws.zoom, width * height, width / height]
    columns += [*draws.centre.T, draws.brightness, draws.contrast, operations, erased]
    related = np.corrcoef(np.array(columns, dtype=float))
    assert abs(related - np.eye(len(columns))).max() < 0.2


@pytest.mark.parametrize(
    "change",
    [{"flip": False}, {"rotation": 0}, {"lighting": 0}, {"trivial": False}, {"erasing": 0}],
)
def test_switching_one_thing_off_changes_nothing_else_that_is_drawn(change: dict[str, int]) -> None:
    start = dataclasses.replace(EVERYTHING, symmetries=False, crop_scale=(0.3, 0.4))
    before, after = (
        a.draw(range(50), SMALL, 32) for a in (start, dataclasses.replace(start, **change))
    )
    concerned = {
        "flip": {"mirrored"},
        "rotation": {"angle", "centre"},
        "lighting": {"brightness", "contrast"},
        "trivial": {"operation", "magnitude"},
        "erasing": {"erased"},
    }[next(iter(change))]
    for field in dataclasses.fields(before):
        same = (getattr(before, field.name) == getattr(after, field.name)).all()
        assert same == (field.name not in concerned)


@settings(deadline=None)
@given(augmentations, seeds_of_pictures, st.integers(4, 300))
def test_what_is_seen_lies_in_the_canvas_where_it_fits(
    augmentation: Augmentation, seeds: list[int], side: int
) -> None:
    augmentation = dataclasses.replace(augmentation, trivial=False)
    draws = augmentation.draw(seeds, SMALL, side)
    corners = np.array([[x, y, 1] for x in (-1, 1) for y in (-1, 1)])
    seen = draws.maps(SMALL.size) @ corners.T
    reach = (seen.max(axis=2) - seen.min(axis=2)) / 2
    assert (abs(seen).max(axis=2) <= np.maximum(reach, 1) + 1e-6).all()
    moves = augmentation.shift or augmentation.crop_scale
    if not moves:
        assert (draws.centre == 0.5).all()
    # Where it does not fit it lies in the middle.
    np.testing.assert_allclose(np.where(reach > 1 + 1e-6, draws.centre, 0.5), 0.5, atol=1e-9)


# Geometry.


def test_a_flip_is_the_exact_mirror_image_every_second_time() -> None:
    canvas = np.repeat(noise(32), 200, axis=0)
    result = Augmentation(flip=True).apply(canvas, range(200), SMALL)
    plain = middle(canvas, 28)[0]
    mirrored = [bool((picture == plain[:, ::-1]).all()) for picture in result]
    upright = [bool((picture == plain).all()) for picture in result]
    assert all(a != b for a, b in zip(mirrored, upright, strict=True))
    assert 70 < sum(mirrored) < 130


@pytest.mark.parametrize("flip", [False, True])
def test_all_eight_symmetries_occur_alike_and_are_exact(flip: bool) -> None:
    canvas = np.repeat(noise(32), 400, axis=0)
    result = Augmentation(symmetries=True, flip=flip).apply(canvas, range(400), SMALL)
    wanted = eight(middle(canvas, 28)[0])
    counts = [sum(bool((picture == one).all()) for picture in result) for one in wanted]
    assert sum(counts) == 400
    assert min(counts) > 25


def test_a_shift_alone_keeps_every_pixel_and_reaches_every_place() -> None:
    canvas = np.repeat(noise(32), 400, axis=0)
    result = Augmentation(shift=True).apply(canvas, range(400), SMALL)
    places = [
        (top, left)
        for picture in result
        for top in range(5)
        for left in range(5)
        if (picture == canvas[0, top : top + 28, left : left + 28]).all()
    ]
    assert len(places) == 400
    assert len(set(places)) == 25


def test_zoom_sees_a_smaller_part_of_the_middle() -> None:
    draws = Augmentation(max_zoom=3).draw(MANY, SMALL, 32)
    maps = draws.maps(28)
    np.testing.assert_allclose(maps[:, 0, 0], 0.875 / draws.zoom)
    np.testing.assert_allclose(maps[:, 1, 1], 0.875 / draws.zoom)
    assert not maps[:, [0, 0, 1, 1], [1, 2, 0, 2]].any()


def test_a_rotation_is_torchvisions() -> None:
    transform = ImageTransform(size=48, crop=1)
    canvas = np.repeat(smooth(48), 6, axis=0)
    augmentation = Augmentation(rotation=180)
    angles = augmentation.draw(range(6), transform, 48).angle
    result = augmentation.apply(canvas, range(6), transform)
    for picture, angle in zip(result, angles, strict=True):
        image = torch.from_numpy(canvas[0]).permute(2, 0, 1)
        # Into white and into black: pixels that differ are partly from outside.
        white, black = (
            functional.rotate(image, angle, v2.InterpolationMode.BILINEAR, fill=fill)
            for fill in (255, 0)
        )
        inside = (white == black).permute(1, 2, 0).numpy()
        assert inside.mean() > 0.7
        theirs = black.permute(1, 2, 0).numpy().astype(int)
        assert abs(picture - theirs)[inside].max() <= 1


@pytest.mark.parametrize("crop", [0.875, 1.0])
@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_there_are_no_black_corners(name: str, crop: float) -> None:
    transform = ImageTransform(size=28, crop=crop)
    augmentation = Augmentation.named(name, lighting=0, trivial=False, rotation=45)
    side = augmentation.canvas(transform).size
    white = np.full((40, side, side, 3), 255, np.uint8)
    assert (augmentation.apply(white, range(40), transform) == 255).all()


# Lighting.


def test_lighting_is_torchvisions_brightness_and_then_contrast() -> None:
    transform = ImageTransform(size=64, crop=1)
    canvas = np.repeat(smooth(64) // 2 + 40, 20, axis=0)  # nothing becomes black or white
    augmentation = Augmentation(lighting=0.3)
    draws = augmentation.draw(range(20), transform, 64)
    result = augmentation.apply(canvas, range(20), transform)
    image = torch.from_numpy(canvas[0]).permute(2, 0, 1) / 255
    for picture, brightness, contrast in zip(result, draws.brightness, draws.contrast, strict=True):
        brighter = functional.adjust_brightness(image, brightness)
        theirs = 255 * functional.adjust_contrast(brighter, contrast)
        assert abs(picture - theirs.permute(1, 2, 0).numpy()).max() < 1.5


def test_lighting_stays_within_the_levels() -> None:
    canvas = np.zeros((20, 32, 32, 3), np.uint8)
    canvas[:, :, 16:] = 255
    result = Augmentation(lighting=0.9).apply(canvas, range(20), SMALL).astype(int)
    assert (result[:, :, 20:] >= result[:, :, :8]).all()


# TrivialAugmentWide.


def drawn(operation: str, magnitude: float) -> augment.Draws:
    draws = Augmentation().draw([0], ImageTransform(size=64, crop=1), 64)
    return dataclasses.replace(
        draws, operation=np.array([operation]), magnitude=np.array([magnitude])
    )


def test_the_operations_and_their_strengths_are_torchvisions() -> None:
    space = v2.TrivialAugmentWide._AUGMENTATION_SPACE
    assert list(space) == list(augment._OPERATIONS)
    draws = Augmentation(trivial=True).draw(range(4000), SMALL, 32)
    for name, (strengths, signed) in space.items():
        mine = set(draws.magnitude[draws.operation == name].round(6))
        assert len(draws.magnitude[draws.operation == name]) > 200
        theirs = strengths(31, 28, 28)
        if theirs is None:
            assert mine == {0}
            continue
        if name == "Posterize":
            mine = {round(bits) for bits in mine}
        wanted = {round(float(value), 6) for value in theirs}
        if signed:
            wanted |= {-value for value in wanted}
        assert len(mine) >= 0.9 * len(wanted)
        apart = [min(abs(value - one) for one in wanted) for value in mine]
        assert max(apart) < 1e-5


@pytest.mark.parametrize(
    ("operation", "magnitude"),
    [
        *(("ShearX", 0.4), ("ShearX", -0.7), ("ShearY", 0.3), ("ShearY", -0.3)),
        *(("TranslateX", 7.5), ("TranslateX", -7.5), ("TranslateY", 20.3), ("TranslateY", -3.0)),
        *(("Rotate", 30.0), ("Rotate", -100.0), ("Rotate", 135.0)),
    ],
)
def test_what_moves_pixels_is_torchvisions(operation: str, magnitude: float) -> None:
    canvas = smooth(64)
    result = np.empty_like(canvas)
    augment._sample(canvas, drawn(operation, magnitude).maps(64), None, None, result)
    image = torch.from_numpy(canvas[0]).permute(2, 0, 1)
    white, black = (
        v2.TrivialAugmentWide()._apply_image_or_video_transform(
            image, operation, magnitude, v2.InterpolationMode.BILINEAR, {torch.Tensor: fill}
        )
        for fill in ([255.0], [0.0])
    )
    inside = (white == black).permute(1, 2, 0).numpy()
    assert 0.5 < inside.mean() < 1
    apart = abs(result[0].astype(int) - black.permute(1, 2, 0).numpy())
    assert apart[inside].max() <= 1


@pytest.mark.parametrize(
    ("operation", "magnitude"),
    [
        *((name, by) for name in ("Brightness", "Color", "Contrast") for by in (-0.5, 0.9)),
        *(("Sharpness", 0.9), ("Posterize", 3.0), ("Solarize", 0.4)),
        *(("AutoContrast", 0.0), ("Equalize", 0.0)),
    ],
)
def test_what_changes_colours_is_torchvisions(operation: str, magnitude: float) -> None:
    pictures = smooth(64)
    image = torch.from_numpy(pictures[0].copy()).permute(2, 0, 1)
    augment._recolour(pictures, drawn(operation, magnitude))
    theirs = v2.TrivialAugmentWide()._apply_image_or_video_transform(
        image, operation, magnitude, v2.InterpolationMode.BILINEAR, {}
    )
    assert (pictures[0] == theirs.permute(1, 2, 0).numpy()).all()
    assert (pictures != smooth(64)).any()


# Erasing.


def test_erasing_paints_one_rectangle_in_the_mean_colour() -> None:
    transform = ImageTransform(size=60, crop=1, mean=(0.485, 0.456, 0.406), std=(0.2, 0.2, 0.2))
    canvas = np.full((100, 60, 60, 3), 255, np.uint8)
    result = Augmentation(erasing=0.5).apply(canvas, range(100), transform)
    areas = []
    for picture in result:
        rows, columns = np.nonzero((picture != 255).all(axis=2))
        if len(rows):
            top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
            painted = picture[top:bottom, left:right]
            assert len(rows) == (bottom - top) * (right - left)
            assert abs(transform.normalize(painted)).max() < 0.02
            areas.append(len(rows) / 60**2)
    assert 35 < len(areas) < 65
    assert min(areas) > 0.015
    assert max(areas) < 0.36


# Mixing.


def batch(rows: int = 6, height: int = 10, width: int = 8) -> torch.Tensor:
    return torch.rand(rows, 3, height, width, generator=torch.Generator().manual_seed(0))


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1), st.floats(0.01, 100), st.integers(2, 9))
def test_mixup_is_the_combination_that_it_states(seed: int, alpha: float, rows: int) -> None:
    inputs = batch(rows)
    before = inputs.clone()
    mixed, own = Augmentation(mixup=alpha).mix(inputs, seed)
    assert own is not None
    assert own.shape == (rows,)
    assert ((own >= 0) & (own <= 1)).all()
    share = own[:, None, None, None]
    torch.testing.assert_close(mixed, share * inputs + (1 - share) * inputs.roll(1, 0))
    assert torch.equal(inputs, before)


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1), st.floats(0.01, 100), st.integers(1, 12), st.integers(1, 12))
def test_cutmix_lays_a_rectangle_of_the_stated_share_into_each_row(
    seed: int, alpha: float, height: int, width: int
) -> None:
    inputs = batch(4, height, width)
    before = inputs.clone()
    mixed, own = Augmentation(cutmix=alpha).mix(inputs, seed)
    assert own is not None
    neighbours = inputs.roll(1, 0)
    laid = (mixed == neighbours).all(dim=1)
    assert ((mixed == inputs).all(dim=1) | laid).all()
    torch.testing.assert_close(own, 1 - laid.float().mean(dim=(1, 2)))
    assert torch.equal(inputs, before)
    rows, columns = laid[0].any(dim=1), laid[0].any(dim=0)
    assert laid[0].sum() == rows.sum() * columns.sum()


@pytest.mark.parametrize("theirs", [v2.MixUp, v2.CutMix])
def test_the_partner_is_torchvisions(theirs: type[v2.Transform]) -> None:
    rows = torch.arange(5)
    inputs = batch(5, 12, 12)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        mixed, labels = theirs(alpha=1.0, num_classes=5)(inputs, rows)
    own = labels.diagonal()
    one_hot = torch.eye(5)
    torch.testing.assert_close(
        labels, own[:, None] * one_hot + (1 - own)[:, None] * one_hot.roll(1, 0)
    )
    if theirs is v2.MixUp:
        share = own[:, None, None, None]
        torch.testing.assert_close(mixed, share * inputs + (1 - share) * inputs.roll(1, 0))
    else:
        assert ((mixed == inputs) | (mixed == inputs.roll(1, 0))).all()


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 0.999), st.floats(0, 0.999), st.integers(1, 50))
def test_the_rectangle_is_torchvisions(own: float, x: float, y: float, size: int) -> None:
    """Their formula with their names, given what they would draw."""
    left, top, right, bottom = augment._cut(own, np.array([x, y]), size, 2 * size)
    r_x, r_y = int(size * x), int(2 * size * y)
    r = 0.5 * np.sqrt(1.0 - own)
    r_w_half, r_h_half = int(r * size), int(r * 2 * size)
    assert (left, right) == (max(r_x - r_w_half, 0), min(r_x + r_w_half, size))
    assert (top, bottom) == (max(r_y - r_h_half, 0), min(r_y + r_h_half, 2 * size))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    inputs = torch.zeros(2, 1, 1, 1)
    owns = [Augmentation(mixup=alpha).mix(inputs, seed)[1] for seed in range(400)]
    shares = torch.stack([own[0] for own in owns if own is not None]).double()
    assert abs(shares.mean() - 0.5) < 0.06
    assert abs(shares.var() / (1 / (4 * (2 * alpha + 1))) - 1) < 0.25


def test_with_both_each_batch_gets_one_of_the_two_by_its_seed() -> None:
    inputs = batch()
    both = Augmentation(mixup=1, cutmix=1)
    cuts = 0
    for seed in range(100):
        mixed, own = both.mix(inputs, seed)
        again, same = both.mix(inputs, seed)
        assert torch.equal(mixed, again)
        assert own is not None
        assert same is not None
        assert torch.equal(own, same)
        cuts += bool(((mixed == inputs) | (mixed == inputs.roll(1, 0))).all())
    assert 30 < cuts < 70


def test_nothing_is_mixed_where_nothing_is_asked_for_or_a_row_is_alone() -> None:
    inputs = batch()
    assert Augmentation(flip=True).mix(inputs, 0) == (inputs, None)
    alone = batch(1)
    assert Augmentation(mixup=1, cutmix=1).mix(alone, 0) == (alone, None)


def test_mixup_takes_features_and_cutmix_says_that_it_does_not() -> None:
    features = torch.rand(4, 7, generator=torch.Generator().manual_seed(0))
    mixed, own = Augmentation(mixup=1).mix(features, 0)
    assert own is not None
    torch.testing.assert_close(
        mixed, own[:, None] * features + (1 - own[:, None]) * features.roll(1, 0)
    )
    with pytest.raises(SpecError, match=r"cutmix needs pictures .* not \(7,\)"):
        Augmentation(mixup=1, cutmix=1).mix(features, 0)


def test_mixing_keeps_type_and_layout() -> None:
    inputs = batch().bfloat16().to(memory_format=torch.channels_last)
    for augmentation in (Augmentation(mixup=1), Augmentation(cutmix=1)):
        mixed, own = augmentation.mix(inputs, 1)
        assert mixed.dtype == torch.bfloat16
        assert mixed.is_contiguous(memory_format=torch.channels_last)
        assert own is not None
        assert own.dtype == torch.float32


# The named ones.


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_each_named_one_gives_pictures_like_the_originals(
    name: str, make_pictures: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_pictures(tmp_path / "pictures", per_class=4)
    transform = ImageTransform(size=48)
    augmentation = AUGMENTATIONS[name]
    assert augmentation.name == name
    canvas_of = augmentation.canvas(transform)
    pictures = [read_picture(str(path)) for path in sorted(folder.glob("*/*.png"))]
    canvas = np.stack([canvas_of(pixels) for pixels in pictures])
    views = [
        augmentation.apply(canvas, range(8 * view, 8 * view + 8), transform) for view in range(12)
    ]
    originals = np.stack([transform(pixels) for pixels in pictures])
    for view in views:
        assert view.dtype == np.uint8
        assert view.shape == (8, 48, 48, 3)
        assert view.flags.c_contiguous
        if name != "trivial_augment":
            assert (view.std(axis=(1, 2)) > 10).all()
            assert abs(view.mean(axis=(1, 2)) - originals.mean(axis=(1, 2))).max() < 40
    apart = np.stack(views).mean(axis=(0, 2, 3)) - originals.mean(axis=(1, 2))
    assert abs(apart).max() < (40 if name == "trivial_augment" else 12)


def test_what_the_named_ones_do() -> None:
    assert list(AUGMENTATIONS)[:4] == ["none", "basic", "side_on", "top_down"]
    assert AUGMENTATIONS["none"] == Augmentation()
    side_on = AUGMENTATIONS["side_on"]
    assert (side_on.flip, side_on.rotation, side_on.symmetries) == (True, 10, False)
    assert 0.05 <= side_on.lighting <= 0.1
    top_down = dataclasses.replace(side_on, name="top_down", symmetries=True)
    assert AUGMENTATIONS["top_down"] == top_down


def test_what_an_augmentation_does_is_told() -> None:
    assert not AUGMENTATIONS["none"].alters
    assert not AUGMENTATIONS["none"].mixes
    for name in set(AUGMENTATIONS) - {"none"}:
        assert AUGMENTATIONS[name].alters
        assert not AUGMENTATIONS[name].mixes
    for mixing in (Augmentation(mixup=0.2), Augmentation(cutmix=0.2)):
        assert mixing.mixes
        assert not mixing.alters


# As data.


@settings(deadline=None)
@given(augmentations)
def test_an_augmentation_survives_json(augmentation: Augmentation) -> None:
    document = json.loads(json.dumps(augmentation.to_dict(), allow_nan=False))
    assert document.pop("version") == 1
    back = Augmentation(**document)
    assert back == augmentation
    assert hash(back) == hash(augmentation)


@settings(deadline=None)
@given(augmentations, augmentations)
def test_different_augmentations_are_different_documents(
    one: Augmentation, other: Augmentation
) -> None:
    assume(one != other)
    assert one.to_dict() != other.to_dict()


def test_numpys_numbers_and_lists_become_plain() -> None:
    mine = Augmentation(
        flip=np.bool_(True),  # type: ignore[arg-type]
        rotation=np.float32(10),  # type: ignore[arg-type]
        lighting=np.float32(0.5),  # type: ignore[arg-type]
        crop_scale=[np.float64(0.5), 1],  # type: ignore[arg-type]
    )
    plain = Augmentation(flip=True, rotation=10, lighting=0.5, crop_scale=(0.5, 1))
    assert mine == plain
    assert repr(mine) == repr(plain)
    assert hash(mine) == hash(plain)
    json.dumps(mine.to_dict())


def test_a_named_one_can_be_changed() -> None:
    mine = Augmentation.named("side_on", max_zoom=1.1, mixup=0.2)
    assert mine == dataclasses.replace(AUGMENTATIONS["side_on"], max_zoom=1.1, mixup=0.2)
    assert mine.name == "side_on"
    assert AUGMENTATIONS["side_on"].max_zoom == 1


def test_every_fault_of_a_named_one_is_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        Augmentation.named("side_up", max_zom=1.1, rotation=200, lighting=1.0)
    assert len(caught.value.faults) == 4
    for words in ("did you mean side_on?", "did you mean max_zoom?", "rotation is 200", "lighting"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        {"flip": 1},
        {"symmetries": "yes"},
        {"shift": None},
        {"trivial": 0.5},
        {"rotation": -1},
        {"rotation": float("nan")},
        {"max_zoom": 0.9},
        {"max_zoom": float("inf")},
        {"max_zoom": True},
        {"lighting": 1},
        {"lighting": "0.1"},
        {"crop_scale": 0.5},
        {"crop_scale": (0.0, 1.0)},
        {"crop_scale": (0.9, 0.5)},
        {"crop_scale": (0.5, 1.1)},
        {"crop_scale": (0.5, float("nan"))},
        {"crop_scale": (0.5, 0.7, 1)},
        {"crop_scale": (0.5, "1")},
        {"erasing": 1.5},
        {"mixup": -0.1},
        {"cutmix": None},
    ],
)
def test_a_value_that_cannot_be_is_refused(fault: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=f"this augmentation cannot be: {next(iter(fault))} is"):
        Augmentation(**fault)  # type: ignore[arg-type]


def test_the_module_loads_without_torch() -> None:
    code = "import sys, secchi.transforms.augment as a; a.Augmentation.named('side_on').to_dict()"
    check = "; sys.exit(any(name in sys.modules for name in ('torch', 'torchvision')))"
    assert subprocess.run([sys.executable, "-c", code + check], timeout=60).returncode == 0
