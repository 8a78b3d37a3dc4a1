"""Learning curves: the law that errors follow, its noise, and what is said of more rows."""

import dataclasses
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit
from sklearn.datasets import load_breast_cancer, load_diabetes

from secchi import MLP, Experiment, Qwerties, TableData, Training
from secchi.errors import DataError, SpecError
from secchi.experiments.growing.few_steps import cut_short
from secchi.experiments.growing.forecast import ErrorName
from secchi.experiments.growing.growing_rows import curve_of, even_fractions, learning_curve
from secchi.experiments.growing.learning_curve import LearningCurve
from secchi.experiments.growing.power_law import EXPONENTS, fit_power_laws
from secchi.experiments.growing.row_luck import intervals, own_variances

SIZES = np.array([50.0, 100, 200, 400, 800])
SHARES = SIZES / 800
TRAINED = {"training": Training().to_dict()}


@pytest.fixture(scope="module")
def cancer() -> TableData:
    return TableData.from_frame(load_breast_cancer(as_frame=True).frame, "target", task="class")


def made(
    make_result, errors: np.ndarray, measure: str = "valid_accuracy", **options
) -> LearningCurve:
    """The curve of errors (sizes, repeats)."""
    settings_ = [{"train_fraction": float(share)} for share in SHARES]
    result = make_result(settings_, 1 - errors, **TRAINED)
    return curve_of(result, measure, 800, **options)


def noisy(law: np.ndarray, spread: float, repeats: int = 10, seed: int = 0) -> np.ndarray:
    """Errors that repeats scatter about a law, less where few rows are left to differ in."""
    noise = np.random.default_rng(seed).normal(size=(len(SIZES), repeats))
    return law[:, None] + spread * np.sqrt(np.maximum(1 - SHARES, 0.05))[:, None] * noise


# ---------------------------------------------------------------- the law


@given(st.floats(0, 0.5), st.floats(0.05, 0.8), st.floats(0.1, 1.0))
@settings(deadline=None, max_examples=60)
def test_a_law_is_found_again(a: float, first: float, c: float) -> None:
    def law(sizes):
        return a + first * (sizes / 50) ** -c

    found = fit_power_laws(SIZES, law(SIZES)[None], np.ones(5))
    assert found.at([1600, 3200])[0] == pytest.approx(
        law(np.array([1600, 3200])), abs=0.002 * first
    )
    assert found.exponent[0] == pytest.approx(c, rel=0.02)


def test_no_other_law_within_the_bounds_fits_better() -> None:
    random = np.random.default_rng(1)
    errors = 0.1 + 0.3 * (SIZES / 800) ** -0.5 + random.normal(0, 0.05, (20, 5))
    weights = SIZES / 800
    found = fit_power_laws(SIZES, errors, weights)
    ours = (weights * (found.at(SIZES) - errors) ** 2).sum(axis=1)
    bounds = ([0, -np.inf, EXPONENTS[0]], [np.inf, np.inf, EXPONENTS[-1]])

    def law(x, a, b, c):
        return a + b * x**-c

    for curve, miss in zip(errors, ours, strict=True):
        best, _ = curve_fit(
            law, SIZES / 800, curve, [0.1, 0.3, 0.5], 1 / np.sqrt(weights), bounds=bounds
        )
        other = (weights * (law(SIZES / 800, *best) - curve) ** 2).sum()
        assert miss <= other * 1.001 + 1e-12
    assert (found.asymptote >= 0).all()


def test_a_falling_error_below_every_asymptote_has_none() -> None:
    found = fit_power_laws(SIZES, np.array([[1.0, 0.8, 0.55, 0.3, 0.04]]), np.ones(5))
    assert found.asymptote[0] == 0
    assert found.at([8000])[0, 0] > 0


def test_few_sizes_are_refused() -> None:
    with pytest.raises(SpecError, match="it has 3 sizes, and a curve takes 4"):
        fit_power_laws(SIZES[:3], np.ones((1, 3)), np.ones(3))
    with pytest.raises(SpecError, match="it has 1 size, and"):
        fit_power_laws(SIZES[:1], np.ones((1, 1)), np.ones(1))


# ---------------------------------------------------------------- noise


@pytest.mark.parametrize("pooled", [True, False])
def test_intervals_hold_the_truth_whether_or_not_repeats_share_rows(pooled: bool) -> None:
    """Each "error" is the mean of its rows, of which the truth is 1."""
    random = np.random.default_rng(0)
    counts, repeats = np.array([40, 80, 160, 240, 320]), 8
    held = np.zeros(len(counts))
    for _ in range(300):
        each = np.empty((len(counts), repeats))
        pool = random.normal(1, 1, 320)
        for repeat in range(repeats):
            rows = random.permutation(pool) if pooled else random.normal(1, 1, 320)
            each[:, repeat] = np.cumsum(rows)[counts - 1] / counts
        if pooled:
            each[-1] += random.normal(0, 1e-3, repeats)
        shared = counts / 320 if pooled else np.zeros(len(counts))
        variances = own_variances(counts, each, shared)
        low, high = intervals(each.mean(axis=1), variances, shared, repeats)
        held += (low <= 1) & (high >= 1)
    assert (held / 300 > 0.9).all()
    assert (held / 300 < 1).all()


def test_what_never_differs_is_not_called_certain(make_result) -> None:
    curve = made(make_result, np.full((5, 4), 0.1))
    assert np.isnan([*curve.low, *curve.high, *curve.asymptote[1:]]).all()
    assert "with the same errors in every repeat nothing can be said about noise" in str(curve)
    assert "(no interval)" in str(curve)
    curve.plot().savefig(io.BytesIO(), format="png", dpi=40)


def test_no_interval_leaves_what_an_error_can_be(make_result) -> None:
    rising = made(make_result, noisy(np.linspace(0.8, 0.97, 5), 0.03, repeats=4))
    assert rising.high.max() == 1
    assert rising.asymptote[2] == 1
    assert rising.at(10**6).high == 1
    gone = made(make_result, np.maximum(noisy(np.array([0.2, 0.1, 0.05, 0, 0]), 0.01), 0))
    assert (gone.low >= 0).all()
    found = gone.at(10**6)
    assert (found.error, found.low, found.high) == pytest.approx((0, 0, 0), abs=0.01)
    assert "e-0" not in str(found)
    heights = rising.plot().axes[0].collections[-1].get_paths()[0].vertices[:, 1]
    assert heights.max() <= 100


def test_the_luck_of_the_validation_rows_is_told_in_numbers(make_result) -> None:
    settings_ = [{"train_fraction": float(share)} for share in SHARES]
    rows = {"train": 800, "valid": 30, "shares": {"pet": 30.0}}
    result = make_result(settings_, np.ones((5, 4)), data={"rows": rows}, **TRAINED)
    curve = curve_of(result, "valid_accuracy", 800)
    assert "on the same 30 validation rows, whose luck stays in it: as many others" in str(curve)
    assert "could give 0 to 11.4 % with 800 rows" in str(curve)
    assert curve.to_dict()["valid"]["high"] == pytest.approx(0.1135, abs=1e-4)


def test_errors_that_never_differ_have_no_variance() -> None:
    assert not own_variances(SIZES, np.full((5, 4), 0.1), SHARES).any()
    assert not own_variances(SIZES, np.full((5, 1), 0.1), SHARES).any()


# ---------------------------------------------------------------- what is said


def test_a_falling_curve_says_what_more_rows_would_bring(make_result) -> None:
    law = 0.2 * (SIZES / 800) ** -0.5
    curve = made(make_result, noisy(law, 0.004), rows="pictures")
    found = curve.at(1600)
    assert found.low < 0.2 / 2**0.5 < found.high
    assert found.change == pytest.approx(0.2 / 2**0.5 - 0.2, abs=0.02)
    assert found.told
    assert "another 800 pictures would bring about -" in str(found)
    assert "points of error" in str(found)
    assert "guess" not in str(curve.at(3200))
    assert "4 times" not in str(curve.at(3200))
    assert "that is 5 times the largest size that was measured: a guess" in str(curve.at(4000))
    assert "another" not in str(curve.at(400))
    assert (curve.low < curve.mean).all()
    assert (curve.high > curve.mean).all()


def test_a_flat_curve_says_that_nothing_can_be_told(make_result) -> None:
    curve = made(make_result, noisy(np.full(5, 0.1), 0.01), seed=2)
    found = curve.at(1600)
    assert not found.told
    assert "would bring nothing that can be told" in str(found)


def test_where_it_levels_off_is_said_only_where_it_is_known(make_result) -> None:
    sure = made(make_result, noisy(0.2 + 0.02 * (SIZES / 800) ** -1.0, 0.002))
    assert sure.asymptote == pytest.approx((0.2, 0.2, 0.2), abs=0.03)
    assert "the error levels off at about 2" in str(sure)
    errors = noisy(0.3 * (SIZES / 800) ** -0.1, 0.01)
    unsure = made(make_result, errors)
    ends = f"{100 * unsure.asymptote[2]:.1f} %)"
    assert f"where the error levels off these sizes cannot tell (95 % interval 0 to {ends}" in str(
        unsure
    )
    assert "where the loss levels off these" in str(made(make_result, errors, "valid_loss"))


def test_what_the_intervals_are_of_is_said_where_repeats_tell_another_one(make_result) -> None:
    errors = noisy(0.2 * SHARES**-0.5, 0.01)
    curve = made(make_result, errors)
    settings_ = [{"train_fraction": float(share)} for share in SHARES]
    means = make_result(settings_, 1 - errors).mean("valid_accuracy", "train_fraction")
    low, high = 1 - means.high[-1], 1 - means.low[-1]
    assert curve.of_repeats == pytest.approx((low, high))
    assert curve.low[-1] < low < high < curve.high[-1]
    of = "intervals: with other training rows of the same kind"
    alone = f"; the repeats alone would give {100 * low:.1f} to {100 * high:.1f} % with 800 rows\n"
    assert of + alone in str(curve)
    assert curve.plot().axes[0].get_title("left").splitlines()[-1] == of
    errors[-1] = 0.2
    same = str(made(make_result, errors))
    assert f"{of}\n" in same
    made_up = dataclasses.replace(curve, same_rows=False)
    assert "intervals:" not in str(made_up) + made_up.plot().axes[0].get_title("left")
    few = made(make_result, errors[:, :2])
    assert "intervals:" not in str(few) + few.plot().axes[0].get_title("left")


STEEP = [0.47, 0.45, 0.41, 0.3, 0.04]
BENT = [0.30, 0.26, 0.22, 0.175, 0.12]


@pytest.mark.parametrize(("errors", "spread"), [(STEEP, 0.002), (STEEP, 0.12), (BENT, 0.002)])
def test_errors_that_no_power_law_follows_have_no_forecast(make_result, errors, spread) -> None:
    """They fall the faster the fewer there are."""
    each = noisy(np.array(errors), spread, repeats=6)
    curve = made(make_result, np.maximum(each, 0.001))
    law, last = 100 * curve.law.at([800])[0, 0], 100 * curve.mean[-1]
    assert law > last
    note = f"no power law fits: the best gives {law:.1f} % where {last:.1f} % was measured"
    assert note in str(curve)
    for size in (400, 1600, 10**6):
        found = curve.at(size)
        assert (found.follows, found.told) == (False, False)
        assert str(found) == (
            f"with {size:,} rows: nothing that can be told, for no power law fits these errors"
        )
    assert curve.to_dict()["double"]["follows"] is False
    (axes,) = curve.plot().axes
    assert axes.get_title("left").splitlines()[0] == note
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "power law, 95 % interval" in names
    assert "forecast" not in names
    assert max(line.get_xdata()[-1] for line in axes.lines) <= 800


def test_a_power_law_follows_errors_that_it_made(make_result) -> None:
    """Also a flat one, from which the last error lies further than what doubling would bring."""
    laws = [0.2 * SHARES**-0.5, 0.1 + 0.1 * SHARES**-0.3, np.full(5, 0.1)]
    follow = [
        made(make_result, noisy(law, spread, seed=seed)).follows
        for law in laws
        for spread in (0.002, 0.02)
        for seed in range(10)
    ]
    assert np.mean(follow) > 0.9


def test_no_error_left_is_told_of_rows_only_where_it_is_of_rows(make_result) -> None:
    gone = np.maximum(noisy(np.array([0.2, 0.1, 0.05, 0, 0]), 0.01), 0)
    gone[-1] = 0
    assert "with 800 rows no validation row is left that is wrong" in str(made(make_result, gone))
    loss = str(made(make_result, gone, "valid_loss"))
    assert "with 800 rows: loss 0.0000, the least that it can be" in loss
    assert "wrong" not in loss


def test_a_loss_below_zero_is_refused(make_result) -> None:
    law = 0.5 * SHARES**-0.5 - 0.6
    with pytest.raises(DataError, match=r"loss goes down to -0\.1.* from 0 on; choose a metric"):
        made(make_result, noisy(law, 0.01), "valid_loss")
    rounded = noisy(0.1 * SHARES**-0.5, 0.01)
    rounded[-1, 0] = -1e-8
    assert made(make_result, rounded, "valid_loss").each.min() == pytest.approx(-1e-8)


def test_two_repeats_say_nothing_of_noise(make_result) -> None:
    curve = made(make_result, noisy(0.1 * (SIZES / 800) ** -0.5, 0.001, repeats=2))
    assert np.isnan(curve.low).all()
    assert "nothing can be said about noise" in str(curve)
    assert "(no interval)" in str(curve)
    curve.plot().savefig(io.BytesIO(), format="png", dpi=40)


def test_a_repeat_that_failed_anywhere_is_left_out(make_result) -> None:
    errors = noisy(0.1 * (SIZES / 800) ** -0.5, 0.001)
    settings_ = [{"train_fraction": float(share)} for share in SHARES]
    result = make_result(
        settings_, 1 - errors, failed=lambda s, r: r == 3 and s["train_fraction"] == 1, **TRAINED
    )
    curve = curve_of(result, "valid_accuracy", 800)
    assert (curve.failed, curve.each.shape) == (1, (5, 9))
    assert "left out: 1, in which a training failed" in str(curve)
    none = make_result(settings_, 1 - errors, failed=lambda s, r: s["train_fraction"] == 1)
    with pytest.raises(DataError, match="in every repeat a training failed"):
        curve_of(none, "valid_accuracy", 800)


def test_a_curve_is_plain_json_and_drawn_with_its_forecast(make_result) -> None:
    curve = made(make_result, noisy(0.1 * (SIZES / 800) ** -0.5, 0.001))
    document = json.loads(json.dumps(curve.to_dict(), allow_nan=False))
    assert [point["size"] for point in document["points"]] == [50, 100, 200, 400, 800]
    assert document["double"]["size"] == 1600
    (axes,) = curve.plot().axes
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert dashed[0].get_xdata().min() >= 800
    assert axes.get_ylabel() == "error on the validation rows, %"
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "largest size measured" in names
    for size in (0, 1e9, 2.5, "800"):
        with pytest.raises(SpecError, match=f"size is {size!r}, not a whole number from 1 on"):
            curve.at(size)


@pytest.mark.parametrize(
    ("measure", "text", "error"),
    [
        ("valid_accuracy", "error", 0.75),
        ("valid_error_rate", "error", 0.25),
        ("valid_auc", "1 - auc", 0.75),
        ("valid_loss", "loss", 0.25),
        ("valid_mae", "mae", 0.25),
        ("valid_kind.accuracy", "error of kind", 0.75),
        ("valid_v1.5.error_rate", "error of v1.5", 0.25),
        ("valid_final_grade.r", "1 - final_grade.r", 0.75),
        ("valid_final_grade.top_3", "1 - final_grade.top 3", 0.75),
    ],
)
def test_a_measure_is_told_as_an_error(measure: str, text: str, error: float) -> None:
    name = ErrorName.of(measure)
    assert (name.text, name.error(np.array([0.25]))[0]) == (text, error)
    assert name.share == text.startswith("error")


# ---------------------------------------------------------------- rows or steps


def losses(speed: float, epochs: int = 50, repeats: int = 5, noise: float = 0.005) -> np.ndarray:
    """Losses that go to their end as exp(-speed), (repeats, epochs)."""
    random = np.random.default_rng(0)
    falling = 0.2 + 0.8 * np.exp(-speed * np.linspace(0, 1, epochs))
    return falling + random.normal(0, noise, (repeats, epochs))


def count_of(*sizes: np.ndarray, schedule: str = "constant") -> int:
    """At how many of the sizes the loss was still falling."""
    each = np.stack(sizes)
    curves = SimpleNamespace(each=each, mean=each.mean(axis=1))
    return cut_short(curves, {"training": {"schedule": {"name": schedule}}})


def test_a_loss_that_still_falls_at_the_last_epoch_is_cut_short() -> None:
    assert count_of(losses(0.5), losses(2), losses(8), losses(1)) == 2
    assert count_of(losses(8), losses(0.5)) == 0
    assert count_of(losses(0.5), losses(0.5)) == 2
    assert count_of(losses(0.5, epochs=4), losses(30, epochs=4)) == 1


def test_one_epoch_parts_no_rows_from_steps() -> None:
    assert count_of(losses(0.5, epochs=1), losses(8, epochs=1)) == 2
    assert count_of(losses(0.5, epochs=1), schedule="cosine") == 1


def test_what_is_no_sign_of_few_steps_is_not_taken_for_one() -> None:
    over = losses(0.5)[:, ::-1]
    stopped = losses(0.5)
    stopped[:3, 30:] = np.nan
    assert count_of(over) == count_of(stopped) == 0
    assert count_of(losses(0.5), schedule="cosine") == 0
    assert count_of(losses(8, noise=0)) == 0
    ends = np.array([[0.5], [0.72], [0.55]])
    assert count_of(np.hstack([np.tile([1.0, 0.9, 0.8, 0.7], (3, 1)), ends])) == 0
    flat = [0.3 + losses(0, noise=0.1)[at : at + 3] for at in range(3)]
    assert count_of(*flat) == 0


def test_few_steps_are_told_and_drawn(cancer: TableData) -> None:
    base = Experiment(cancer, MLP([]), Training(lr=1e-3, epochs=4))
    curve = learning_curve(base, [0.1, 0.2, 0.5, 1], 3)
    assert curve.cut_short == 4
    assert "at all sizes the validation loss was still falling when the 4 epochs" in str(curve)
    assert curve.to_dict()["cut_short"] == 4
    names = [text.get_text() for text in curve.plot().axes[0].get_legend().get_texts()]
    assert names[-1] == "mean, 95 % interval; loss still falling"
    done = learning_curve(base.but(training=Training(lr=0.03, epochs=60)), [0.1, 0.2, 0.5, 1], 3)
    assert done.cut_short == 0
    assert "falling" not in str(done)


# ---------------------------------------------------------------- trained


def test_a_table_is_learned_from_in_growing_parts(cancer: TableData) -> None:
    base = Experiment(cancer, MLP([]), Training(epochs=5), seed=3)
    curve = learning_curve(base, repeats=4)
    count = len(cancer.train)
    assert curve.sizes.tolist() == [round(f * count) for f in even_fractions(count, 1)]
    assert (curve.sizes[0], curve.sizes[-1]) == (round(count / 16), count)
    alone = base.but(vary={"train_fraction": [curve.sizes[2] / count]}, repeats=4).run()
    accuracy = alone.mean("valid_accuracy", "train_fraction").each[0]
    assert 1 - curve.each[2] == pytest.approx(accuracy)
    assert curve.mean[0] > curve.mean[-1]
    assert curve.rows == "rows"
    loss = learning_curve(base, [0.2, 0.4, 0.6, 1], 3, measure="valid_loss")
    assert "loss" in str(loss)
    assert "%" not in str(loss).replace("95 %", "")


def test_made_up_rows_have_no_luck_in_common() -> None:
    curve = learning_curve(
        Experiment(Qwerties(rows=200), MLP([]), Training(epochs=5)), [0.1, 0.2, 0.5, 1], 4
    )
    assert not curve.same_rows
    assert "same validation rows" not in str(curve)


def test_what_cannot_be_is_refused_before_anything_is_trained(
    cancer: TableData, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Experiment(cancer)
    with pytest.raises(SpecError, match="did you mean valid_accuracy"):
        learning_curve(base, measure="valid_acuracy")
    with pytest.raises(SpecError, match="vary is given"):
        learning_curve(base.but(vary={"lr": [0.1]}))
    monkeypatch.setattr(Experiment, "run", lambda *given, **options: pytest.fail("it was trained"))
    with pytest.raises(SpecError, match="2 sizes"):
        learning_curve(base, [0.5, 1])
    frame = load_diabetes(as_frame=True).frame
    numbers = Experiment(TableData.from_frame(frame, "target"), MLP([]))
    with pytest.raises(SpecError, match="validation loss is in units .* each train_fraction"):
        learning_curve(numbers, measure="valid_loss")
    with pytest.raises(DataError, match="too few"):
        even_fractions(4, 1)
