"""A run's folder and its journal: whose it is, what is found again, what is left."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from secchi.errors import SecchiError
from secchi.runs import Journal, RunFolder, seconds_between_checkpoints
from secchi.training.history import History, Outcome
from secchi.training.spec import Training

KEY = {"lr": 0.1, "rates": (1, 2)}
HISTORY = History((), Outcome.COMPLETED, Training(epochs=0), steps=7)


def unfinished(out: Path, key: dict[str, object] = KEY) -> RunFolder:
    """A run that its process left."""
    run = RunFolder(out, "pets")
    run.begin(key)
    run._release()
    return run


# ---------------------------------------------------------------- the folder


def test_a_run_has_a_folder_of_its_own_once_it_is_asked_for(tmp_path: Path) -> None:
    one, other = RunFolder(tmp_path / "runs", "my pets!"), RunFolder(tmp_path / "runs", "my pets!")
    assert not (tmp_path / "runs").exists()
    assert one.made is None
    assert one.path != other.path
    assert one.path == one.path == one.made
    assert "my-pets" in one.path.name


def test_only_an_unfinished_run_that_does_the_same_is_gone_on_with(tmp_path: Path) -> None:
    first = unfinished(tmp_path)
    assert not RunFolder(tmp_path, "pets").resume({"lr": 0.2})
    again = RunFolder(tmp_path, "pets")
    assert again.resume(KEY)
    assert again.path == first.path
    again.finish()
    assert list(again.path.iterdir()) == []
    assert not RunFolder(tmp_path, "pets").resume(KEY)


def test_settings_that_differ_are_named(tmp_path: Path) -> None:
    run = unfinished(tmp_path, {"training": {"lr": 0.1, "seed": 0}, "body": "a", "gone": 1})
    wanted = {"training": {"lr": 0.2, "seed": 0}, "body": "b", "new": {"deep": 1}}
    with pytest.raises(SecchiError, match=r"settings \(body, gone, new, training\.lr\)"):
        RunFolder(tmp_path, "pets").resume(wanted, run.path.name)


def test_the_newest_of_several_is_gone_on_with(tmp_path: Path) -> None:
    runs = [unfinished(tmp_path) for _ in range(3)]
    again = RunFolder(tmp_path, "pets")
    assert again.resume(KEY)
    assert again.path == max(run.path for run in runs)


def test_a_run_that_someone_is_at_work_on_is_left_alone(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, "pets")
    run.begin(KEY)
    other = RunFolder(tmp_path, "pets")
    assert not other.resume(KEY)
    with pytest.raises(SecchiError, match="another process is at work on"):
        other.resume(KEY, run.path.name)
    run.finish()


def test_a_damaged_note_is_of_no_run(tmp_path: Path) -> None:
    run = unfinished(tmp_path)
    (run.path / "unfinished.json").write_text('{"lr": 0.')
    assert not RunFolder(tmp_path, "pets").resume(KEY)
    with pytest.raises(SecchiError, match="is finished"):
        RunFolder(tmp_path, "pets").resume(KEY, run.path.name)


def test_finishing_takes_away_what_a_kill_left_and_nothing_else(tmp_path: Path) -> None:
    run = unfinished(tmp_path)
    path = run.path
    (path / ".bundle-abcd1234.part").mkdir()
    (path / "deep").mkdir()
    (path / "deep" / ".run.json-abcd1234.part").write_text("{")
    (path / "deep" / "notes.part").write_text("mine")
    (path / ".keep").write_text("mine")
    run.finish()
    left = sorted(str(place.relative_to(path)) for place in path.rglob("*"))
    assert left == [".keep", "deep", "deep/notes.part"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SecchiError, match="cannot be written to .*file"):
        _ = RunFolder(tmp_path / "file", "pets").path


# ---------------------------------------------------------------- the journal


def noted(run: RunFolder, *rates: float) -> list[nn.Linear]:
    """Networks after calls that are done."""
    journal, networks = Journal(run, seconds=30), []
    for rate in rates:
        networks.append(nn.Linear(3, 2))
        journal.note({"lr": rate}, HISTORY, networks[-1])
    return networks


def test_the_same_calls_in_the_same_order_find_their_results(tmp_path: Path) -> None:
    run = unfinished(tmp_path)
    networks = noted(run, 0.1, 0.2)
    journal, network = Journal(run, seconds=30), nn.Linear(3, 2)
    for rate, done in zip((0.1, 0.2), networks, strict=True):
        assert journal.finished({"lr": rate}, network) == HISTORY
        assert torch.equal(network.weight, done.weight)
    assert journal.finished({"lr": 0.3}, network) is None


def test_another_call_in_a_place_is_done_anew(tmp_path: Path) -> None:
    run = unfinished(tmp_path)
    noted(run, 0.1, 0.2)
    journal, network = Journal(run, seconds=30), nn.Linear(3, 2)
    before = network.weight.clone()
    assert journal.finished({"lr": 0.2}, network) is None
    assert torch.equal(network.weight, before)
    journal.note({"lr": 0.2}, HISTORY, network)
    assert Journal(run, seconds=30).finished({"lr": 0.2}, nn.Linear(3, 2)) == HISTORY


def test_a_damaged_result_is_done_anew(tmp_path: Path) -> None:
    run = unfinished(tmp_path)
    noted(run, 0.1)
    (weights,) = run.path.glob("journal/000/end/*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4])
    assert Journal(run, seconds=30).finished({"lr": 0.1}, nn.Linear(3, 2)) is None


def test_a_history_with_infinities_comes_back(tmp_path: Path) -> None:
    from secchi.training.history import Epoch

    run = unfinished(tmp_path)
    epoch = Epoch(0, float("inf"), float("-inf"), {"accuracy": 0.5}, 1.0)
    history = History((epoch,), Outcome.DIVERGED, Training())
    Journal(run, seconds=30).note({}, history, nn.Linear(1, 1))
    assert Journal(run, seconds=30).finished({}, nn.Linear(1, 1)) == history
    for file in run.path.rglob("*.json"):
        json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(name))


# ---------------------------------------------------------------- seconds


def test_seconds_are_those_given_or_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECCHI_CHECKPOINT_SECONDS", raising=False)
    assert seconds_between_checkpoints() == 30
    monkeypatch.setenv("SECCHI_CHECKPOINT_SECONDS", "0.5")
    assert seconds_between_checkpoints() == 0.5
    assert seconds_between_checkpoints(2) == 2
    monkeypatch.setenv("SECCHI_CHECKPOINT_SECONDS", "soon")
    with pytest.raises(SecchiError, match="'soon'; it is a number of seconds"):
        seconds_between_checkpoints()
