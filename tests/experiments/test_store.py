"""The store: what comes back, who holds what, and other experiments."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secchi.cohort.curve import Curve
from secchi.errors import SecchiError
from secchi.experiments import store as store_module
from secchi.experiments.store import Counts, Store
from secchi.experiments.storing import sessions
from secchi.experiments.storing.sessions import Session
from secchi.experiments.trials import Finished, Trial
from secchi.training.history import Outcome

DOCUMENT = {"training": {"lr": 0.1}, "repeats": 2}
TRIALS = [Trial({"lr": rate}, repeat) for repeat in (0, 1) for rate in (0.1, 0.2, 0.4)]
KEYS = [trial.key for trial in TRIALS]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "an experiment #1?.sqlite"


def opened(path: Path | None, trials: list[Trial] = TRIALS) -> Store:
    store = Store.open(path, DOCUMENT, "5f")
    store.add(trials)
    return store


def came_to(trial: Trial, loss: float = 0.5, epochs: int = 3) -> Finished:
    numbers = np.full(epochs, loss)
    curve = Curve(numbers, numbers / 3, {"r2": -numbers}, Outcome.STOPPED_EARLY, 30, 2)
    return Finished(trial, curve, None, 0.25)


def same(one: Finished, other: Finished) -> bool:
    numbers = [
        [each.curve.train_loss, each.curve.valid_loss, *each.curve.metrics.values()]
        for each in (one, other)
    ]
    rest = [
        (each.trial, dict(each.trial.setting), *each.curve[3:], list(each.curve.metrics), *each[2:])
        for each in (one, other)
    ]
    return rest[0] == rest[1] and all(map(np.array_equal, *numbers))


# ---------------------------------------------------------------- what comes back


@pytest.mark.parametrize("in_memory", [False, True])
def test_what_is_finished_comes_back_as_it_was(path: Path, in_memory: bool) -> None:
    store = opened(None if in_memory else path)
    assert (store.counts(), store.pending()) == (Counts(6, 0, 0), KEYS)
    diverged = Curve(np.zeros(0), np.zeros(0), {}, Outcome.DIVERGED, 0, None)
    ended = [came_to(TRIALS[4]), Finished(TRIALS[1], diverged, "its module is one's own", 1e-9)]
    with store.working():
        assert store.claim(KEYS[:5]) == KEYS[:5]
        store.finish(ended)
        assert store.counts() == Counts(6, 2, 3)
    assert store.counts() == Counts(6, 2, 0)
    assert store.pending() == [KEYS[0], KEYS[2], KEYS[3], KEYS[5]]
    for seen in (store, store if in_memory else Store.read(path)):
        assert seen.document == DOCUMENT
        assert seen.finished_keys() == [KEYS[1], KEYS[4]]
        assert all(map(same, seen.finished(), reversed(ended)))
        assert same(seen.finished([KEYS[4]])[0], ended[0])
        assert same(seen.finished()[-1], ended[0])
        assert seen.curve(KEYS[4]).metrics["r2"].tolist() == [-0.5] * 3
    if not in_memory:
        assert [place.name for place in path.parent.iterdir()] == [path.name]


plain = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text() | st.floats(-9, 9)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(), plain | st.lists(plain), max_size=3), st.integers(0, 10**6))
def test_any_setting_comes_back_with_its_key(setting: dict[str, Any], repeat: int) -> None:
    trial = Trial(setting, repeat)
    store = opened(None, [trial])
    store.finish([came_to(trial)])
    (back,) = store.finished()
    assert (back.trial.setting, back.trial.repeat) == (setting, repeat)
    assert back.trial.key == trial.key


def test_many_are_read_a_few_at_a_time() -> None:
    trials = [Trial({"lr": rate}, 0) for rate in range(1000)]
    store = opened(None, trials)
    store.finish(came_to(trial, epochs=1) for trial in trials)
    asked: list[int] = []
    finished = store.finished()
    fetch = finished._fetch
    finished._fetch = lambda keys: (asked.append(len(keys)), fetch(keys))[1]  # type: ignore[func-returns-value]
    assert next(iter(finished)).trial == trials[0]
    assert asked == [256]
    assert [each.trial for each in finished] == trials
    assert max(asked) == 256
    assert len(finished) == 1000


def test_a_trial_that_was_refused_comes_back_with_its_reason(path: Path) -> None:
    refused = Finished.refused(TRIALS[0], ValueError("one row is no batch"))
    store = opened(path)
    store.finish([refused, came_to(TRIALS[1])])
    again, other = Store.read(path).finished()
    assert same(again, refused)
    assert (again.fault, other.fault) == ("one row is no batch", None)
    assert again.curve.outcome is Outcome.REFUSED


def test_what_is_not_finished_cannot_be_read() -> None:
    with pytest.raises(SecchiError, match="is not finished"):
        opened(None).curve(KEYS[0])


# ---------------------------------------------------------------- going on


def test_more_trials_are_added_and_the_old_ones_stay(path: Path) -> None:
    opened(path).finish([came_to(TRIALS[0]), came_to(TRIALS[2])])
    new = Trial({"lr": 0.8}, 0)
    store = opened(path, [TRIALS[2], new])
    assert store.pending()[0] == new.key
    assert store.counts() == Counts(2, 1, 0, earlier=1)
    for seen in (store, Store.read(path)):
        assert seen.finished_keys() == [KEYS[2]]
        assert [each.trial for each in seen.finished()] == [TRIALS[2]]
    assert store.finished_of({KEYS[0], KEYS[2], new.key}) == 2
    assert opened(path).finished_keys() == [KEYS[0], KEYS[2]]


def test_another_experiment_is_refused_and_told(path: Path) -> None:
    opened(path)
    other = {"training": {"lr": 0.2}, "repeats": 9}
    with pytest.raises(SecchiError, match=r"another experiment is in .*: training\.lr is 0\.2 and"):
        Store.open(path, other, "60")
    with pytest.raises(SecchiError, match="its model or its loss is another"):
        Store.open(path, DOCUMENT, "60")
    assert Store.open(path, DOCUMENT | {"repeats": 9}, "5f").document["repeats"] == 9
    assert Store.read(path).document["repeats"] == 9


def test_a_file_with_nothing_in_it_is_begun(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with pytest.raises(SecchiError, match="there is no experiment"):
        Store.read(path)
    assert opened(path).counts().trials == 6


# ---------------------------------------------------------------- who holds what


def elsewhere(session: Session) -> Session:
    return session._replace(id="elsewhere", host="another", space="of another system")


def test_a_trial_is_claimed_once(path: Path) -> None:
    one, other = opened(path), opened(path)
    with one.working(), other.working():
        assert one.claim(KEYS[:4]) == KEYS[:4]
        assert other.claim(KEYS[2:]) == KEYS[4:]
        assert other.pending() == []
        one.release(KEYS[:1])
        assert other.pending() == KEYS[:1]
        assert [session.id for session in other.others()] == [one._session.id]
    assert one.pending() == KEYS


def test_what_is_finished_is_neither_claimed_nor_let_go_nor_done_again(path: Path) -> None:
    store = opened(path)
    with store.working():
        assert store.claim(KEYS) == KEYS
        store.finish([came_to(TRIALS[0])])
        store.finish([came_to(TRIALS[0], loss=9.0)])
    assert store.claim(KEYS[:2]) == KEYS[1:2]
    assert store.curve(KEYS[0]).train_loss[0] == 0.5


def test_a_claim_of_a_dead_process_is_free_at_once(path: Path) -> None:
    store, dead = opened(path), opened(path)
    dead._session = dead._session._replace(started="never")
    with dead.working():
        dead.claim(KEYS)
        if Session.here().space:
            assert store.pending() == KEYS
            assert store.others() == []


def test_a_claim_from_elsewhere_is_free_after_a_silence(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(store_module.time, "monotonic", lambda: now)
    store, far = opened(path), opened(path)
    far._session = elsewhere(far._session)
    with far.working():
        far.claim(KEYS)
        assert store.pending() == []
        now += sessions.SILENT_SECONDS
        far._beat()
        assert store.pending() == []
        now += sessions.SILENT_SECONDS
        assert store.pending() == []
        assert store.others() == [far._session]
        now += 1
        assert store.pending() == KEYS


def test_an_interruption_lets_go_of_what_is_held(path: Path) -> None:
    store = opened(path)

    def be_interrupted() -> None:
        with store.working():
            store.claim(KEYS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    assert opened(path).pending() == KEYS


# ---------------------------------------------------------------- several at once, and kills

CLAIM = """
import sys
import numpy as np
from secchi.cohort.curve import Curve
from secchi.experiments.store import Store
from secchi.experiments.trials import Finished, Trial
from secchi.training.history import Outcome

store = Store.open(sys.argv[1], {}, "5f")
print("ready", flush=True)
sys.stdin.readline()
with store.working():
    while free := store.pending():
        keys = store.claim(free[:3])
        print(*keys, flush=True)
        if sys.argv[2] == "never done":
            sys.stdin.readline()
        curve = Curve(np.zeros(1), np.zeros(1), {}, Outcome.COMPLETED, 1, None)
        trials = [Trial({"lr": rate}, 0) for rate in range(60)]
        store.finish(Finished(t, curve, None, 0.1) for t in trials if t.key in keys)
"""


def started(path: Path, how: str = "") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(path), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_processes_that_claim_at_once_share_the_trials(path: Path) -> None:
    trials = [Trial({"lr": rate}, 0) for rate in range(60)]
    Store.open(path, {}, "5f").add(trials)
    processes = [started(path) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    claimed = [key for each in processes for key in each.communicate(timeout=60)[0].split()]
    assert sorted(claimed) == sorted(trial.key for trial in trials)
    assert Store.read(path).counts() == Counts(60, 60, 0)


@pytest.mark.skipif(not Session.here().space, reason="this system does not say who lives")
def test_a_kill_frees_what_was_held(path: Path) -> None:
    Store.open(path, {}, "5f").add(TRIALS)
    process = started(path, "never done")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    held = process.stdout.readline().split()
    store = Store.read(path)
    assert (held, store.pending()) == (KEYS[:3], KEYS[3:])
    process.kill()
    process.communicate()
    assert store.pending() == KEYS


def test_memory_is_shared_by_threads() -> None:
    trials = [Trial({"lr": rate}, 0) for rate in range(200)]
    store = opened(None, trials)
    claimed: list[str] = []

    def take() -> None:
        while free := store.pending():
            claimed.extend(store.claim(free[:7]))

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(trial.key for trial in trials)
