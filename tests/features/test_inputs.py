"""What a network is given: computed once or every time, and the same numbers either way."""

import contextlib
import copy
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from secchi.data.picture_split import PictureSplit
from secchi.data.pictures import Scratch, survey
from secchi.data.task import Labels, Task
from secchi.errors import PictureError
from secchi.features import inputs as module
from secchi.features import prepare
from secchi.features.cache import FeatureCache, FeatureTable
from secchi.features.extract import DecodedPixels, Ready, extract
from secchi.features.inputs import Cost, NetworkInputs
from secchi.features.prepare import Preparation, Prepared, prepare_part
from secchi.features.runtimes import openvino_is_here, processor_has_bf16
from secchi.features.views import PLAIN, AugmentedPixels, DrawnViews, PicturePixels, View
from secchi.models.backbones import Backbone
from secchi.models.heads import head_for
from secchi.models.network import Network
from secchi.training.execution import Execution
from secchi.training.history import History
from secchi.training.loop import train
from secchi.training.optimizers import ParameterGroup
from secchi.training.rows import Rows
from secchi.training.spec import Training
from secchi.transforms.augment import Augmentation
from secchi.transforms.images import ImageTransform

POINT = "blocks.4"
"""The first layer group that trains."""

TASK = Task.classify(["blue", "red"])
SIDE_ON = Augmentation.named("side_on")
TRANSFORM = ImageTransform(size=64)
RECORD = 36
"""Bytes of a row beside its numbers."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small pictures are computed sooner on one core than on cores that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def splits(
    tmp_path_factory: pytest.TempPathFactory, make_pictures: Callable[..., Path]
) -> dict[str, PictureSplit]:
    """Twenty training pictures and ten others, of two classes."""
    folder = tmp_path_factory.mktemp("pictures")
    found = {}
    for seed, (name, count) in enumerate({"train": 10, "valid": 5}.items()):
        place = make_pictures(folder / name, per_class=count, size=72, seed=seed)
        files = sorted(str(path) for path in place.rglob("*.png"))
        classes = np.array(["red" in file for file in files], np.int64)
        labels = Labels(TASK, (classes,))
        found[name] = PictureSplit(name, files, [survey(file) for file in files], labels)
    return found


@pytest.fixture(scope="module")
def whole(lite0_cache: FeatureCache) -> Prepared:
    return Preparation(Backbone(size=64), lite0_cache, "cpu").wait()


@pytest.fixture(scope="module")
def network(whole: Prepared, splits: dict[str, PictureSplit]) -> Network:
    """Lite0 with a head; to be copied where it is trained."""
    network = Network(whole.build(), head_for(TASK, whole.width), whole.transform).eval()
    with torch.no_grad():
        features = network.body(network._normalized(decoded(splits["train"])))
    network.head.fit_center([features.numpy()])
    network.freeze_to(POINT)
    return network


def decoded(split: PictureSplit) -> torch.Tensor:
    files = list(zip(split.digests, split.files, strict=True))
    return torch.from_numpy(PLAIN.pixels(files, TRANSFORM, Scratch())[0])


@pytest.fixture(scope="module")
def parts(
    tmp_path_factory: pytest.TempPathFactory, network: Network, whole: Prepared
) -> dict[str, Prepared]:
    """The frozen part, as either runtime computes it on a processor."""
    assert network.frozen_part is not None
    given = (network.frozen_part, network.point, whole)
    made = {}
    for kind, converts in {"openvino": openvino_is_here(), "torch": False}.items():
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(prepare, "openvino_is_here", lambda here=converts: here)
            made[kind] = prepare_part(*given, FeatureCache(tmp_path_factory.mktemp(kind)), "cpu")
    return made


@dataclasses.dataclass
class Work:
    """How many pictures were computed, by the title under which that was shown."""

    done: dict[str, int] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def progress(self, title: str) -> Iterator[Callable[[int, int], None]]:
        self.done.setdefault(title, 0)

        def note(done: int, total: int) -> None:
            self.done[title] = done

        yield note

    def since(self) -> dict[str, int]:
        done, self.done = self.done, {}
        return done


def inputs_of(
    frozen: Prepared | None,
    cache: FeatureCache,
    precision: str = "fp32",
    work: Work | None = None,
    **options: bool,
) -> NetworkInputs:
    return NetworkInputs(
        frozen,
        TRANSFORM,
        cache,
        device="cpu",
        precision=precision,
        progress=(work or Work()).progress,
        **options,
    )


# ---------------------------------------------------------------- what they take


def test_the_cost_is_the_rows_and_what_each_takes(
    parts: dict[str, Prepared], cache: FeatureCache
) -> None:
    part = parts["torch"]
    assert part.shape == (80, 4, 4)
    numbers = 80 * 4 * 4
    cost = inputs_of(part, cache).cost(1000)
    assert (cost.rows, cost.bytes, cost.fits) == (1000, 1000 * (RECORD + 4 * numbers), True)
    assert str(cost) == "activations of lite0 up to blocks.3, 64 px: 1,000 rows, 5 MB of the cache"
    half = inputs_of(part, cache, "bf16").cost(1000)
    assert half.bytes == 1000 * (RECORD + 2 * numbers)
    pixels = inputs_of(None, cache)
    assert pixels.cost(1000).bytes == 1000 * (RECORD + 3 * 64 * 64)
    assert pixels.cost(7, ImageTransform(size=73)).bytes == 7 * (RECORD + 3 * 73 * 73)
    assert pixels.cost(1000).what == "decoded pictures"


def test_the_cost_is_what_the_disk_then_holds(
    splits: dict[str, PictureSplit], parts: dict[str, Prepared], cache: FeatureCache
) -> None:
    for part in (parts["torch"], None):
        inputs = inputs_of(part, cache)
        cost = inputs.cost(len(splits["train"]))
        inputs.plain(splits["train"])
        (line,) = cache.usage()
        assert line.pictures == cost.rows == 20
        assert line.bytes == 64 + cost.bytes
        cache.clear()


def test_the_cost_says_where_there_is_no_room() -> None:
    cost = Cost("decoded pictures", 25_000, 3_763_200_000, fits=False)
    assert str(cost) == (
        "decoded pictures: 25,000 rows would take 3,763 MB, more than the cache has room for"
    )


@pytest.mark.parametrize("share", [0.79, 0.81])
def test_most_of_the_limit_may_be_taken(cache: FeatureCache, share: float) -> None:
    taken = inputs_of(None, cache).cost(1000).bytes
    small = FeatureCache(cache.root, limit_gb=taken / share / 1e9)
    assert inputs_of(None, small).cost(1000).fits == (share < 0.8)


def test_the_disk_is_a_limit_too(cache: FeatureCache) -> None:
    free = shutil.disk_usage(cache.root.parent).free
    large = FeatureCache(cache.root, limit_gb=1e6)
    row = inputs_of(None, large).cost(1).bytes
    assert inputs_of(None, large).cost(free // row // 2).fits
    assert not inputs_of(None, large).cost(free // row).fits


def test_where_nothing_can_be_written_only_what_memory_holds_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder can be here")
    inputs = inputs_of(None, FeatureCache(tmp_path / "file"))
    monkeypatch.setattr(module, "IN_MEMORY", 10**6)
    row = inputs.cost(1).bytes
    assert inputs.cost(790_000 // row).fits
    assert not inputs.cost(810_000 // row).fits


# ---------------------------------------------------------------- which kind they are


def test_activations_are_kept_and_computed_once(
    splits: dict[str, PictureSplit],
    parts: dict[str, Prepared],
    network: Network,
    cache: FeatureCache,
) -> None:
    work = Work()
    first = inputs_of(parts["torch"], cache, work=work).plain(splits["train"])
    assert isinstance(first, FeatureTable)
    assert work.since() == {"train": 20}
    again = inputs_of(parts["torch"], cache, work=work).plain(splits["train"])
    assert work.since() == {"train": 0}
    assert np.array_equal(first.take(slice(None)), again.take(slice(None)))
    with torch.no_grad():
        wanted = network.frozen_part(network._normalized(decoded(splits["train"])))
    taken = torch.from_numpy(first.take(slice(None)))
    torch.testing.assert_close(taken, wanted.contiguous(), rtol=1e-3, atol=1e-4)


def test_pictures_are_decoded_once_where_nothing_is_frozen(
    splits: dict[str, PictureSplit], cache: FeatureCache
) -> None:
    work = Work()
    inputs = inputs_of(None, cache, work=work)
    table = inputs.plain(splits["train"])
    assert isinstance(table, FeatureTable)
    assert table.take(slice(None)).dtype == np.uint8
    assert work.since() == {"train": 20}
    augmented = inputs.augmented(splits["train"], SIDE_ON, views=4, seed=0)
    assert isinstance(augmented, AugmentedPixels)
    assert work.since() == {"train": 20}  # the canvas is larger
    for again in (inputs, inputs_of(None, cache, work=work)):
        again.plain(splits["train"])
        # Another seed, another augmentation: the canvas is the same.
        again.augmented(splits["train"], Augmentation.named("basic"), views=4, seed=1)
        # The first remembers its tables, and does not even look for them.
        assert work.since() == ({} if again is inputs else {"train": 0})


def test_what_is_kept_outlives_the_files(
    splits: dict[str, PictureSplit], cache: FeatureCache, tmp_path: Path
) -> None:
    """An epoch, and a second run, read no picture again."""
    train_split = splits["train"]
    moved = [
        shutil.copy(file, tmp_path / f"{row}.png") for row, file in enumerate(train_split.files)
    ]
    split = PictureSplit("train", moved, [survey(file) for file in moved], train_split.labels)
    kept = inputs_of(None, cache).augmented(split, SIDE_ON, views=4, seed=0)
    wanted = [kept.take(slice(None), epoch) for epoch in range(2)]
    for file in moved:
        Path(file).unlink()
    again = inputs_of(None, cache).augmented(split, SIDE_ON, views=4, seed=0)
    for epoch in range(2):
        assert np.array_equal(again.take(slice(None), epoch), wanted[epoch])


def test_versions_are_computed_once_each_and_drawn_by_epoch(
    splits: dict[str, PictureSplit], parts: dict[str, Prepared], cache: FeatureCache
) -> None:
    work = Work()
    inputs = inputs_of(parts["torch"], cache, work=work)
    drawn = inputs.augmented(splits["train"], SIDE_ON, views=2, seed=0)
    assert isinstance(drawn, DrawnViews)
    assert work.since() == {"train, view 1": 20, "train, view 2": 20}
    inputs.augmented(splits["train"], SIDE_ON, views=3, seed=0)
    assert work.since() == {"train, view 3": 20}
    inputs_of(parts["torch"], cache, work=work).augmented(splits["train"], SIDE_ON, 3, seed=0)
    assert work.since() == {f"train, view {number}": 0 for number in (1, 2, 3)}
    inputs.augmented(splits["train"], SIDE_ON, views=1, seed=1)
    assert work.since() == {"train, view 1": 20}
    views = [inputs.view(splits["train"], View(SIDE_ON, 0, number)) for number in range(2)]
    seen = drawn.take(slice(None), 4)
    by_view = np.stack([view.take(slice(None)) for view in views])
    for row, given in enumerate(seen):
        assert sum(np.array_equal(given, version) for version in by_view[:, row]) == 1


def unwritable(cache: FeatureCache) -> FeatureCache:
    cache.root.mkdir()
    (cache.root / "features").write_text("a file where a folder should be")
    return cache


@pytest.mark.parametrize("kind", ["activations", "pixels"])
def test_what_could_not_be_kept_is_remembered(
    kind: str, splits: dict[str, PictureSplit], parts: dict[str, Prepared], cache: FeatureCache
) -> None:
    work, split = Work(), splits["train"]
    frozen = parts["torch"] if kind == "activations" else None
    inputs = inputs_of(frozen, unwritable(cache), work=work)
    assert not inputs.knows(split)
    with pytest.warns(UserWarning, match="work goes on from memory"):
        first = inputs.plain(split)
    assert work.since() == {"train": 20}
    assert inputs.plain(split) is first
    assert inputs.knows(split)
    assert not inputs.knows(splits["valid"])
    with pytest.warns(UserWarning, match="work goes on from memory"):
        drawn = inputs.augmented(split, SIDE_ON, views=2, seed=0)
    assert work.since().keys() == (
        {"train, view 1", "train, view 2"} if kind == "activations" else {"train"}
    )
    again = inputs.augmented(split, SIDE_ON, views=2, seed=0)
    assert np.array_equal(again.take(slice(None), 1), drawn.take(slice(None), 1))
    if kind == "activations":
        assert inputs.view(split, View(SIDE_ON, 0, 1)) is drawn._versions[1]
    # Fewer pictures are other rows.
    some = PictureSplit("train", split.files[:5], [survey(file) for file in split.files[:5]])
    assert work.since() == {}
    with pytest.warns(UserWarning, match="work goes on from memory"):
        assert len(inputs.plain(some)) == 5
    assert work.since() == {"train": 5}


def test_what_is_remembered_outlives_its_file(
    splits: dict[str, PictureSplit], cache: FeatureCache
) -> None:
    inputs = inputs_of(None, cache)
    wanted = inputs.plain(splits["train"]).take(slice(None))
    cache.clear()
    assert np.array_equal(inputs.plain(splits["train"]).take(slice(None)), wanted)
    assert cache.usage() == []


@pytest.mark.parametrize("bound", ["memory", "tables"])
def test_no_more_is_remembered_than_memory_and_open_files_allow(
    bound: str,
    splits: dict[str, PictureSplit],
    cache: FeatureCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work, split = Work(), splits["train"]
    inputs = inputs_of(None, unwritable(cache) if bound == "memory" else cache, work=work)
    row = inputs.cost(1).bytes
    if bound == "memory":
        monkeypatch.setattr(module, "IN_MEMORY", 30 * row)
    else:
        monkeypatch.setattr(module, "MOST_TABLES", 2)
    count = 20 if bound == "memory" else 8
    pictures = [survey(file) for file in split.files]
    lots = [slice(0, count), slice(1, count // 2), slice(2, count)]
    some = [PictureSplit("train", split.files[lot], pictures[lot]) for lot in lots]
    expected = (
        pytest.warns(UserWarning, match="memory") if bound == "memory" else contextlib.nullcontext()
    )
    with expected:
        first, second = inputs.plain(some[0]), inputs.plain(some[1])
        assert inputs.plain(some[0]) is first  # used later than the second
        third = inputs.plain(some[2])
        assert inputs.plain(some[2]) is third
        assert inputs.plain(some[1]) is not second


def test_versions_drawn_as_pixels_are_those_behind_the_activations_that_are_kept(
    splits: dict[str, PictureSplit],
    parts: dict[str, Prepared],
    network: Network,
    cache: FeatureCache,
    tmp_path: Path,
) -> None:
    split, rows = splits["train"], np.array([3, 0, -1, 3, 11])
    pixels = [
        extract(
            split.files,
            split.digests,
            Ready(DecodedPixels(TRANSFORM)),
            cache,
            view=View(SIDE_ON, 5, number),
        ).table(split.digests)
        for number in range(3)
    ]
    wanted = DrawnViews(pixels, split.digests, seed=5)
    small = FeatureCache(tmp_path / "small", limit_gb=1e-5)
    kept = inputs_of(parts["torch"], cache).augmented(split, SIDE_ON, views=3, seed=5)
    for place in (cache, small):  # where the pixels have room, and where they are decoded each time
        inputs = inputs_of(None, place, draws_views=True)
        drawn = inputs.augmented(split, SIDE_ON, views=3, seed=5)
        assert isinstance(drawn, DrawnViews)
        assert (len(drawn), drawn.width) == (20, 3 * 64 * 64)
        for epoch in range(4):
            seen = drawn.take(rows, epoch)
            assert np.array_equal(seen, wanted.take(rows, epoch))
            with torch.no_grad():
                activations = network.frozen_part(network._normalized(torch.from_numpy(seen)))
            given = torch.from_numpy(kept.take(rows, epoch))
            torch.testing.assert_close(given, activations.contiguous(), rtol=1e-3, atol=1e-4)
    assert not list((tmp_path / "small").rglob("*.rows"))
    plain = inputs_of(None, cache, draws_views=True)
    assert isinstance(plain.augmented(split, Augmentation(), views=3, seed=5), FeatureTable)


def test_a_version_of_pixels_is_not_kept(
    splits: dict[str, PictureSplit], cache: FeatureCache
) -> None:
    view, split = View(SIDE_ON, seed=2), splits["valid"]
    pixels = inputs_of(None, cache).view(split, view)
    wanted = view.pixels(list(zip(split.digests, split.files, strict=True)), TRANSFORM, Scratch())
    assert np.array_equal(pixels.take(slice(None)), wanted[0])
    assert cache.usage() == []


@pytest.mark.parametrize("kind", ["activations", "pixels"])
def test_an_augmentation_that_alters_no_picture_leaves_them_plain(
    kind: str, splits: dict[str, PictureSplit], parts: dict[str, Prepared], cache: FeatureCache
) -> None:
    inputs = inputs_of(parts["torch"] if kind == "activations" else None, cache)
    mixing = Augmentation(mixup=0.4)
    given = inputs.augmented(splits["train"], mixing, views=4, seed=0)
    assert isinstance(given, FeatureTable)
    plain = inputs.plain(splits["train"])
    assert np.array_equal(given.take(slice(None)), plain.take(slice(None)))
    assert len(cache.usage()) == 1


def test_where_there_is_no_room_pictures_are_decoded_every_time(
    splits: dict[str, PictureSplit], cache: FeatureCache, tmp_path: Path
) -> None:
    split = splits["train"]
    small = inputs_of(None, FeatureCache(tmp_path / "small", limit_gb=1e-5))
    plain, augmented = small.plain(split), small.augmented(split, SIDE_ON, views=4, seed=3)
    assert isinstance(plain, PicturePixels)
    assert isinstance(augmented, AugmentedPixels)
    assert not list((tmp_path / "small").rglob("*.rows"))
    large = inputs_of(None, cache)
    rows = np.array([5, 0, -1, 5])
    assert np.array_equal(plain.take(rows), large.plain(split).take(rows))
    kept = large.augmented(split, SIDE_ON, views=4, seed=3)
    assert np.array_equal(augmented.take(rows, 6), kept.take(rows, 6))


def test_what_is_kept_already_needs_no_room(
    splits: dict[str, PictureSplit], parts: dict[str, Prepared], cache: FeatureCache
) -> None:
    """Else what was written would fill the disk for itself, and not be used the next time."""
    work, full = Work(), FeatureCache(cache.root, limit_gb=1e-5)
    for frozen in (None, parts["torch"]):
        inputs, later = inputs_of(frozen, cache), inputs_of(frozen, full, work=work)
        assert not later.knows(splits["train"])
        first = inputs.plain(splits["train"])
        assert later.knows(splits["train"])
        assert not later.knows(splits["valid"])
        assert not later.knows(splits["train"], View(SIDE_ON))
        assert not later.cost(20).fits
        again = later.plain(splits["train"])
        assert isinstance(again, FeatureTable)
        assert np.array_equal(again.take(slice(None)), first.take(slice(None)))
    inputs_of(None, cache).augmented(splits["train"], SIDE_ON, views=4, seed=0)
    kept = inputs_of(None, full, work=work).augmented(splits["train"], SIDE_ON, views=4, seed=0)
    assert isinstance(kept._canvas, FeatureTable)
    assert work.since() == {"train": 0}


def test_a_picture_that_cannot_be_read_any_more_is_named(
    splits: dict[str, PictureSplit], cache: FeatureCache, tmp_path: Path
) -> None:
    files = [*splits["valid"].files[:3], shutil.copy(splits["valid"].files[3], tmp_path / "a.png")]
    split = PictureSplit("valid", files, [survey(file) for file in files])
    (tmp_path / "a.png").unlink()
    with pytest.raises(PictureError, match=r"a\.png could be read before and cannot now: no such"):
        inputs_of(None, cache).plain(split)


# ---------------------------------------------------------------- the same numbers either way


def trained(
    network: Network,
    inputs: NetworkInputs,
    splits: dict[str, PictureSplit],
    precision: str = "fp32",
    views: list[View] | None = None,
    **settings: object,
) -> tuple[History, Network]:
    """Three epochs of a copy."""
    copied = copy.deepcopy(network)
    if inputs._frozen is None:
        copied.computes_all = True
    rows = {}
    for name, split in splits.items():
        assert split.labels is not None
        given = inputs.plain(split)
        if views and name == "train":
            versions = [inputs.view(split, view) for view in views]
            given = DrawnViews(versions, split.digests, seed=9)
        rows[name] = Rows(given, split.labels)
    training = Training("sgd", lr=(1e-3, 3e-2), epochs=3, batch_size=8, seed=4).but(**settings)
    history = train(
        copied,
        rows["train"],
        rows["valid"],
        training,
        groups=[ParameterGroup(name, ps) for name, ps in copied.trained_groups()],
        execution=Execution("cpu", precision),
    )
    return history, copied


def losses(history: History) -> list[float]:
    return [loss for epoch in history.epochs for loss in (epoch.train_loss, epoch.valid_loss)]


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_losses_are_the_same_whether_frozen_layers_are_computed_once_or_every_time(
    runtime: str,
    network: Network,
    parts: dict[str, Prepared],
    splits: dict[str, PictureSplit],
    cache: FeatureCache,
) -> None:
    if runtime == "openvino" and not openvino_is_here():
        pytest.skip("OpenVINO is not installed")
    assert parts[runtime].space({}, "cpu", "fp32").runtime.startswith(runtime)
    once, one = trained(network, inputs_of(parts[runtime], cache), splits)
    always, other = trained(network, inputs_of(None, cache), splits)
    np.testing.assert_allclose(losses(once), losses(always), rtol=1e-4)
    assert losses(once)[-1] < 0.2 * losses(once)[0], "something was learned"
    for name, weight in one.state_dict().items():
        torch.testing.assert_close(weight, other.state_dict()[name], rtol=1e-2, atol=1e-3)


def test_losses_are_the_same_with_versions_of_pictures_and_batch_statistics(
    network: Network, parts: dict[str, Prepared], splits: dict[str, PictureSplit],
    cache: FeatureCache,
) -> None:  # fmt: skip
    views = [View(SIDE_ON, 0, number) for number in range(2)]
    learning = copy.deepcopy(network)
    learning.batch_statistics = True
    settings = {"views": views, "optimizer": "adamw", "label_smoothing": 0.1, "accumulate": 2}
    once, one = trained(learning, inputs_of(parts["torch"], cache), splits, **settings)
    always, other = trained(learning, inputs_of(None, cache), splits, **settings)
    np.testing.assert_allclose(losses(once), losses(always), rtol=1e-4)
    before = dict(network.named_buffers())
    moved = {n for n, b in one.named_buffers() if not torch.equal(b, before[n])}
    assert moved == {n for n, b in other.named_buffers() if not torch.equal(b, before[n])}
    assert any(name.startswith("body.blocks.4") for name in moved)
    assert not any(name.startswith("body.blocks.3") for name in moved)


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_losses_in_bf16_are_about_the_same(
    runtime: str,
    network: Network,
    parts: dict[str, Prepared],
    splits: dict[str, PictureSplit],
    cache: FeatureCache,
) -> None:
    if not processor_has_bf16():
        pytest.skip("the processor has no bf16 arithmetic")
    if runtime == "openvino" and not openvino_is_here():
        pytest.skip("OpenVINO is not installed")
    once, _ = trained(network, inputs_of(parts[runtime], cache, "bf16"), splits, "bf16")
    always, _ = trained(network, inputs_of(None, cache, "bf16"), splits, "bf16")
    exact, _ = trained(network, inputs_of(None, cache), splits)
    # Against losses that fall from 0.39 to 0.03.
    np.testing.assert_allclose(losses(once), losses(always), rtol=0, atol=0.02)
    np.testing.assert_allclose(losses(once), losses(exact), rtol=0, atol=0.02)


def test_decoding_every_time_trains_as_what_is_kept_does_to_the_bit(
    network: Network, splits: dict[str, PictureSplit], cache: FeatureCache, tmp_path: Path
) -> None:
    small = FeatureCache(tmp_path / "small", limit_gb=1e-5)
    kept, one = trained(network, inputs_of(None, cache), splits)
    decoded, other = trained(network, inputs_of(None, small), splits)
    assert losses(kept) == losses(decoded)
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name])
