"""A run that was interrupted anywhere goes on to the same numbers, bit for bit."""

import dataclasses
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from secchi.data.task import Labels, Target, Task
from secchi.training.checkpoint import StateKeeper
from secchi.training.execution import Execution
from secchi.training.history import History, Outcome
from secchi.training.loop import begin, train
from secchi.training.rows import Rows
from secchi.training.schedules import Restarts
from secchi.training.spec import Training
from secchi.training.state import TrainState

TASK = Task((Target.classify("pet", ["cat", "dog", "mouse"]),))
KEY = {"run": "this one", "rates": (0.1, 0.01)}
COUNT = 50


@pytest.fixture(autouse=True, scope="module")
def _one_core() -> Iterator[None]:
    """Convolutions as small as these wait longer for a second core than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class InMemory:
    """Rows that differ from epoch to epoch, as augmented ones do."""

    def __init__(self, values: NDArray[np.float32], in_memory: bool = False) -> None:
        self.values = values
        self.in_memory = in_memory
        self.width = int(np.prod(values.shape[1:]))

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.int64] | slice, epoch: int = 0) -> NDArray[np.float32]:
        return self.values[rows] + np.float32(0.01 * epoch)


def rows_of(shape: tuple[int, ...], seed: int, in_memory: bool = False) -> Rows:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(COUNT, *shape)).astype(np.float32)
    truth = random.integers(0, 3, COUNT)
    weights = random.integers(1, 4, COUNT).astype(np.float32)
    return Rows(InMemory(inputs, in_memory), Labels(TASK, (truth,), weights))


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
    )


def convolutions() -> nn.Module:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout2d(0.3),
        nn.Conv2d(4, 5, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    )
    return net.to(memory_format=torch.channels_last)


def mixup(inputs: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    own = torch.rand(len(inputs), generator=torch.Generator().manual_seed(seed))
    share = own.view(-1, *[1] * (inputs.ndim - 1))
    return share * inputs + (1 - share) * inputs.roll(1, 0), own


@dataclasses.dataclass(frozen=True)
class Case:
    """A run: a network, its rows, and how it is trained."""

    network: Callable[[], nn.Module]
    shape: tuple[int, ...]
    training: Training
    execution: Execution = Execution()
    mixing: Callable[[Tensor, int], tuple[Tensor, Tensor]] | None = None
    in_memory: bool = False

    @property
    def offers(self) -> int:
        """How often the keeper is offered the state: after every step and every epoch."""
        rows = self.training.rows_of_epoch(COUNT)
        steps = -(-rows // (self.training.batch_size * self.training.accumulate))
        return self.training.epochs * (steps + 1)

    def fresh(self, seed: int = 0) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.network()

    def run(self, folder: Path | None = None, **options: Any) -> tuple[nn.Module, History]:
        """With a new network; one that is resumed gets its weights from the checkpoint."""
        keeper = options.pop("keeper", StateKeeper(folder, KEY, 0) if folder else None)
        net = self.fresh(options.pop("seed", 0))
        valid = rows_of(self.shape, seed=1)
        rows = rows_of(self.shape, 0, self.in_memory)
        history = train(
            net,
            rows,
            valid,
            self.training,
            execution=self.execution,
            mixing=self.mixing,
            keeper=keeper,
            **options,
        )
        return net, history


CASES = {
    "everything": Case(
        mlp,
        (6,),
        Training(
            "adamw",
            lr=0.02,
            batch_size=8,
            accumulate=2,
            schedule=Restarts(cycles=2, cycle_mult=2),
            clip=0.5,
            label_smoothing=0.1,
            ema=0.8,
            keep_best=True,
            patience=5,
            seed=4,
        ),
        mixing=mixup,
    ),
    "nesterov": Case(
        mlp,
        (6,),
        Training("sgd", lr=0.1, momentum=0.9, nesterov=True, epochs=3, batch_size=16, seed=4),
    ),
    "convolutions": Case(
        convolutions,
        (3, 6, 6),
        Training("adam", lr=0.02, epochs=3, batch_size=16, schedule="one_cycle", seed=4),
        Execution(micro=10),
    ),
    "table": Case(
        mlp,
        (6,),
        Training(
            "sgd",
            lr=0.1,
            momentum=0.9,
            dampening=0.5,
            l1=0.01,
            matrix_norm=0.01,
            drop_last=True,
            epochs=3,
            batch_size=12,
            seed=4,
        ),
        Execution(precision="fp64"),
        in_memory=True,
    ),
    "rmsprop": Case(
        convolutions,
        (3, 6, 6),
        Training("rmsprop", lr=0.01, momentum=0.5, epochs=2, batch_size=16, ema=0.9, seed=4),
    ),
}


@functools.cache
def uninterrupted(name: str) -> tuple[nn.Module, History]:
    return CASES[name].run()


def assert_same(found: tuple[nn.Module, History], name: str) -> None:
    """Weights and history, but for the seconds, are those of the uninterrupted run."""
    (net, history), (expected, record) = found, uninterrupted(name)
    for key, value in expected.state_dict().items():
        assert torch.equal(net.state_dict()[key], value), key
    plain = [
        [dataclasses.replace(epoch, seconds=0.0) for epoch in one.epochs]
        for one in (history, record)
    ]
    assert plain[0] == plain[1]
    assert dataclasses.replace(history, epochs=()) == dataclasses.replace(record, epochs=())


class Interruption(BaseException):
    """As Ctrl-C is: nothing on the way handles it."""


class DyingKeeper(StateKeeper):
    """Interrupts the run when the state is offered for the n-th time, counted from 0."""

    def __init__(self, folder: Path, at: int, keeps: bool) -> None:
        super().__init__(folder, KEY, 0)
        self._left = at
        self._keeps = keeps

    def offer(self, state: TrainState) -> None:
        dies = self._left == 0
        self._left -= 1
        if not dies or self._keeps:
            super().offer(state)
        if dies:
            raise Interruption


def interrupt(case: Case, folder: Path, at: int, keeps: bool = True) -> None:
    with pytest.raises(Interruption):
        case.run(keeper=DyingKeeper(folder, at, keeps))


@pytest.mark.parametrize("name", CASES)
def test_keeping_the_state_changes_nothing(name: str, tmp_path: Path) -> None:
    assert_same(CASES[name].run(tmp_path), name)


@pytest.mark.parametrize("name", CASES)
@settings(deadline=None, max_examples=6, derandomize=True)
@given(data=st.data())
def test_a_run_goes_on_from_anywhere(name: str, data: st.DataObject) -> None:
    """Once or several times, before or after a checkpoint was written."""
    case, done = CASES[name], 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(data.draw(st.integers(1, 3), "interruptions")):
            at = data.draw(st.integers(0, case.offers - 1 - done), "at")
            keeps = data.draw(st.booleans(), "keeps")
            interrupt(case, Path(folder), at, keeps)
            done += at + keeps
            if done == case.offers:
                break
        # The weights that the network has before are not needed.
        assert_same(case.run(Path(folder), seed=99 if done else 0), name)


STEPS = 4  # of an epoch of each case


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    "at",
    [
        pytest.param(0, id="after the first step"),
        pytest.param(STEPS - 1, id="after the last step of an epoch, before it is judged"),
        pytest.param(STEPS, id="after an epoch"),
        pytest.param(STEPS + 1, id="after the first step of an epoch"),
        pytest.param(-2, id="after the last step"),
        pytest.param(-1, id="after everything"),
    ],
)
def test_a_run_goes_on_at_every_kind_of_place(name: str, at: int, tmp_path: Path) -> None:
    case = CASES[name]
    assert case.offers == case.training.epochs * (STEPS + 1)
    interrupt(case, tmp_path, at % case.offers)
    assert_same(case.run(tmp_path, seed=99), name)


@pytest.mark.parametrize("name", CASES)
def test_a_run_may_be_interrupted_after_every_single_step(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    for _ in range(case.offers):
        interrupt(case, tmp_path, 0)
    assert_same(case.run(tmp_path, seed=99), name)


@pytest.mark.parametrize("where", ["observe", "progress"])
@pytest.mark.parametrize("call", [0, 1])
def test_an_observer_may_interrupt_the_run(where: str, call: int, tmp_path: Path) -> None:
    case, seen = CASES["everything"], []

    def watch(*arguments: Any) -> None:
        seen.append(arguments)
        if len(seen) == call + 1:
            raise Interruption

    with pytest.raises(Interruption):
        case.run(tmp_path, **{where: watch})
    assert_same(case.run(tmp_path), "everything")


def test_epochs_that_were_seen_are_not_shown_again(tmp_path: Path) -> None:
    case, seen = CASES["everything"], []
    interrupt(case, tmp_path, STEPS + 2)
    case.run(tmp_path, observe=lambda epoch: seen.append(epoch.number))
    assert seen == [1, 2]


def test_a_run_that_goes_on_takes_only_the_steps_that_are_left(tmp_path: Path) -> None:
    case, seen = CASES["nesterov"], []
    interrupt(case, tmp_path, STEPS + 2)  # six steps are done
    _, history = case.run(tmp_path, progress=lambda done, total: seen.append(done // 16))
    assert seen == list(range(7, 13))
    assert history.steps == 12


def test_another_start_of_the_random_numbers_moves_nothing(tmp_path: Path) -> None:
    interrupt(CASES["everything"], tmp_path, 3)
    torch.manual_seed(1234)
    np.random.seed(1234)
    assert_same(CASES["everything"].run(tmp_path), "everything")


def test_a_run_that_ran_out_of_memory_goes_on_with_as_many_rows_at_once(tmp_path: Path) -> None:
    case = CASES["nesterov"]
    most: list[int] = []

    def narrow() -> nn.Module:
        net = mlp()
        net.register_forward_pre_hook(check)
        return net

    def check(module: nn.Module, inputs: tuple[Tensor]) -> None:
        if module.training and len(inputs[0]) > 8:
            raise MemoryError
        most.append(len(inputs[0]))

    said: list[str] = []
    small = dataclasses.replace(case, network=narrow)
    expected = small.run(tell=said.append)
    with pytest.raises(Interruption):
        small.run(keeper=DyingKeeper(tmp_path, 2, True), tell=said.append)
    assert len(said) == 2
    found = small.run(tmp_path, tell=said.append)
    assert len(said) == 2  # nothing new to say
    for key, value in expected[0].state_dict().items():
        assert torch.equal(found[0].state_dict()[key], value), key


def test_a_run_that_diverged_does_so_again(tmp_path: Path) -> None:
    case = dataclasses.replace(
        CASES["nesterov"], training=CASES["nesterov"].training.but(lr=1e25, clip=1.0)
    )
    net, history = case.run(tmp_path)
    assert history.outcome is Outcome.DIVERGED
    other, again = case.run(tmp_path, seed=99)
    assert again.outcome is Outcome.DIVERGED
    assert again.steps == history.steps
    for key, value in net.state_dict().items():
        assert torch.equal(other.state_dict()[key], value), key


def newest(folder: Path) -> Path:
    """The one of the two checkpoints that is further on."""
    return max(folder.glob("state-*"), key=steps_of)


def steps_of(state: Path) -> tuple[int, int]:
    """The epochs and steps that were done."""
    record = json.loads((state / "checkpoint.json").read_text())["record"]
    numbers = json.loads(record["numbers"])
    return len(numbers["epochs"]), numbers["step"]


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def other_record(state: Path) -> None:
    file = state / "checkpoint.json"
    document = json.loads(file.read_text())
    document["record"]["numbers"] = 3
    file.write_text(json.dumps(document))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "weights cut short": lambda state: truncate(state / "net.safetensors"),
    "weights changed": lambda state: flip(state / "net.safetensors"),
    "weights lost": lambda state: (state / "net.safetensors").unlink(),
    "record cut short": lambda state: truncate(state / "checkpoint.json"),
    "record lost": lambda state: (state / "checkpoint.json").unlink(),
    "record empty": lambda state: (state / "checkpoint.json").write_text(""),
    "record of another kind": other_record,
    "all lost": lambda state: shutil.rmtree(state),
}


def state_of(case: Case, seed: int = 99) -> TrainState:
    return begin(case.fresh(seed), case.training, None, 0, case.execution)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(damage: str, tmp_path: Path) -> None:
    case = CASES["everything"]
    interrupt(case, tmp_path, 7)
    state = state_of(case)
    assert StateKeeper(tmp_path, KEY, 0).restore(state)
    assert (state.step, state.batch, len(state.epochs)) == (7, 3, 1)
    DAMAGE[damage](newest(tmp_path))
    state = state_of(case)
    assert StateKeeper(tmp_path, KEY, 0).restore(state)
    assert (state.step, state.batch, len(state.epochs)) == (6, 2, 1)
    assert_same(case.run(tmp_path, seed=99), "everything")


def test_the_checkpoint_that_is_left_is_not_the_one_written_over(tmp_path: Path) -> None:
    """After a fall-back the damaged one is replaced first."""
    case = CASES["everything"]
    interrupt(case, tmp_path, 7)
    truncate(newest(tmp_path) / "net.safetensors")
    interrupt(case, tmp_path, 0)
    assert sorted(steps_of(state) for state in tmp_path.glob("state-*")) == [(1, 6), (1, 7)]
    state = state_of(case)
    assert StateKeeper(tmp_path, KEY, 0).restore(state)
    assert state.step == 7


def test_where_both_are_damaged_the_run_starts_anew(tmp_path: Path) -> None:
    case = CASES["nesterov"]
    interrupt(case, tmp_path, 7)
    for state in tmp_path.glob("state-*"):
        truncate(state / "net.safetensors")
    assert_restores_nothing(case, tmp_path, KEY)
    assert_same(case.run(tmp_path), "nesterov")


@pytest.mark.parametrize("key", [{}, {**KEY, "run": "another"}, {**KEY, "rates": (0.1, 0.02)}])
def test_the_checkpoint_of_another_run_is_ignored(key: dict[str, Any], tmp_path: Path) -> None:
    case = CASES["nesterov"]
    interrupt(case, tmp_path, 5)
    assert_restores_nothing(case, tmp_path, key)
    assert_same(case.run(keeper=StateKeeper(tmp_path, key, 0)), "nesterov")


def test_there_may_be_nothing_yet(tmp_path: Path) -> None:
    assert_restores_nothing(CASES["nesterov"], tmp_path / "none", KEY)


def assert_restores_nothing(case: Case, folder: Path, key: dict[str, Any]) -> None:
    state = state_of(case)
    assert not StateKeeper(folder, key, 0).restore(state)
    assert (state.step, state.epochs) == (0, [])
    before = case.fresh(99).state_dict()
    assert all(torch.equal(value, before[k]) for k, value in state.net.state_dict().items())


def test_a_state_is_kept_when_the_last_one_is_old_enough(tmp_path: Path) -> None:
    case, folder = CASES["nesterov"], tmp_path / "kept"
    case.run(keeper=StateKeeper(folder, KEY, 1000))
    assert not folder.exists()
    keeper = StateKeeper(folder, KEY, 0)
    for names in (["state-0"], ["state-0", "state-1"], ["state-0", "state-1"]):
        keeper.offer(state_of(case))
        assert sorted(place.name for place in folder.iterdir()) == names


def test_a_state_that_is_kept_comes_back_whole(tmp_path: Path) -> None:
    case = CASES["everything"]
    interrupt(case, tmp_path, 8)
    one, other = state_of(case), state_of(case, seed=5)
    for state in (one, other):
        assert StateKeeper(tmp_path, KEY, 0).restore(state)
    assert one.numbers() == other.numbers()
    tensors = one.tensors()
    assert tensors.keys() == other.tensors().keys()
    parts = {"net", "optimizer", "average", "good", "best", "steps"}
    assert {key.split("/")[0] for key in tensors} == parts
    assert len(tensors["steps/step_losses"]) == one.step > 0
    for key, value in other.tensors().items():
        assert torch.equal(tensors[key], value), key


def die_in_a_rename(folder: Path, name: str, renames: int) -> None:
    """Train until so many files were renamed, and be killed in the middle of the next."""
    rename, left = os.replace, [renames]

    def replace(source: Any, target: Any) -> None:
        if left[0] == 0:
            os.kill(os.getpid(), 9)
        left[0] -= 1
        rename(source, target)

    os.replace = replace
    CASES[name].run(folder)


@pytest.mark.skipif(os.name == "nt", reason="no such signal on Windows")
@pytest.mark.parametrize("renames", [9, 10, 11])
def test_a_killed_process_leaves_a_checkpoint_to_go_on_from(renames: int, tmp_path: Path) -> None:
    """A checkpoint takes three renames: its record, the old folder away, the new one there."""
    name = "everything"
    program = (
        "import importlib.util, pathlib, sys\n"
        "spec = importlib.util.spec_from_file_location('killed', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['killed'] = module\n"
        "spec.loader.exec_module(module)\n"
        "module.die_in_a_rename(pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))\n"
    )
    command = [sys.executable, "-c", program, __file__, tmp_path, name, str(renames)]
    ended = subprocess.run(command, timeout=120, check=False)
    assert ended.returncode == -9
    state = state_of(CASES[name])
    assert StateKeeper(tmp_path, KEY, 0).restore(state)
    assert state.step > 0
    assert_same(CASES[name].run(tmp_path, seed=99), name)
