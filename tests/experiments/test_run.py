"""Running an experiment: what is trained, what is kept, what goes on, and what is told."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer

from secchi.cohort.alone import train_alone
from secchi.console import Console
from secchi.data.synthetic import Line
from secchi.data.table import TableData
from secchi.errors import SecchiError, SpecError
from secchi.experiments import run as run_module
from secchi.experiments import shares
from secchi.experiments.experiment import Experiment
from secchi.experiments.run import run
from secchi.experiments.store import Counts, Store
from secchi.models.mlp import MLP
from secchi.training.spec import Training

RATES = (0.01, 0.1)
QUIET = Console(quiet=True)


def experiment(rates: Sequence[float] = RATES, repeats: int = 2, **more: Any) -> Experiment:
    training = Training("sgd", lr=0.1, epochs=2, batch_size=16, **more)
    return Experiment(Line(rows=30), MLP([2]), training, {"lr": rates}, repeats=repeats)


class Heard(Console):
    """Keeps what is told and shown."""

    def __init__(self) -> None:
        self._text = io.StringIO()
        super().__init__(self._text)
        self.shown: list[tuple[int, int]] = []

    @property
    def text(self) -> str:
        return self._text.getvalue()

    @contextlib.contextmanager
    def progress(self, title: str, what: str = "pictures") -> Iterator[Any]:
        yield lambda done, total: self.shown.append((done, total))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "line.sqlite"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many networks are trained, one number a share."""
    counts: list[int] = []
    train_members = run_module.train_members

    def counted(members: Sequence[Any], *given: Any, **named: Any) -> Any:
        counts.append(len(members))
        return train_members(members, *given, **named)

    monkeypatch.setattr(run_module, "train_members", counted)
    return counts


def same(one: Any, other: Any) -> bool:
    pd.testing.assert_frame_equal(one.final, other.final, check_exact=True)
    return True


# ---------------------------------------------------------------- what is trained and kept


@pytest.mark.parametrize("kept", [False, True])
def test_every_trial_is_trained_as_it_would_be_alone(path: Path, kept: bool) -> None:
    made = experiment()
    result = run(made, path if kept else None, console=QUIET)
    assert list(result.final["trial"]) == [0, 1, 2, 3]
    finished = Store.read(path).finished() if kept else result.finished
    assert [each.trial for each in finished] == list(made.trials)
    tables = made.tables()
    for each in finished:
        alone = train_alone(made.member(each.trial, tables), made.metrics)
        assert each.curve.valid_loss == pytest.approx(alone.valid_loss, rel=1e-5)
        assert list(each.curve.metrics) == list(alone.metrics) == list(made.metrics)
        assert each.seconds > 0


def test_what_trains_alone_is_kept_with_the_reason(path: Path) -> None:
    made = Experiment(
        Line(rows=30), MLP([2]), Training(epochs=1), {"activation": ["relu", "prelu"]}
    )
    run(made, path, console=QUIET)
    together, alone = Store.read(path).finished()
    assert together.alone is None
    assert alone.alone


def test_only_what_is_new_is_trained(path: Path, trained: list[int]) -> None:
    first = run(experiment(), path, console=QUIET)
    assert first.computed == sum(trained) == 4
    again = run(experiment(), path, console=QUIET)
    assert same(again, first)
    assert again.computed == 0
    assert sum(trained) == 4
    more = run(experiment((*RATES, 0.05), 3), path, console=QUIET)
    assert more.computed == 5
    assert sum(trained) == 9
    assert same(more, run(experiment((*RATES, 0.05), 3), console=QUIET))
    # Those that are not asked for any more stay, and are not in the result.
    assert same(run(experiment(), path, console=QUIET), first)
    assert Store.read(path).counts() == Counts(4, 4, 0, earlier=5)


def test_another_experiment_is_refused(path: Path) -> None:
    run(experiment(), path, console=QUIET)
    with pytest.raises(SecchiError, match=r"training\.l1 is 0\.1 and was 0\.0; give the store"):
        run(experiment(l1=0.1), path, console=QUIET)


def test_anew_keeps_the_old_file_under_another_name(path: Path, trained: list[int]) -> None:
    for count in (4, 8, 12):
        heard = Heard()
        run(experiment(l1=0.01 * count), path, fresh=True, console=heard)
        assert sum(trained) == count
    assert "starting anew" in heard.text
    assert "line.2.sqlite" in heard.text
    kept = {place.name for place in path.parent.glob("*.sqlite")}
    assert kept == {"line.sqlite", "line.1.sqlite", "line.2.sqlite"}
    assert Store.read(path.with_name("line.1.sqlite")).document["training"]["l1"] == 0.04


def test_anew_leaves_alone_what_another_process_is_at_work_on_or_wrote(path: Path) -> None:
    made = experiment()
    store = Store.open(path, made.to_dict(), made.fingerprint())
    store.add(made.trials)
    with store.working():
        store.claim([made.trials[0].key])
        with pytest.raises(SecchiError, match=f"process {os.getpid()} on .* is at work on"):
            run(made, path, fresh=True, console=QUIET)
    path.write_text("epoch,loss\n" * 1000)
    with pytest.raises(SecchiError, match="no SQLite file"):
        run(made, path, fresh=True, console=QUIET)
    assert path.read_text().startswith("epoch,loss")


def test_trials_that_another_process_no_longer_has_are_trained_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began with fewer values meanwhile: that is no reason to leave the others, or to wait."""
    train_members: Callable[..., Any] = run_module.train_members
    fewer = experiment(RATES[:1])

    def meanwhile(*given: Any, **named: Any) -> Any:
        Store.open(path, fewer.to_dict(), fewer.fingerprint()).add(fewer.trials)
        return train_members(*given, **named)

    monkeypatch.setattr(run_module, "train_members", meanwhile)
    assert run(experiment(), path, console=QUIET).computed == 4
    assert Store.read(path).counts() == Counts(2, 2, 0, earlier=2)


@pytest.mark.parametrize("jobs", [0, -1, 1.5, "2", True])
def test_jobs_that_cannot_be(jobs: Any) -> None:
    with pytest.raises(SpecError, match="jobs is"):
        run(experiment(), jobs=jobs, console=QUIET)


# ---------------------------------------------------------------- beside others, and interrupted


def test_what_another_holds_is_waited_for_and_taken_over(
    path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[int]
) -> None:
    monkeypatch.setattr(run_module, "POLL_SECONDS", 0.01)
    made = experiment()
    other = Store.open(path, made.to_dict(), made.fingerprint())
    other.add(made.trials)
    lines: list[str] = []

    class Listening(Heard):
        def line(self, text: str) -> None:
            lines.append(text)
            other.release()

    with other.working():
        other.claim([trial.key for trial in made.trials[:3]])
        result = run(made, path, console=Listening())
    assert result.computed == 4
    (line,) = lines
    assert line.startswith(f"3 networks left, held by process {os.getpid()} on ")
    assert sum(trained) == 4
    assert same(result, run(made, console=QUIET))


def test_one_that_is_between_two_shares_is_left_its_part(
    path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[int]
) -> None:
    monkeypatch.setattr(shares, "_LANES", 1)
    monkeypatch.setattr(shares, "_FIRST", 1)
    made = experiment(repeats=8)
    other = Store.open(path, made.to_dict(), made.fingerprint())
    other.add(made.trials)
    train_members: Callable[..., Any] = run_module.train_members

    def meanwhile(*given: Any, **named: Any) -> Any:
        if len(trained) == 1:
            other.release()
        return train_members(*given, **named)

    monkeypatch.setattr(run_module, "train_members", meanwhile)
    with other.working():
        other.claim([made.trials[-1].key])
        run(made, path, jobs=1, console=QUIET)
    assert trained[:3] == [1, 4, 3]  # of the last 11 half of its part, and not all


def test_an_interruption_keeps_what_has_ended(
    path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[int]
) -> None:
    train_members: Callable[..., Any] = run_module.train_members

    def interrupted(members: Sequence[Any], *given: Any, **named: Any) -> Any:
        train_members(members[:3], *given, **named)
        raise KeyboardInterrupt

    heard = Heard()
    with monkeypatch.context() as once:
        once.setattr(run_module, "train_members", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(experiment(), path, console=heard)
    assert "interrupted: 3 of 4 networks are finished; they are kept in" in heard.text
    assert "the same again goes on" in heard.text
    assert Store.read(path).counts() == Counts(4, 3, 0)
    trained.clear()
    heard = Heard()
    result = run(experiment(), path, console=heard)
    assert trained == [1]
    assert "3 of 4 networks finished before" in heard.text
    assert same(result, run(experiment(), console=QUIET))


@pytest.mark.parametrize("option", ["store=", "--store FILE.sqlite"])
def test_an_interruption_says_what_would_have_kept_it(
    monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "train_members", interrupted)
    heard = Heard()
    with pytest.raises(KeyboardInterrupt):
        run(experiment(), console=heard, option=option)
    assert f"nothing is kept; with {option} the same again would go on" in heard.text


def test_an_error_lets_go_of_the_share(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: Any, **named: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(run_module, "train_members", fails)
    with pytest.raises(MemoryError):
        run(experiment(), path, console=QUIET)
    assert Store.read(path).counts() == Counts(4, 0, 0)


def test_what_cannot_be_trained_is_refused_and_the_others_go_on(path: Path) -> None:
    cancer = TableData.from_frame(load_breast_cancer(as_frame=True).frame, "target", task="class")
    made = Experiment(
        cancer,
        MLP([2], batch_norm="after"),
        Training("sgd", lr=0.1, epochs=2, batch_size=64),
        {"train_fraction": [0.001, 0.5], "lr": [0.1, 0.2]},
        repeats=2,
    )
    found = run(made, path, console=QUIET)
    outcomes = ["refused", "refused", "completed", "completed"] * 2
    assert found.final["outcome"].tolist() == outcomes
    assert [trial.setting["train_fraction"] for trial in found.failed] == [0.001] * 4
    faults = [each.fault for each in found.finished]
    assert faults[2] is None
    assert "batch normalisation" in str(faults[0])
    words = "4 trials could not be trained, such as train_fraction=0.001, lr=0.1, repeat 0: "
    assert words + str(faults[0]) in str(found)
    assert Store.read(path).counts() == Counts(8, 8, 0)
    harmless = run(made.but(vary={"train_fraction": [0.5], "lr": [0.1, 0.2]}), console=QUIET)
    kept = found.final[found.final["train_fraction"] == 0.5]
    assert kept["valid_loss"].tolist() == harmless.final["valid_loss"].tolist()


def test_rows_that_cannot_be_had_refuse_their_trials_alone(path: Path) -> None:
    made = Experiment(Line(), MLP([2]), Training("sgd", epochs=1), {"rows": [1, 30, 60]}, repeats=2)
    found = run(made, path, console=QUIET)
    assert found.final["outcome"].tolist() == ["refused", "completed", "completed"] * 2
    assert "has 1 usable rows" in str(found.finished[3].fault)
    assert "2 not at all: Line has 1 usable rows" in str(made.plan())


# ---------------------------------------------------------------- what is shown


def test_networks_are_trained_on_the_device_of_the_experiment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    devices = []
    train_members = run_module.train_members

    def on_processor(members: Any, metrics: Any, *, device: str, **how: Any) -> Any:
        devices.append(device)
        return train_members(members, metrics, **how)

    monkeypatch.setattr(run_module, "train_members", on_processor)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    on_gpu = Experiment(Line(rows=30), MLP([2]), Training("sgd", epochs=2), device="cuda")
    run(on_gpu, console=QUIET)
    run(experiment(), console=QUIET)
    assert devices == ["cuda", "cpu"]


def test_a_folder_that_is_made_is_told(tmp_path: Path) -> None:
    for store, words in (("reslts/a", f"made the folder {tmp_path / 'reslts'}\n"), ("a", "")):
        heard = Heard()
        run(experiment(), tmp_path / store, console=heard)
        assert heard.text == words


def test_progress_counts_the_networks(path: Path) -> None:
    heard = Heard()
    run(experiment(), path, console=heard)
    assert heard.shown == [(done, 4) for done in (0, 1, 2, 3, 4)]
    assert heard.text == ""
