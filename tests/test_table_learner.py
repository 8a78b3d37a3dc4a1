"""The façade on tables: three lines, every kind of task, keeping and coming back."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from torch import nn

from secchi.bundle.bundle import Bundle
from secchi.console import Console
from secchi.data.looks import TestSet
from secchi.data.synthetic import Moons, Qwerties
from secchi.data.table import TableData
from secchi.data.vault import Ledger
from secchi.errors import BundleError, DataError, SealedError, SpecError
from secchi.learner import Learner
from secchi.models.collapse import collapsed
from secchi.models.mlp import MLP
from secchi.training.history import Outcome
from secchi.training.spec import Training

QUICK = Training("adam", lr=1e-2, epochs=15, batch_size=16, weight_decay=0.0)


def iris() -> pd.DataFrame:
    found = load_iris(as_frame=True)
    frame = found.frame.drop(columns="target")
    return frame.assign(species=np.array(found.target_names)[found.target])


def learner(
    data: TableData, model: Any = None, training: Training = QUICK, **options: Any
) -> Learner:
    return Learner(data, model, training, console=Console(quiet=True), **options)


def test_iris_is_learned() -> None:
    learn = learner(TableData.from_frame(iris(), "species"), MLP([16]))
    history = learn.fit()
    assert history.outcome is Outcome.COMPLETED
    assert learn.evaluate("valid")["accuracy"] >= 0.9
    predictions = learn.predictions("valid")
    assert predictions.probabilities.shape == (30, 3)
    assert predictions.metric("accuracy") == learn.evaluate("valid")["accuracy"]
    assert set(predictions.predicted_labels) <= {"setosa", "versicolor", "virginica"}


def test_iris_and_three_clouds_are_told_apart_and_each_class_is() -> None:
    three = TableData.made(Qwerties(classes=3))
    for data in (TableData.from_frame(iris(), "species"), three):
        folds = [learner(fold, MLP([16])) for fold in data.folds(5)]
        for fold in folds:
            fold.fit()
        assert np.mean([fold.evaluate()["accuracy"] for fold in folds]) >= 0.95
        each = [fold.predictions().per_class_accuracy() for fold in folds]
        for name in data.classes:
            assert np.mean([shares[name] for shares in each]) >= 0.9


def test_layers_without_a_nonlinearity_are_one_layer() -> None:
    data = TableData.from_frame(iris(), "species")
    learn = learner(data, MLP([16, 8], activation="identity"), precision="fp64")
    learn.fit(epochs=5)
    one = collapsed(learn.network)
    assert one.weight.shape == (3, 4)
    rows = learn._trainee.example()
    torch.testing.assert_close(one(rows), learn.network(rows), rtol=1e-12, atol=1e-12)
    assert one.weight.numel() + one.bias.numel() < learn.summary().parameters


def test_the_same_seed_gives_the_same_numbers_and_another_others() -> None:
    data = TableData.from_frame(load_wine(as_frame=True).frame, "target")
    runs = [learner(data, MLP([8], dropout=0.3), seed=seed).fit(epochs=3) for seed in (1, 1, 2)]
    losses = [[epoch.valid_loss for epoch in run.epochs] for run in runs]
    assert losses[0] == losses[1] != losses[2]


def test_a_number_is_predicted_in_its_own_unit_and_learned_in_that_of_its_spread() -> None:
    """House prices of 100,000 and more are no harder than numbers around one."""
    frame = load_diabetes(as_frame=True).frame
    dear = frame.assign(target=frame["target"] * 1e6)
    runs = []
    for rows in (frame, dear):
        data = TableData.from_frame(rows, "target", task="number", split="position")
        learn = learner(data, MLP([16]), metrics=["r", "mae"], precision="fp64")
        learn.fit()
        runs.append((learn.evaluate("valid"), learn.predictions("valid").predicted))
    (small, one), (large, million) = runs
    assert small["r"] > 0.5
    assert large["loss"] == pytest.approx(small["loss"], rel=1e-4)
    assert large["mae"] == pytest.approx(small["mae"] * 1e6, rel=1e-4)
    np.testing.assert_allclose(million, one * 1e6, rtol=1e-3)
    truth = TableData.from_frame(frame, "target", task="number").train.targets
    plain = TableData.from_frame(frame, "target", task="number", target_scale="none")
    assert learner(plain)._trainee.units is None
    assert learner(TableData.from_frame(frame, "target", task="number"))._trainee.units == [
        pytest.approx(truth.astype(float).std())
    ]


def test_the_first_loss_of_a_number_is_about_its_variance() -> None:
    data = TableData.from_frame(load_diabetes(as_frame=True).frame, "target", task="number")
    learn = learner(data, MLP([16], init="zeros"))
    assert learn.evaluate("train")["loss"] == pytest.approx(1.0, rel=1e-4)


def test_several_targets_have_metrics_of_their_own() -> None:
    frame = load_diabetes(as_frame=True).frame.assign(
        sick=lambda f: np.where(f["target"] > 150, "yes", "no")
    )
    data = TableData.from_frame(frame, ["target", "sick"], task={"target": "number"})
    learn = learner(data, MLP([16]))
    history = learn.fit()
    assert set(history.epochs[0].metrics) == {"target.r", "sick.accuracy"}
    assert history.epochs[-1].metrics["sick.accuracy"] > 0.6
    predictions = learn.predictions("valid")
    assert predictions.target("sick").metric("accuracy") == pytest.approx(
        history.epochs[-1].metrics["sick.accuracy"]
    )


def test_shares_of_classes_are_learned_by_their_divergence() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=200)
    sun = 1 / (1 + np.exp(-3 * x))
    frame = pd.DataFrame({"x": x, "sun": sun, "rain": 1 - sun})
    learn = learner(
        TableData.from_frame(frame, ["sun", "rain"], task="distribution"), MLP([8]), metrics=["kl"]
    )
    learn.fit()
    assert learn.evaluate("valid")["loss"] < 0.01
    assert learn.evaluate("valid")["kl"] == pytest.approx(learn.evaluate("valid")["loss"], rel=1e-3)


@pytest.mark.parametrize(
    "model",
    [
        MLP([8]),
        nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)),
        lambda inputs, outputs: nn.Linear(inputs, outputs),
        [nn.Linear(4, 3)],
    ],
    ids=["spec", "module", "factory", "sequence"],
)
def test_networks_come_in_many_forms(model: Any) -> None:
    learn = learner(TableData.from_frame(iris(), "species"), model)
    assert learn.fit(epochs=2).outcome is Outcome.COMPLETED


def test_a_network_that_does_not_fit_is_told() -> None:
    learn = learner(TableData.from_frame(iris(), "species"), nn.Linear(5, 3))
    with pytest.raises(SpecError, match="cannot take rows of 4 numbers"):
        learn.fit()


def test_a_table_is_questioned() -> None:
    learn = learner(TableData.from_frame(load_breast_cancer(as_frame=True).frame, "target"))
    learn.fit()
    found = learn.baselines()
    assert found["logistic regression"].score > 0.9
    assert found["network"].score == pytest.approx(learn.evaluate()["accuracy"])
    assert learn.slices().rows == len(learn.data.valid)
    assert learn.draw_network().axes
    assert learn.summary().parameters == sum(p.numel() for p in learn.network.parameters())
    assert learn.memory_estimate() > 0
    assert learn.plan(epochs=3).plot().axes
    assert learn.find_lr(steps=30).rates[0] > 0
    frame = load_diabetes(as_frame=True).frame.assign(target=lambda f: f["target"] / 3)
    number = learner(TableData.from_frame(frame, "target", task="number"))
    assert number.baselines()["mean"].score < 0.05
    assert number.slices().measure == "absolute error"


def test_two_columns_have_a_boundary() -> None:
    learn = learner(TableData.made(Moons()), MLP([16]))
    learn.fit()
    found = learn.boundary()
    misses = (~learn.predictions().correct).sum()
    assert found.missed.sum() == misses
    with pytest.raises(DataError, match="two columns"):
        learner(TableData.from_frame(iris(), "species")).boundary()


def test_what_is_for_pictures_is_told() -> None:
    learn = learner(TableData.from_frame(iris(), "species"))
    for call in (learn.freeze, learn.augment, learn.recipe, learn.tta, learn.extract, learn.groups):
        with pytest.raises(SpecError, match="only there for pictures"):
            call()


def test_a_loss_that_does_not_suit_is_told_before_the_work() -> None:
    learn = learner(TableData.from_frame(iris(), "species"))
    with pytest.raises(SpecError, match="does not suit 'species'"):
        learn.fit(loss="mse")


def test_rows_count_by_their_weight() -> None:
    """Rows of weight zero might as well not be there."""
    frame = load_breast_cancer(as_frame=True).frame
    says = np.where(np.arange(len(frame)) < 400, "train", "valid")
    frame = frame.assign(part=says, weight=1.0)
    frame.loc[frame.index % 3 == 0, "weight"] = 0.0
    frame.loc[frame.index % 3 == 0, "target"] = 0  # wrong on purpose
    data = TableData.from_frame(frame, "target", split_column="part", weight_column="weight")
    learn = learner(data, MLP([8]))
    learn.fit()
    assert learn.evaluate("valid")["accuracy"] > 0.9


# ---------------------------------------------------------------- keeping


def test_a_run_is_written_and_predicts_anywhere(tmp_path: Path) -> None:
    table = tmp_path / "iris.csv"
    iris().to_csv(table, index=False)
    data = TableData.from_csv(table, "species", test=True)
    learn = learner(data, MLP([16], batch_norm="before"), out=tmp_path / "runs")
    learn.fit(epochs=5)
    run = learn.save_run()
    assert sorted(os.listdir(run)) == ["bundle", "checkpoint", "history.csv", "run.json"]
    record = json.loads((run / "run.json").read_text())
    assert record["rows"] == {"train": 120, "valid": 15, "test": 15, "skipped": 0}
    assert record["model"]["hidden"] == [16]
    here = learn.predictions("valid")
    bundle = Bundle.load(run)
    turned = iris()[list(iris().columns[::-1])]
    for rows in (table, turned, turned.drop(columns="species")):
        found = bundle.predict(rows)
        assert found.source_name == ("line" if rows is table else "row")
        places = data.valid.rows - 2
        np.testing.assert_allclose(found.outputs[places], here.outputs, atol=1e-5)
    array = bundle.predict(iris().drop(columns="species").to_numpy())
    np.testing.assert_allclose(array.outputs, bundle.predict(table).outputs, atol=1e-5)
    assert learn.predict(table).predicted_labels.tolist() == found.predicted_labels.tolist()
    with pytest.raises(DataError, match="petal"):
        bundle.predict(iris().iloc[:, :2])
    with pytest.raises(DataError, match="has not the 4 columns"):
        bundle.predict(np.zeros((3, 5)))


def test_later_training_spares_a_bundle() -> None:
    learn = learner(TableData.from_frame(iris(), "species"))
    bundle = learn.bundle()
    before = bundle.predict(iris()).outputs
    learn.fit(epochs=2)
    assert np.array_equal(bundle.predict(iris()).outputs, before)


def test_ones_own_module_is_given_again(tmp_path: Path) -> None:
    learn = learner(TableData.from_frame(iris(), "species"), nn.Linear(4, 3), out=tmp_path)
    learn.fit(epochs=1)
    run = learn.save_run()
    with pytest.raises(BundleError, match="give it again"):
        Bundle.load(run)
    again = Bundle.load(run, model=nn.Linear(4, 3)).predict(iris())
    np.testing.assert_allclose(again.outputs, learn.predict(iris()).outputs, atol=1e-6)
    with pytest.raises(SpecError, match="device is not for table"):
        Bundle.load(run, device="cpu")


def test_a_changed_bundle_is_refused(tmp_path: Path) -> None:
    learn = learner(TableData.from_frame(iris(), "species"), MLP([8]), out=tmp_path)
    bundle = learn.bundle().save(tmp_path / "bundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["model"]["hidden"] = [9]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="was changed"):
        Bundle.load(bundle)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    data = TableData.from_frame(iris(), "species")
    learn = learner(data, MLP([8]), out=tmp_path)
    learn.fit(epochs=2)
    before = learn.predictions().outputs
    learn.save("before")
    learn.fit(epochs=2)
    assert not np.array_equal(learn.predictions().outputs, before)
    learn.load("before")
    assert np.array_equal(learn.predictions().outputs, before)
    with pytest.raises(BundleError, match="only for other classes"):
        learner(data, MLP([9]), out=tmp_path).load("before")


def test_a_killed_run_goes_on_to_the_bit(tmp_path: Path) -> None:
    data = TableData.from_frame(iris(), "species")
    model, training = MLP([8], dropout=0.2), QUICK.but(epochs=6, ema=0.9)
    whole = learner(data, model, training, out=tmp_path / "whole")
    whole.fit()

    class Killed(Exception):
        pass

    class Dies(Console):
        def line(self, text: str) -> None:
            if text.strip().startswith("3 "):
                raise Killed

    out = tmp_path / "killed"
    options: dict[str, Any] = {"out": out, "resume": "auto", "checkpoint_seconds": 0}
    with pytest.raises(Killed):
        Learner(data, model, training, console=Dies(quiet=True), **options).fit()
    again = learner(data, model, training, **options)
    history = again.fit()
    assert [epoch.number for epoch in history.epochs] == list(range(6))
    for one, other in zip(
        whole.network.state_dict().values(), again.network.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


# ---------------------------------------------------------------- the sealed test set


def test_each_look_at_the_test_set_is_counted(tmp_path: Path) -> None:
    data = TableData.from_frame(iris(), "species", test=True)
    learn = learner(data, MLP([8]))
    learn.fit(epochs=2)
    with pytest.raises(SealedError):
        learn.evaluate("test")
    with pytest.raises(SealedError):
        learn.predictions("test")
    first = learn.test("the choices are made")
    assert first.report.looks == first.report.models == 1
    assert first.report.optimism == 0
    learn.fit(epochs=2)
    second = learn.test("once more")
    assert (second.report.looks, second.report.models) == (2, 2)
    assert second.report.optimism is None or second.report.optimism > 0
    copy = TableData.from_frame(
        iris().sample(frac=1, random_state=0), "species", test=True, name="another name"
    )
    third = learner(copy, MLP([4])).test("a copy of the data")
    assert (third.report.looks, third.report.models) == (3, 3)
    assert "3 models" in str(third)
    assert Ledger().path == Path(os.environ["SECCHI_LEDGER"])
    assert third.scores.keys() == {"loss", "accuracy"}


def test_a_run_is_opened_again_and_tested(tmp_path: Path) -> None:
    table = tmp_path / "iris.csv"
    iris().to_csv(table, index=False)
    learn = learner(
        TableData.from_csv(table, "species", test=True), MLP([8]), out=tmp_path / "runs"
    )
    learn.fit(epochs=3)
    run = learn.save_run()
    again = Learner.from_run(run, console=Console(quiet=True))
    assert again.evaluate("valid") == pytest.approx(learn.evaluate("valid"))
    assert again.test("now").scores == pytest.approx(learn.test("now").scores)
    assert again.test("and again").report.models == 1
    assert again.record()["test"]["report"]["looks"] == 3
    iris().iloc[:140].to_csv(table, index=False)
    with pytest.raises(DataError, match="have changed since"):
        Learner.from_run(run)
    with pytest.raises(BundleError, match="no finished run"):
        Learner.from_run(tmp_path)


def test_a_shown_run_of_many_epochs_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    data = TableData.from_frame(iris(), "species")
    Learner(data, MLP([4]), QUICK.but(epochs=200)).fit()
    assert 10 < len(capsys.readouterr().out.splitlines()) < 30


# ---------------------------------------------------------------- what a review found


def test_a_module_is_copied_so_that_folds_do_not_learn_of_each_other() -> None:
    net = nn.Linear(4, 3)
    before = net.weight.detach().clone()
    data = TableData.from_frame(iris(), "species")
    learns = [learner(fold, net, precision="fp64") for fold in data.folds(2)]
    for learn in learns:
        learn.fit(epochs=1)
    assert torch.equal(net.weight, before)
    assert net.weight.dtype == torch.float32
    assert learns[0].network is not learns[1].network


def codes(rows: int = 60) -> pd.DataFrame:
    names = np.array(["01", "02", "A1"])[np.arange(rows) % 3]
    return pd.DataFrame({"zip": names, "x": np.linspace(0, 1, rows), "kind": names == "A1"})


def test_columns_are_at_prediction_what_they_were_in_training(tmp_path: Path) -> None:
    learn = learner(TableData.from_frame(codes().assign(kind=codes()["zip"]), "kind"), MLP([8]))
    learn.fit(epochs=30)
    few = codes()[codes()["zip"] != "A1"].drop(columns="kind")
    few.to_csv(tmp_path / "few.csv", index=False)
    for rows in (few, tmp_path / "few.csv"):
        assert (learn.predict(rows).predicted_labels == few["zip"]).mean() > 0.9
    with pytest.raises(DataError, match="holds dates"):
        learn.predict(few.assign(x=pd.date_range("2026-01-01", periods=len(few))))
    stray = few.astype({"x": object}).assign(x=lambda f: ["?!", *f["x"][1:]])
    with pytest.warns(UserWarning, match="'x'"):
        assert len(learn.predict(stray)) == len(few)


def test_rows_that_are_left_out_at_prediction_are_told(tmp_path: Path) -> None:
    learn = learner(TableData.from_frame(iris(), "species"))
    text = iris().to_csv(index=False).splitlines()
    text[3] += ",1"
    (tmp_path / "ragged.csv").write_text("\n".join(text) + "\n")
    with pytest.warns(UserWarning, match="rows left out"):
        found = learn.predict(tmp_path / "ragged.csv")
    assert 4 not in found.sources
    assert len(found) == 149


def test_separator_and_encoding_of_training_hold_at_prediction(tmp_path: Path) -> None:
    frame = codes().assign(kind=np.where(codes()["zip"] == "A1", "да", "нет"))
    frame.to_csv(tmp_path / "a.csv", sep="^", index=False, encoding="cp1251")
    said = {"sep": "^", "encoding": "cp1251"}
    learn = learner(TableData.from_csv(tmp_path / "a.csv", "kind", **said), out=tmp_path / "runs")
    learn.fit(epochs=20)
    run = learn.save_run()
    assert (Bundle.load(run).predict(tmp_path / "a.csv").predicted_labels == frame["kind"]).all()
    frame.to_csv(tmp_path / "b.csv", index=False)
    again = learn.bundle().predict(tmp_path / "b.csv", sep=",", encoding="utf-8")
    assert (again.predicted_labels == frame["kind"]).all()


def test_an_array_has_the_columns_that_training_was_given() -> None:
    found = load_breast_cancer()
    X = np.hstack([np.ones((len(found.data), 1)), found.data])
    learn = learner(TableData.from_arrays(X, found.target), MLP([8]))
    learn.fit(epochs=5)
    assert np.array_equal(learn.predict(X).outputs, learn.predict(X[:, 1:]).outputs)


def test_a_column_that_never_changed_in_training_does_not_count() -> None:
    frame = codes().assign(year=np.where(np.arange(60) < 40, 2e5, 3e5))
    says = np.where(np.arange(60) < 40, "train", "valid")
    data = TableData.from_frame(frame.assign(part=says), "kind", split_column="part")
    learn = learner(data, MLP([8]))
    learn.fit()
    assert learn.evaluate()["loss"] < 1


def test_every_look_at_the_test_set_counts_whatever_it_is_for() -> None:
    data = TableData.from_frame(iris(), "species", test=True)
    learn = learner(data, MLP([8]))
    learn.fit(epochs=1)
    assert learn.test("now").report.looks == 1
    learn.slices("test")
    learn.predictions("test")
    learn.evaluate("test")
    assert learn.test("again").report.looks == 5


def test_what_cannot_be_judged_opens_nothing(tmp_path: Path) -> None:
    table = tmp_path / "iris.csv"
    iris().to_csv(table, index=False)
    data = TableData.from_csv(table, "species", test=True, seed=np.int64(3))
    own = QUICK.but(loss=nn.CrossEntropyLoss(reduction="none"), epochs=1)
    learn = learner(data, MLP([8]), own, out=tmp_path / "runs")
    learn.fit()
    run = learn.save_run()
    again = Learner.from_run(run, console=Console(quiet=True))
    with pytest.raises(SpecError, match="one's own"):
        again.test("now")
    assert Ledger().looks(TestSet.of(data.splits["test"].keys)).here == ()
    given = Learner.from_run(run, console=Console(quiet=True), training=own)
    assert given.test("now").scores["loss"] > 0


def test_a_run_that_is_opened_and_saved_again_keeps_what_it_was(tmp_path: Path) -> None:
    table = tmp_path / "iris.csv"
    iris().to_csv(table, index=False)
    learn = learner(TableData.from_csv(table, "species"), MLP([8]), out=tmp_path / "runs")
    learn.fit(epochs=2)
    run = learn.save_run()
    before = json.loads((run / "run.json").read_text())
    again = Learner.from_run(run, console=Console(quiet=True))
    assert again.history is not None
    assert len(again.history.epochs) == 2
    again.save_run()
    after = json.loads((run / "run.json").read_text())
    for name in ("outcome", "epochs", "training", "valid", "train"):
        assert after[name] == before[name]


def test_a_killed_run_is_not_taken_over_for_another_loss(tmp_path: Path) -> None:
    frame = load_diabetes(as_frame=True).frame
    data = TableData.from_frame(frame, "target", task="number")

    def trained(delta: float) -> Learner:
        training = QUICK.but(loss=nn.HuberLoss(delta=delta), epochs=2)
        learn = learner(data, MLP([4]), training, out=tmp_path / "runs", resume="auto")
        learn.fit()
        learn._run._release()  # as the end of the process does
        return learn

    first, other, again = trained(1.0), trained(0.01), trained(1.0)
    assert len(list((tmp_path / "runs").iterdir())) == 2
    assert other.evaluate() != first.evaluate() == again.evaluate()


def test_several_targets_are_questioned_one_by_one() -> None:
    frame = load_diabetes(as_frame=True).frame.assign(
        sick=lambda f: np.where(f["target"] > 150, "yes", "no")
    )
    learn = learner(TableData.from_frame(frame, ["target", "sick"], task={"target": "number"}))
    learn.fit(epochs=2)
    assert learn.slices(target="sick").measure == "error rate"
    assert learn.baselines("target").metric == "r2"


def test_no_value_in_any_training_row_is_told() -> None:
    frame = codes().assign(part=np.where(np.arange(60) < 40, "train", "valid"))
    frame.loc[:39, "zip"] = None
    data = TableData.from_frame(frame, "kind", inputs=["zip"], split_column="part")
    with pytest.raises(DataError, match="has a value in any training row"):
        learner(data).fit()


def test_rows_cost_in_predictions_what_they_cost_in_training() -> None:
    frame = load_diabetes(as_frame=True).frame.assign(target=lambda f: f["target"] * 30)
    learn = learner(TableData.from_frame(frame, "target", task="number"), MLP([8]))
    learn.fit(loss="l1", epochs=3)
    found = learn.predictions()
    assert found.losses is not None
    assert found.losses.mean() == pytest.approx(learn.evaluate()["loss"], rel=1e-5)
