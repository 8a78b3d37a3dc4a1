"""The search for a learning rate: what it finds, and that it leaves everything as it was."""

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from secchi import ImageData, Learner
from secchi.console import Console
from secchi.data.task import Labels, Target, Task
from secchi.errors import DataError, SpecError
from secchi.features.cache import FeatureCache
from secchi.seeding import stream
from secchi.training.loop import train
from secchi.training.lr_finder import (
    DEFAULT,
    HIGHEST,
    LOWEST,
    LearningRateSearch,
    find_lr,
    suggestions,
)
from secchi.training.optimizers import ParameterGroup
from secchi.training.rows import ArrayInputs, Rows
from secchi.training.spec import Training

TASK = Task((Target.classify("pet", ["cat", "dog", "mouse"]),))
MakePictures = Callable[..., Path]
Curve = NDArray[np.float64]


@pytest.fixture(autouse=True, scope="module")
def _one_core() -> Iterator[None]:
    """Steps as small as these wait longer for a second core than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class InMemory:
    """Rows that differ from epoch to epoch, as augmented ones do."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values
        self.width = values.shape[1]
        self.taken: list[NDArray[np.int64]] = []

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[np.float32]:
        self.taken.append(np.arange(len(self))[rows])
        return self.values[rows] + np.float32(0.01 * epoch)


def rows_of(count: int, seed: int, spread: float = 1.0) -> Rows:
    """Three clouds of points in six dimensions."""
    draws = np.random.default_rng(seed)
    truth = draws.integers(0, 3, count)
    inputs = spread * draws.normal(size=(count, 6)) + 2 * np.eye(3, 6)[truth]
    return Rows(InMemory(inputs.astype(np.float32)), Labels(TASK, (truth,)))


def network(dropout: float = 0.3) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(6, 8),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(8, 3),
        )


def layer_groups(net: nn.Module) -> list[ParameterGroup]:
    layers = list(net)
    return [
        ParameterGroup("first", list(layers[0].parameters())),
        ParameterGroup("norm", list(layers[1].parameters())),
        ParameterGroup("last", list(layers[4].parameters())),
    ]


def everything(net: nn.Module) -> dict[str, Any]:
    """All that a search could change: of the network, of the process."""
    return {
        "weights": {key: value.clone() for key, value in net.state_dict().items()},
        "gradients": [None if p.grad is None else p.grad.clone() for p in net.parameters()],
        "trains": [p.requires_grad for p in net.parameters()],
        "modes": [module.training for module in net.modules()],
        "hooks": [(len(m._forward_hooks), len(m._backward_hooks)) for m in net.modules()],
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),
        "python": random.getstate(),
        "threads": torch.get_num_threads(),
        "gradients are on": torch.is_grad_enabled(),
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else bool(one == other)


# ---------------------------------------------------------------- it changes nothing


trainings = st.builds(
    Training,
    optimizer=st.sampled_from(["sgd", "rmsprop", "adam", "adamw"]),
    lr=st.sampled_from([0.03, (0.003, 0.03), (0.001, 0.01, 0.1)]),
    epochs=st.just(2),
    batch_size=st.sampled_from([5, 16, 64]),
    accumulate=st.sampled_from([1, 2]),
    clip=st.sampled_from([None, 0.5]),
    label_smoothing=st.sampled_from([0.0, 0.1]),
    ema=st.sampled_from([None, 0.9]),
    keep_best=st.booleans(),
    seed=st.integers(0, 3),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    training=trainings,
    steps=st.integers(1, 30),
    when=st.sets(st.sampled_from(["before", "between", "after"]), min_size=1),
    mode=st.booleans(),
)
def test_a_search_at_any_time_changes_nothing_and_the_training_is_the_one_without_it(
    training: Training, steps: int, when: set[str], mode: bool
) -> None:
    rows, valid = rows_of(40, 0), rows_of(30, 1)
    searched, alone = network(), network()
    first_epoch = 0

    def search() -> None:
        searched.train(mode)
        for parameter in list(searched.parameters())[:2]:
            parameter.grad = torch.ones_like(parameter)
        before = everything(searched)
        find_lr(
            searched,
            rows,
            valid,
            training,
            groups=layer_groups(searched),
            first_epoch=first_epoch,
            steps=steps,
        )
        assert same(before, everything(searched))

    for turn in ("before", "between"):
        if turn in when:
            search()
        histories = [
            train(net, rows, valid, training, groups=layer_groups(net), first_epoch=first_epoch)
            for net in (searched, alone)
        ]
        first_epoch += 2
        one, other = (
            [(e.number, e.train_loss, e.valid_loss, e.metrics) for e in history.epochs]
            for history in histories
        )
        assert one == other
        assert same(dict(searched.state_dict()), dict(alone.state_dict()))
    if "after" in when:
        search()
        assert same(dict(searched.state_dict()), dict(alone.state_dict()))


def test_two_searches_find_the_same_whatever_the_global_generators_are() -> None:
    rows, valid, net = rows_of(40, 0), rows_of(30, 1), network()
    found = []
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            found.append(find_lr(net, rows, valid, Training(batch_size=16), steps=25))
    assert found[0].losses == found[1].losses
    assert found[0].valid_losses == found[1].valid_losses
    other = find_lr(net, rows, valid, Training(batch_size=16, seed=5), steps=25)
    assert other.losses != found[0].losses


# ---------------------------------------------------------------- and nothing through the façade


@pytest.fixture
def learner(
    tmp_path: Path, make_pictures: MakePictures, lite0_cache: FeatureCache
) -> Callable[..., Learner]:
    """Makes learners on the same pictures; by default they are frozen up to the middle."""
    photos = make_pictures(tmp_path / "photos", per_class=12, seed=400)

    def make(freeze_to: int | str | None = "blocks.5", augment: str = "side_on") -> Learner:
        learn = Learner.pretrained(
            "lite0",
            ImageData.from_folder(photos, size=64),
            training=Training(lr=(1e-3, 1e-2), epochs=1, batch_size=8, ema=0.9),
            cache=lite0_cache,
            console=Console(quiet=True),
        )
        if freeze_to is None:
            learn.training = learn.training.but(lr=1e-2)
        else:
            learn.freeze_to(freeze_to)
        return learn.augment(augment, views=2)

    return make


@pytest.mark.parametrize(
    ("freeze_to", "augment"),
    [(None, "none"), (None, "side_on"), ("blocks.5", "none"), ("blocks.5", "side_on")],
)
def test_a_learner_that_searched_trains_as_one_that_did_not(
    learner: Callable[..., Learner], freeze_to: str | None, augment: str
) -> None:
    searched, alone = learner(freeze_to, augment), learner(freeze_to, augment)
    for _ in range(2):
        unaffected(searched, lambda: searched.find_lr(steps=8))
        one, other = searched.fit(), alone.fit()
        assert [(e.train_loss, e.valid_loss) for e in one.epochs] == [
            (e.train_loss, e.valid_loss) for e in other.epochs
        ]
    unaffected(searched, lambda: searched.find_lr(steps=8))
    assert same(dict(searched.network.state_dict()), dict(alone.network.state_dict()))
    np.testing.assert_array_equal(searched.predictions().outputs, alone.predictions().outputs)


@pytest.mark.slow
def test_a_search_with_the_whole_body_and_batch_statistics_changes_nothing(
    learner: Callable[..., Learner],
) -> None:
    learn = learner(0, "side_on")
    for statistics in (False, True):
        unaffected(learn, lambda: learn.find_lr(steps=3, batch_statistics=statistics))  # noqa: B023
        learn.fit(epochs=1, batch_statistics=statistics)


def unaffected(learn: Learner, call: Callable[[], object]) -> None:
    """Call something that must leave a learner as it is."""
    learn._trainee.rows("train")
    before = everything(learn._trainee.trained)
    call()
    assert same(before, everything(learn._trainee.trained))
    assert learn._trainee.body_trained == bool(learn.history and learn._trainee.frozen is not None)


# ---------------------------------------------------------------- what a search does


def test_rates_rise_evenly_from_the_lowest_to_the_highest() -> None:
    found = find_lr(network(), rows_of(40, 0), rows_of(30, 1), Training("sgd", lr=3.0), steps=50)
    ratios = np.diff(np.log(found.rates))
    assert found.rates[0] == pytest.approx(LOWEST)
    assert len(found.rates) == 50 or found.losses[-1] > found.losses[0]
    np.testing.assert_allclose(ratios, np.log(HIGHEST / LOWEST) / 49, rtol=1e-9)
    assert len(found.losses) == len(found.smoothed) == len(found.rates)


def test_a_search_stops_when_the_loss_is_far_above_what_it_was() -> None:
    """Plain descent on points far apart diverges long before a rate of 10."""
    rows, valid = rows_of(200, 0, spread=30), rows_of(100, 1, spread=30)
    net = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 3))
    found = find_lr(net, rows, valid, Training("sgd", batch_size=32), steps=100)
    assert 10 < len(found.rates) < 100
    assert found.rates[-1] < HIGHEST
    assert np.isfinite(found.losses).all()
    assert found.suggestion is None or found.suggestion < found.rates[-1] / 2


def test_a_loss_that_is_no_number_from_the_start_ends_the_search_and_says_so() -> None:
    rows = rows_of(20, 0)
    rows.inputs.values[:] = np.nan
    found = find_lr(network(), rows, rows_of(20, 1), Training(batch_size=20), steps=20)
    assert found.rates == found.losses == ()
    assert found.suggestion is None
    assert str(found) == "the loss was no number from the start"
    found.plot()
    found.plot_schedule()


def test_ratios_between_layer_groups_hold_and_the_last_group_has_the_rate_itself() -> None:
    """The first step of plain descent moves each group by its own rate times its gradient."""
    net, rows = network(dropout=0.0), rows_of(40, 0)
    moved = {}
    for name, lr in {"ratios": (0.01, 0.1, 1.0), "one": 7.0}.items():
        seen: list[dict[str, Tensor]] = []
        spied = Spy(net, seen)
        training = Training("sgd", lr=lr, weight_decay=0.0, batch_size=40)
        layers = list(spied.net)
        groups = [
            ParameterGroup(str(place), list(layers[place].parameters())) for place in (0, 1, 4)
        ]
        find_lr(spied, rows, rows_of(10, 1), training, groups=groups, steps=2)
        first, second = (one for one in seen if one["mode"])
        moved[name] = [(second[key] - first[key]).double() for key in ("0.weight", "1.weight")] + [
            (second["4.bias"] - first["4.bias"]).double()
        ]
    for ratio, some, whole in zip((0.01, 0.1, 1.0), moved["ratios"], moved["one"], strict=True):
        assert whole.abs().max() > 0
        # At the lowest rate a step is a millionth of a weight: it rounds.
        assert some.norm() / whole.norm() == pytest.approx(ratio, rel=0.2)


class Spy(nn.Module):
    """Notes what the weights are whenever the network computes; its copies note it, too."""

    def __init__(self, net: nn.Module, seen: list[dict[str, Any]]) -> None:
        super().__init__()
        self.net = net.double()
        self._seen = seen

    def __deepcopy__(self, memo: dict[int, Any]) -> "Spy":
        import copy

        return Spy(copy.deepcopy(self.net, memo), self._seen)

    def forward(self, inputs: Tensor) -> Tensor:
        weights = {key: value.clone() for key, value in self.net.state_dict().items()}
        self._seen.append(weights | {"mode": self.training})
        outputs: Tensor = self.net(inputs.double())
        return outputs.float()


def test_the_validation_rows_are_looked_at_in_part_and_always_the_same_ones() -> None:
    rows, valid = rows_of(40, 0), rows_of(300, 1)
    assert isinstance(valid.inputs, InMemory)
    found = find_lr(
        network(), rows, valid, Training(batch_size=8), steps=20, looks=5, most_valid_rows=50
    )
    looks = {tuple(rows) for rows in valid.inputs.taken}
    assert len(looks) == 1
    assert len(next(iter(looks))) == 50
    assert len(set(next(iter(looks)))) == 50
    assert len(found.valid_rates) <= 5
    assert set(found.valid_rates) <= set(found.rates)
    assert all(0 <= value <= 1 for value in found.valid_metrics)


def test_a_search_sees_every_row_before_it_sees_one_again() -> None:
    rows = rows_of(40, 0)
    find_lr(network(), rows, rows_of(30, 1), Training("sgd", batch_size=16), steps=6)
    assert isinstance(rows.inputs, InMemory)
    for epoch in (0, 3):
        together = np.concatenate(rows.inputs.taken[epoch : epoch + 3])
        assert sorted(together) == list(range(40))


def test_progress_is_told_step_by_step() -> None:
    told: list[tuple[int, int]] = []
    find_lr(
        network(),
        rows_of(40, 0),
        rows_of(30, 1),
        Training("sgd"),
        steps=5,
        progress=lambda done, of: told.append((done, of)),
    )
    assert told == [(number, 5) for number in range(1, 6)]


@pytest.mark.parametrize("steps", [0, -3, 2.5])
def test_a_search_without_steps_is_refused(steps: Any) -> None:
    with pytest.raises(SpecError, match="steps is"):
        find_lr(network(), rows_of(20, 0), rows_of(20, 1), Training(), steps=steps)


def test_more_rates_than_groups_are_refused() -> None:
    with pytest.raises(SpecError, match="2 rates"):
        find_lr(network(), rows_of(20, 0), rows_of(20, 1), Training(lr=(0.1, 0.2)))


def test_what_it_suggests_trains_well() -> None:
    """The one test of use: at the suggested rate an epoch brings more than at a hundredth."""
    rows, valid = rows_of(600, 0), rows_of(200, 1)
    for optimizer in ("sgd", "adamw"):
        training = Training(optimizer, batch_size=16, epochs=1)
        found = find_lr(network(0.0), rows, valid, training)
        assert found.suggestion is not None
        losses = []
        for lr in (found.suggestion, found.suggestion / 100):
            net = network(0.0)
            history = train(net, rows, valid, training.but(lr=lr))
            losses.append(history.epochs[-1].valid_loss)
        assert losses[0] < 0.8 * losses[1]


# ---------------------------------------------------------------- suggestions

RATES = np.geomspace(1e-6, 10, 100)
DECADES = np.log10(RATES)


def lrs(losses: Any, rates: Curve = RATES, **options: bool) -> dict[str, float]:
    found = suggestions(rates, np.asarray(losses, dtype=float), **options)
    assert all(one.why for one in found.values())
    for one in found.values():
        assert rates[0] <= one.lr <= rates[-1]
    return {name: one.lr for name, one in found.items()}


both = pytest.mark.parametrize("noisy", [True, False])


@both
def test_of_a_valley_the_default_lies_between_the_steepest_place_and_the_floor(
    noisy: bool,
) -> None:
    found = lrs(1 - 0.9 * np.exp(-((DECADES + 1) ** 2)), noisy=noisy)
    assert list(found) == [DEFAULT, "steepest", "valley", "minimum_tenth"]
    assert found["steepest"] < found[DEFAULT] < 0.1
    # The slope of exp(-x^2) is steepest at -1/sqrt(2).
    assert np.log10(found["steepest"]) == pytest.approx(-1 - 0.5**0.5, abs=0.15)
    assert found["minimum_tenth"] == pytest.approx(0.01, rel=0.1)
    assert found["valley"] < found["steepest"]


@both
def test_of_a_loss_that_always_falls_the_default_is_the_highest_rate(noisy: bool) -> None:
    found = lrs(2 - 0.2 * (DECADES + 6), noisy=noisy)
    assert found[DEFAULT] == pytest.approx(10)
    assert found["minimum_tenth"] == pytest.approx(1)


@both
@pytest.mark.parametrize("level", [0.0, 0.02, 5.0])
def test_of_a_flat_loss_nothing_is_suggested(noisy: bool, level: float) -> None:
    assert lrs(np.full(100, level), noisy=noisy) == {}


@both
def test_where_the_loss_never_falls_it_is_a_third_of_where_it_rises(noisy: bool) -> None:
    found = lrs(1 + np.exp(3 * DECADES), noisy=noisy)
    assert list(found) == ["before_rise"]
    # It is a tenth higher where 3 log10(rate) = log(0.1).
    assert found["before_rise"] == pytest.approx(10 ** (np.log(0.1) / 3) / 3, rel=0.25)


@both
def test_where_the_loss_rises_from_the_first_rate_on_no_rate_outside_is_suggested(
    noisy: bool,
) -> None:
    assert set(lrs(np.linspace(1, 5, 100), noisy=noisy)) <= {"before_rise"}
    assert lrs(np.r_[1, np.full(99, 5)], noisy=noisy) == {}


def test_of_noise_alone_next_to_nothing_is_suggested() -> None:
    """Four standard errors, of the lowest of a hundred: a few in a hundred remain."""
    found = [lrs(1 + 0.2 * np.random.default_rng(s).normal(size=100)) for s in range(200)]
    assert sum(map(bool, found)) < 30


def test_a_valley_under_noise_is_found() -> None:
    clean = lrs(1 - 0.9 * np.exp(-((DECADES + 1) ** 2)))
    for seed in range(50):
        noise = 0.05 * np.random.default_rng(seed).normal(size=100)
        found = lrs(1 - 0.9 * np.exp(-((DECADES + 1) ** 2)) + noise)
        assert abs(np.log10(found[DEFAULT] / clean[DEFAULT])) < 0.5


@both
@pytest.mark.parametrize("end", [np.nan, np.inf])
def test_what_stands_behind_a_loss_that_is_no_number_has_no_say(noisy: bool, end: float) -> None:
    losses = 1 - 0.9 * np.exp(-((DECADES + 2) ** 2))
    cut = losses.copy()
    cut[80:] = end
    cut[90:] = -100
    assert lrs(cut, noisy=noisy) == lrs(losses[:80], RATES[:80], noisy=noisy)
    assert lrs(np.full(100, end), noisy=noisy) == {}


@both
@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("direction", [-1, 0, 1])
def test_fewer_than_three_steps_say_nothing(noisy: bool, count: int, direction: int) -> None:
    losses = 1 + direction * 0.3 * np.arange(count)
    assert lrs(losses, RATES[:count], noisy=noisy) == {}


@settings(max_examples=200, deadline=None)
@given(
    losses=st.lists(
        st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, 0.0]), min_size=0, max_size=60
    ),
    noisy=st.booleans(),
)
def test_whatever_the_losses_are_every_suggestion_is_one_of_the_rates_searched(
    losses: list[float], noisy: bool
) -> None:
    lrs(losses, np.geomspace(1e-6, 10, 60)[: len(losses)], noisy=noisy)


@settings(max_examples=50, deadline=None)
@given(scale=st.floats(0.01, 100), seed=st.integers(0, 100))
def test_the_unit_of_the_loss_has_no_say(scale: float, seed: int) -> None:
    losses = 1 - 0.9 * np.exp(-((DECADES + 1) ** 2))
    losses += 0.02 * np.random.default_rng(seed).normal(size=100)
    assert lrs(scale * losses) == pytest.approx(lrs(losses))


# ---------------------------------------------------------------- what a person sees


@pytest.fixture(scope="module")
def found() -> LearningRateSearch:
    return find_lr(network(), rows_of(200, 0), rows_of(100, 1), Training(batch_size=16))


def test_the_suggestions_are_a_line_each_with_its_reason_the_default_marked(
    found: LearningRateSearch,
) -> None:
    lines = str(found).splitlines()
    assert len(lines) == len(found.suggestions) == 4
    assert lines[0].startswith(f"-> {DEFAULT} ")
    assert f"{found.suggestion:.1e}" in lines[0]
    for line, (name, one) in zip(lines, found.suggestions.items(), strict=True):
        assert name in line
        assert line.endswith(one.why)
        assert line.startswith("-> ") == (name == DEFAULT)
    assert len({line.index(f"{one.lr:.1e}") for line, one in zip(
        lines, found.suggestions.values(), strict=True)}) == 1  # fmt: skip


def test_a_search_that_found_nothing_says_so_in_a_line() -> None:
    nothing = LearningRateSearch((1e-6, 1.0), (1.0, 1.0), (1.0, 1.0), (), (), "f1", (), {}, 0.1)
    assert str(nothing) == "the loss neither fell nor rose at any rate from 1e-06 to 1e+00"
    assert nothing.suggestion is None


def test_the_figure_shows_losses_the_metric_and_each_suggestion(
    found: LearningRateSearch,
) -> None:
    figure = found.plot()
    left, right = figure.axes
    drawn = {line.get_label(): line for line in left.get_lines()}
    for label, rates, values in (
        ("training, each batch", found.rates, found.losses),
        ("training, smoothed", found.rates, found.smoothed),
        ("validation", found.valid_rates, found.valid_losses),
    ):
        np.testing.assert_array_equal(drawn[label].get_xdata(), rates)
        np.testing.assert_array_equal(drawn[label].get_ydata(), values)
    np.testing.assert_array_equal(right.get_lines()[0].get_ydata(), found.valid_metrics)
    assert right.get_ylabel() == "accuracy on validation rows"
    named = [f"suggested: {found.suggestion:.1e}", "steepest", "valley", "minimum tenth"]
    for label, one in zip(named, found.suggestions.values(), strict=True):
        assert drawn[label].get_xdata()[0] == one.lr
    assert [axes.get_xscale() for axes in figure.axes] == ["log", "log"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(drawn)


def test_the_legend_covers_no_panel(found: LearningRateSearch) -> None:
    figure = found.plot()
    image = io.BytesIO()
    figure.savefig(image, dpi=100)
    legend = figure.legends[0].get_window_extent()
    for axes in figure.axes:
        assert not legend.overlaps(axes.get_tightbbox())
    with Image.open(image) as picture:
        assert picture.width > 800


def test_the_loss_axis_shows_the_fall_and_not_the_end(found: LearningRateSearch) -> None:
    bottom, top = found.plot().axes[0].get_ylim()
    assert bottom < min(found.valid_losses) < found.losses[0] < top
    assert top < 2 * max(found.losses[:20]) + 0.1


def test_a_validation_loss_far_above_the_training_loss_is_seen_too() -> None:
    rates = tuple(RATES.tolist())
    training = tuple((0.02 + 0.001 * np.cos(np.arange(100))).tolist())
    validation = tuple((0.1 + np.exp(3 * DECADES)).tolist())
    found = LearningRateSearch(
        rates, training, training, rates, validation, "accuracy", rates, {}, 0.1
    )
    bottom, top = found.plot().axes[0].get_ylim()
    assert bottom < 0.02
    assert 0.1 < top < 1


def test_the_schedule_is_the_rate_at_each_step(found: LearningRateSearch) -> None:
    axes = found.plot_schedule().axes[0]
    (line,) = axes.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), found.rates)
    assert list(line.get_xdata()) == list(range(len(found.rates)))
    assert axes.get_yscale() == "log"


def test_a_fall_behind_a_rise_suggests_nothing() -> None:
    """A training that is thrown off at 3e-3 and finds its way back up to 0.1."""
    rates = np.geomspace(1e-6, 1, 121)
    decades = np.log10(rates)
    first = 0.15 / (1 + np.exp(4 * (decades + 4)))  # falls around 1e-4
    bump = 0.07 * np.exp(-((decades + 2.5) ** 2) / 0.05)
    second = np.where(rates > 0.1, 5.0, np.where(rates > 1e-2, -0.01, 0.0))
    found = suggestions(rates, first + bump + second + 0.01, noisy=False)
    assert 5e-5 < found["still_improving"].lr < 1e-3
    assert found["minimum_tenth"].lr < 1e-3


@pytest.mark.parametrize("looks", [15, 20, 60])
def test_few_looks_have_slopes_too(looks: int) -> None:
    rates = np.geomspace(1e-6, 1, looks)
    decades = np.log10(rates)
    losses = 0.15 / (1 + np.exp(4 * (decades + 4))) + 0.5 * np.exp(4 * decades)
    found = suggestions(rates, losses, noisy=False)
    assert 3e-5 < found["steepest"].lr < 3e-4  # the loss falls fastest at 1e-4
    assert found["steepest"].lr < found["still_improving"].lr < 1e-2


def test_a_search_computes_its_losses_as_training_does() -> None:
    """In units, by the loss that the training names, over batches of one size."""
    number = Task.regress("price")
    inputs = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    truth = (100 * inputs[:, 0]).astype(np.float32)
    rows = Rows(ArrayInputs(inputs), Labels(number, (truth,)))
    net = nn.Linear(3, 1)
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    training = Training("sgd", batch_size=16, loss="l1", weight_decay=0)
    search = find_lr(
        net, rows, rows, training, metric="r2", steps=5, units=[50.0], equal_batches=True
    )
    order = stream(0, "search order 0").permutation(50)[:48]
    by_hand = np.abs(truth[order]).reshape(3, 16).mean(axis=1) / 50
    assert search.losses[:3] == pytest.approx(by_hand, rel=1e-3)  # the rate is next to nothing
    assert search.valid_losses[0] == pytest.approx(np.abs(truth).mean() / 50, rel=1e-3)


def test_training_rows_of_which_none_counts_are_refused() -> None:
    labels = Labels(TASK, (np.zeros(5, np.int64),), np.zeros(5, np.float32))
    rows = Rows(ArrayInputs(np.ones((5, 2), np.float32)), labels)
    with pytest.raises(DataError, match="no training row counts"):
        find_lr(nn.Linear(2, 3), rows, rows, Training())
