"""Versions of pictures: drawn by content, seed and number alone, whatever is computed beside."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from secchi.data.pictures import Scratch, read_picture
from secchi.errors import PictureError
from secchi.features.cache import FeatureCache, FeatureTable, Space
from secchi.features.extract import DecodedPixels, Ready, extract
from secchi.features.views import (
    PLAIN,
    AugmentedPixels,
    DrawnViews,
    PicturePixels,
    View,
    seeds_of,
)
from secchi.transforms.augment import AUGMENTATIONS, Augmentation
from secchi.transforms.images import ImageTransform, Pixels

TRANSFORM = ImageTransform(size=32)
SIDE_ON = Augmentation.named("side_on", max_zoom=1.2)
NAMES = sorted(AUGMENTATIONS)

Files = list[tuple[bytes, str]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, make_pictures: Callable[..., Path]) -> Files:
    """Twenty pictures of several shapes: their digests and paths."""
    folder = make_pictures(tmp_path_factory.mktemp("pictures"), size=48)
    paths = sorted(folder.rglob("*.png"))
    Image.open(paths[3]).resize((60, 40)).save(paths[3])
    Image.open(paths[4]).resize((33, 90)).save(paths[4])
    return [(hashlib.sha256(path.read_bytes()).digest(), str(path)) for path in paths]


def seen(view: View, files: Files, transform: ImageTransform = TRANSFORM) -> Pixels:
    pixels, faults = view.pixels(files, transform, Scratch())
    assert faults == {}
    return pixels


def split_up(files: Files, sizes: Sequence[int]) -> list[Files]:
    chunks, start = [], 0
    for size in sizes:
        chunks.append(files[start : start + size])
        start += size
    return [*chunks, files[start:]]


# ---------------------------------------------------------------- one version of every picture


def test_without_augmentation_pictures_are_what_the_transform_gives(files: Files) -> None:
    wanted = [TRANSFORM(read_picture(file, TRANSFORM.shorter_side)) for _, file in files]
    assert np.array_equal(seen(PLAIN, files), np.stack(wanted))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
def test_an_augmented_view_is_what_the_augmentation_gives(files: Files, name: str) -> None:
    augmentation = Augmentation.named(name)
    canvas = augmentation.canvas(TRANSFORM)
    pictures = np.stack([canvas(read_picture(file, canvas.shorter_side)) for _, file in files])
    seeds = seeds_of([digest for digest, _ in files], 3, "view 2")
    wanted = augmentation.apply(pictures, seeds, TRANSFORM)
    assert np.array_equal(seen(View(augmentation, seed=3, number=2), files), wanted)
    assert not np.array_equal(wanted, seen(PLAIN, files))


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 2**40),
    number=st.integers(0, 5),
    sizes=st.lists(st.integers(0, 9), max_size=4),
    order=st.permutations(range(20)),
)
def test_a_picture_looks_the_same_in_whatever_chunk(
    files: Files, name: str, seed: int, number: int, sizes: list[int], order: list[int]
) -> None:
    view = View(Augmentation.named(name, erasing=0.5), seed, number)
    together = seen(view, files)
    shuffled = [files[place] for place in order]
    apart = [seen(view, chunk) for chunk in split_up(shuffled, sizes)]
    assert np.array_equal(np.concatenate(apart), together[order])


def test_another_seed_number_or_picture_looks_different(files: Files) -> None:
    # One picture under four digests: only what is drawn differs.
    one = View(SIDE_ON, seed=0, number=0)
    first = seen(one, files)
    assert np.array_equal(seen(one, files), first)
    for other in (View(SIDE_ON, seed=1, number=0), View(SIDE_ON, seed=0, number=1)):
        differ = (seen(other, files) != first).any(axis=(1, 2, 3))
        assert differ.all()
    seeds = {
        number
        for seed in range(3)
        for view in range(3)
        for number in seeds_of([digest for digest, _ in files], seed, f"view {view}")
    }
    assert len(seeds) == 3 * 3 * len(files)


def test_a_copy_under_another_name_looks_the_same(files: Files, tmp_path: Path) -> None:
    digest, file = files[5]
    copied = tmp_path / "copied.png"
    copied.write_bytes(Path(file).read_bytes())
    view = View(SIDE_ON)
    assert np.array_equal(seen(view, [(digest, str(copied))]), seen(view, [files[5]]))


@pytest.mark.parametrize("view", [PLAIN, View(SIDE_ON)])
def test_pictures_that_cannot_be_read_are_faults_and_their_neighbours_are_as_ever(
    files: Files, tmp_path: Path, view: View
) -> None:
    text, gone, changed = (tmp_path / name for name in ("text.png", "gone.png", "changed.png"))
    text.write_text("no picture")
    Image.new("RGB", (40, 40), "red").save(changed)
    broken = [
        (hashlib.sha256(text.read_bytes()).digest(), str(text)),
        (b"g" * 32, str(gone)),
        (b"c" * 32, str(changed)),
    ]
    pixels, faults = view.pixels(
        [broken[0], *files[:3], *broken[1:], *files[3:6]], TRANSFORM, Scratch()
    )
    assert faults.keys() == {digest for digest, _ in broken}
    assert faults[b"g" * 32] == "no such file"
    assert faults[b"c" * 32] == "it was changed while it was read"
    assert faults[broken[0][0]]
    assert pixels.shape == (9, 32, 32, 3)
    assert np.array_equal(pixels[[1, 2, 3, 6, 7, 8]], seen(view, files[:6]))


# ---------------------------------------------------------------- what names it


def test_what_shapes_the_pixels_names_them() -> None:
    views = [PLAIN]
    views += [View(AUGMENTATIONS[name]) for name in NAMES if name != "none"]
    views += [View(SIDE_ON, seed, number) for seed in range(2) for number in range(2)]
    views += [View(dataclasses.replace(SIDE_ON, erasing=0.1))]
    others = [TRANSFORM, dataclasses.replace(TRANSFORM, size=33)]
    spaces = [Space("body", view.key(t), "torch", 4) for view in views for t in others]
    assert len({space.key for space in spaces}) == len(spaces)


def test_what_does_not_shape_the_pixels_does_not_name_them(files: Files) -> None:
    view = View(SIDE_ON, 1, 2)
    other = View(dataclasses.replace(SIDE_ON, name="mine", mixup=0.4, cutmix=1.0), 1, 2)
    assert view.key(TRANSFORM) == other.key(TRANSFORM)
    assert np.array_equal(seen(view, files[:4]), seen(other, files[:4]))


def test_pictures_as_they_are_have_the_key_that_they_always_had() -> None:
    assert PLAIN.key(TRANSFORM) == TRANSFORM.to_dict()


# ---------------------------------------------------------------- drawing from several versions


def tables_of(
    cache: FeatureCache, views: int, rows: int, shape: tuple[int, ...] = (3,)
) -> list[FeatureTable]:
    """Tables whose every number is 1000 times the view, plus the row."""
    digests = names_of(rows)
    tables = []
    for view in range(views):
        space = Space("a body", {"view": view}, "torch", int(np.prod(shape)), "", shape)
        values = 1000.0 * view + np.arange(rows, dtype=np.float32)
        half = rows // 2
        for some in (slice(0, half), slice(half, rows)):  # a file each
            with cache.writer(space) as writer:
                spread = np.repeat(values[some, None], space.width, axis=1)
                writer.append(digests[some], spread.reshape(-1, *shape))
        tables.append(cache.find(space, digests).table(digests))
    return tables


def names_of(rows: int) -> list[bytes]:
    return [hashlib.sha256(str(row).encode()).digest() for row in range(rows)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], DrawnViews]:
    tables = tables_of(FeatureCache(tmp_path_factory.mktemp("cache")), 4, 50)

    def drawn(views: int, seed: int) -> DrawnViews:
        return DrawnViews(tables[:views], names_of(50), seed)

    return drawn


Rows = NDArray[np.int64] | slice


@settings(max_examples=50, deadline=None)
@given(
    views=st.integers(1, 4),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 1000),
    data=st.data(),
)
def test_a_row_is_drawn_by_epoch_and_seed_whatever_is_taken_with_it(
    drawn: Callable[[int, int], DrawnViews],
    views: int,
    seed: int,
    epoch: int,
    data: st.DataObject,
) -> None:
    inputs = drawn(views, seed)
    whole = inputs.take(slice(None), epoch)
    assert whole.shape == (50, 3)
    assert whole.dtype == np.float32
    assert np.array_equal(whole % 1000, np.repeat(np.arange(50)[:, None], 3, axis=1))
    assert set(whole[:, 0] // 1000) <= set(range(views))
    rows: Rows = data.draw(
        st.one_of(
            st.lists(st.integers(-50, 49), max_size=60).map(lambda some: np.array(some, np.int64)),
            st.slices(50),
        )
    )
    assert np.array_equal(inputs.take(rows, epoch), whole[rows])
    assert np.array_equal(drawn(views, seed).take(slice(None), epoch), whole)


@settings(max_examples=20, deadline=None)
@given(views=st.integers(2, 4), seed=st.integers(0, 2**40))
def test_over_epochs_every_version_of_every_row_is_drawn_about_as_often(
    drawn: Callable[[int, int], DrawnViews], views: int, seed: int
) -> None:
    inputs = drawn(views, seed)
    epochs = np.stack([inputs.take(slice(None), epoch)[:, 0] // 1000 for epoch in range(100)])
    counts = np.stack([(epochs == view).sum(axis=0) for view in range(views)])
    assert (counts > 0).all()
    # 5,000 draws: six standard deviations of a fair share.
    share = 5000 / views
    assert np.abs(counts.sum(axis=1) - share).max() < 6 * np.sqrt(share)
    # Each epoch draws anew, and not all rows alike.
    assert len({epoch.tobytes() for epoch in epochs}) == 100
    assert (epochs.min(axis=1) < epochs.max(axis=1)).all()


def test_another_seed_draws_others(drawn: Callable[[int, int], DrawnViews]) -> None:
    one, other = (drawn(4, seed).take(slice(None), 3) for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_a_pictures_content_decides_what_is_drawn_not_its_place(cache: FeatureCache) -> None:
    tables, names = tables_of(cache, 4, 50), names_of(50)
    order = np.random.default_rng(0).permutation(50)[:40]
    spaces = [Space("a body", {"view": view}, "torch", 3, "", (3,)) for view in range(4)]
    moved = [names[place] for place in order]
    others = [cache.find(space, names).table(moved) for space in spaces]
    for epoch in range(3):
        before = DrawnViews(tables, names, seed=1).take(slice(None), epoch)
        after = DrawnViews(others, moved, seed=1).take(slice(None), epoch)
        assert np.array_equal(after, before[order])


def test_versions_keep_the_shape_of_their_rows(cache: FeatureCache) -> None:
    inputs = DrawnViews(tables_of(cache, 3, 9, (2, 4, 5)), names_of(9), seed=0)
    assert (len(inputs), inputs.width) == (9, 40)
    assert inputs.take(np.array([4, 4, 0]), 1).shape == (3, 2, 4, 5)
    assert inputs.take(slice(0, 0), 1).shape == (0, 2, 4, 5)


# ---------------------------------------------------------------- pictures that are not kept


def pixels_of(files: Files, transform: ImageTransform = TRANSFORM) -> PicturePixels:
    return PicturePixels([file for _, file in files], [digest for digest, _ in files], transform)


def table_of(files: Files, cache: FeatureCache, transform: ImageTransform) -> FeatureTable:
    digests = [digest for digest, _ in files]
    paths = [file for _, file in files]
    return extract(paths, digests, Ready(DecodedPixels(transform)), cache).table(digests)


@settings(max_examples=20, deadline=None)
@given(rows=st.lists(st.integers(-20, 19), max_size=8))
def test_pictures_decoded_when_taken_are_those_that_are_kept_bit_for_bit(
    files: Files, tmp_path_factory: pytest.TempPathFactory, rows: list[int]
) -> None:
    cache = FeatureCache(tmp_path_factory.mktemp("cache"))
    table, pixels = table_of(files, cache, TRANSFORM), pixels_of(files)
    assert (len(pixels), pixels.width) == (len(table), table.width) == (20, 32 * 32 * 3)
    places = np.array(rows, np.int64)
    for chosen in (places, slice(3, 17, 4), slice(0, 0)):
        taken, kept = pixels.take(chosen, epoch=7), table.take(chosen)
        assert taken.dtype == kept.dtype == np.uint8
        assert taken.shape == kept.shape == (len(kept), 32, 32, 3)
        assert np.array_equal(taken, kept)


def test_versions_decoded_when_taken_are_those_of_the_view(files: Files) -> None:
    paths, digests = [file for _, file in files], [digest for digest, _ in files]
    view = View(SIDE_ON, seed=1, number=2)
    pixels = PicturePixels(paths, digests, TRANSFORM, view)
    for rows in (slice(None), slice(0, 0), np.array([7, -1, 7])):
        assert np.array_equal(pixels.take(rows, epoch=3), seen(view, files)[rows])


@pytest.mark.parametrize("wrong", ["gone", "changed", "text"])
def test_a_picture_that_cannot_be_read_any_more_ends_it_with_its_name(
    files: Files, tmp_path: Path, wrong: str
) -> None:
    own = [(digest, str(tmp_path / f"{row}.png")) for row, (digest, _) in enumerate(files)]
    for (_, file), (_, copied) in zip(files, own, strict=True):
        Path(copied).write_bytes(Path(file).read_bytes())
    pixels = pixels_of(own)
    pixels.take(slice(None))
    broken = Path(own[4][1])
    if wrong == "gone":
        broken.unlink()
    else:
        broken.write_bytes(b"text" if wrong == "text" else Path(own[5][1]).read_bytes())
    with pytest.raises(PictureError, match=r"4\.png could be read before and cannot now: "):
        pixels.take(np.array([3, 4]))
    assert len(pixels.take(np.array([3, 5]))) == 2


# ---------------------------------------------------------------- another version in every epoch


def augmented(files: Files, augmentation: Augmentation, seed: int = 0) -> AugmentedPixels:
    canvas = pixels_of(files, augmentation.canvas(TRANSFORM))
    return AugmentedPixels(canvas, [digest for digest, _ in files], augmentation, TRANSFORM, seed)


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from([name for name in NAMES if name != "none"]),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 10_000),
    order=st.permutations(range(20)),
    sizes=st.lists(st.integers(0, 9), max_size=4),
)
def test_a_picture_in_an_epoch_looks_the_same_in_any_order_and_batch(
    files: Files, name: str, seed: int, epoch: int, order: list[int], sizes: list[int]
) -> None:
    inputs = augmented(files, Augmentation.named(name, erasing=0.5), seed)
    together = inputs.take(slice(None), epoch)
    assert together.shape == (20, 32, 32, 3)
    places = [(b"", str(row)) for row in order]
    parts = [np.array([int(row) for _, row in p], np.int64) for p in split_up(places, sizes)]
    apart = np.concatenate([inputs.take(rows, epoch) for rows in parts])
    assert np.array_equal(apart, together[order])


def test_another_epoch_or_seed_looks_different(files: Files) -> None:
    first = augmented(files, SIDE_ON).take(slice(None), 0)
    for other in (
        augmented(files, SIDE_ON).take(slice(None), 1),
        augmented(files, SIDE_ON, seed=1).take(slice(None), 0),
    ):
        assert (other != first).any(axis=(1, 2, 3)).all()


def test_no_epoch_looks_like_a_version_that_is_kept(files: Files) -> None:
    """What is seen at test time was not trained on."""
    kept = [seen(View(SIDE_ON, 0, number), files) for number in range(3)]
    for epoch in range(3):
        inputs = augmented(files, SIDE_ON).take(slice(None), epoch)
        assert not any(np.array_equal(inputs, version) for version in kept)


@pytest.mark.parametrize("canvas", ["kept", "decoded"])
def test_a_numbered_version_is_that_of_the_view_in_every_epoch(
    files: Files, cache: FeatureCache, canvas: str
) -> None:
    larger = SIDE_ON.canvas(TRANSFORM)
    given = table_of(files, cache, larger) if canvas == "kept" else pixels_of(files, larger)
    digests = [digest for digest, _ in files]
    inputs = AugmentedPixels(given, digests, SIDE_ON, TRANSFORM, seed=1, number=2)
    wanted = seen(View(SIDE_ON, seed=1, number=2), files)
    for epoch in range(2):
        assert np.array_equal(inputs.take(slice(None), epoch), wanted)


def test_kept_pictures_are_augmented_as_those_that_are_decoded(
    files: Files, cache: FeatureCache
) -> None:
    canvas = table_of(files, cache, SIDE_ON.canvas(TRANSFORM))
    digests = [digest for digest, _ in files]
    kept = AugmentedPixels(canvas, digests, SIDE_ON, TRANSFORM, seed=5)
    assert (len(kept), kept.width) == (20, 32 * 32 * 3)
    for rows in (slice(None), slice(0, 0), np.array([3, -1, 3])):
        decoded = augmented(files, SIDE_ON, seed=5).take(rows, 2)
        assert np.array_equal(kept.take(rows, 2), decoded)
